"""Gives out tokens, and sends the time to one page or to many. Python 2.7 and 3."""

import time

from google.appengine.api import channel


def send(name, serial):
    """`NAME SERIAL SECONDS`, the seconds being those of time.time() just before the call."""
    channel.send_message(name, " ".join([name, serial, repr(time.time())]))


def app(environ, start_response):
    """`/token/CLIENT_ID`; `/send/CLIENT_ID/SERIAL`; `/all/N/SERIAL` sends to page-0 ... page-(N-1)."""
    parts = environ["PATH_INFO"].split("/")[1:]
    answer = ""
    if parts[0] == "token":
        answer = channel.create_channel(parts[1])
    elif parts[0] == "send":
        send(parts[1], parts[2])
    elif parts[0] == "all":
        for number in range(int(parts[1])):
            send("page-" + str(number), parts[2])
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [answer.encode("ascii")]
