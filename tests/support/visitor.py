"""A browser or program on the network, asking the front around an app that remembers what reached it."""

from __future__ import annotations

from webtest import TestApp

from appengine_channel_emu.testing import Emulator

OURS = "http://localhost"
THEIRS = "https://evil.example"


class EchoApp:
    """An app that answers everything and remembers what reached it."""

    def __init__(self):
        self.requests = []

    def __call__(self, environ, start_response):
        self.requests.append(dict(environ))
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "3")])
        return [b"app"]


def visitor(app, options=None, **environ):
    """A browser on the network: it has an address, and a Host header."""
    extra = {"REMOTE_ADDR": "127.0.0.1", "HTTP_HOST": "localhost"} | environ
    return TestApp(Emulator(app, options=options), extra_environ=extra, lint=False)


def status(client, path, method="GET", **headers):
    return getattr(client, method.lower())(path, headers=headers, expect_errors=True).status_int
