"""Gives out tokens, and sends the time to one page or to many. Python 2.7 and 3."""

import time

from google.appengine.api import channel


def app(environ, start_response):
    """`/token/CLIENT_ID`; `/send/CLIENT_ID`; `/all/N` sends to page-0 ... page-(N-1)."""
    _, action, argument = environ["PATH_INFO"].split("/")
    answer = ""
    began = repr(time.time())
    if action == "token":
        answer = channel.create_channel(argument)
    elif action == "send":
        channel.send_message(argument, began)
    elif action == "all":
        for number in range(int(argument)):
            channel.send_message("page-" + str(number), began)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [answer.encode("ascii")]
