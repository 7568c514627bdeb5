"""An app whose handlers send to the page that asks, in every way there is. Python 2.7 and 3."""

import os
import threading
import time

from google.appengine.api import channel

try:
    from urllib.parse import parse_qs
except ImportError:  # Python 2
    from urlparse import parse_qs

WAIT = 20
gone_on = threading.Event()


def app(environ, start_response):
    """`/` is a page, `/token?id=` makes one; else the path is one of WAYS, which have `id`, `text` and `pause` (ms)."""
    fields = {name: values[0] for name, values in parse_qs(environ.get("QUERY_STRING", "")).items()}
    name = environ["PATH_INFO"].strip("/")
    if not name:
        answer = page(fields.get("transport", ""))
    elif name == "token":
        answer = channel.create_channel(fields["id"])
    else:
        answer = WAYS.get(name, nothing)(fields) or "answer"
        time.sleep(int(fields.get("pause", 0)) / 1000.0)
    start_response("200 OK", [("Content-Type", "text/html"), ("Cache-Control", "no-cache")])
    return [answer.encode("ascii")]


def page(transport):
    """The page; the browser client in it uses `transport`, if that is not empty."""
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "page.html")) as text:
        page = text.read()
    return page.replace("TRANSPORT", transport)


def nothing(fields):
    """Presence, and what browsers ask for by themselves."""


def send(fields):
    """From the handler itself."""
    channel.send_message(fields["id"], fields["text"])


def large(fields):
    """With an answer that takes a client long to read."""
    send(fields)
    return "x" * (8 * 1024 * 1024)


def many(fields):
    """More than a socket's backlog has room for."""
    for number in range(int(fields["text"])):
        channel.send_message(fields["id"], str(number))


def progress(fields):
    """Its answer waits for /go_on."""
    send(fields)
    gone_on.wait(WAIT)
    gone_on.clear()


def go_on(fields):
    """Lets the handler of /progress answer."""
    gone_on.set()


def ticks(fields):
    """Sends now and then, `text` times."""
    for number in range(int(fields["text"])):
        channel.send_message(fields["id"], str(number))
        time.sleep(float(fields["every"]))


def thread(fields):
    """From a thread that the handler has started."""
    started = threading.Thread(target=send, args=(fields,))
    started.start()
    started.join()


def process(fields):
    """From a process that the handler has forked."""
    child = os.fork()
    if not child:
        try:
            send(fields)
        finally:
            os._exit(0)
    os.waitpid(child, 0)


WAYS = {each.__name__: each for each in (send, large, many, progress, go_on, ticks, thread, process)}
