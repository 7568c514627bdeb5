"""Each way to take too long (Python 2.7 and 3), on App Engine and anywhere else: `main.py PORT` serves it alone."""

import re
import sys
import threading
import time

try:
    from google.appengine.runtime import DeadlineExceededError
except ImportError:  # An app of another kind, which nobody interrupts.

    class DeadlineExceededError(BaseException):
        pass


def sleep():
    time.sleep(600)


def spin():
    while True:
        pass


def lock():
    """Blocks in C, which lets other threads run."""
    locked = threading.Lock()
    locked.acquire()
    locked.acquire()


def regex():
    """Blocks in C and holds the interpreter."""
    re.match("(a+)+b", "a" * 60)


def swallow():
    while True:
        try:
            time.sleep(600)
        except DeadlineExceededError:
            pass


def trickle():
    """An answer that never ends, a byte at a time, whatever happens."""
    while True:
        try:
            yield b"x"
            time.sleep(0.05)
        except DeadlineExceededError:
            pass


KINDS = {"sleep": sleep, "spin": spin, "lock": lock, "regex": regex, "swallow": swallow}


def app(environ, start_response):
    kind = environ["PATH_INFO"][1:]
    if kind in KINDS:
        KINDS[kind]()
    start_response("200 OK", [("Content-Type", "text/plain")])
    if kind == "trickle":
        return trickle()
    if kind == "nap":
        time.sleep(float(environ["QUERY_STRING"]))
    return [b"done"]


if __name__ == "__main__":
    from socketserver import ThreadingMixIn
    from wsgiref.simple_server import WSGIServer, make_server

    class Threads(ThreadingMixIn, WSGIServer):
        daemon_threads = True

    make_server("127.0.0.1", int(sys.argv[1]), app, Threads).serve_forever()
