"""A server whose path /stream becomes a WebSocket to a page that a test plays."""

from __future__ import annotations

import queue
import threading
from collections import deque

from appengine_channel_emu.web.upgrade import Closing, Upgrade
from appengine_channel_emu.web.wsgi import plain_answer, send, server_hints


class PlayedPage:
    """What a test wants to be said over a stream, and what was heard: texts, and what `wake` is for."""

    def __init__(self):
        self.heard = queue.Queue()
        self.ended = threading.Event()
        self.opened_at_once = deque()
        """What waits already when it is opened."""
        self.times_left = 0
        self._waiting = deque()
        self._wake = None
        self.threads = set()

    def say(self, text):
        """Send bytes, or raise an exception, soon."""
        self._waiting.append(text)
        if self._wake is not None:
            self._wake()

    def opened(self, wake):
        self._wake = wake

    def outgoing(self):
        self.threads.add(threading.get_ident())
        while self._waiting:
            text = self._waiting.popleft()
            if isinstance(text, BaseException):
                raise text
            yield text

    def received(self, text):
        self.threads.add(threading.get_ident())
        if not text.isdigit():
            raise Closing(1002, "A page sends numbers.")
        self.heard.put(text)

    def heartbeat(self):
        return b'{"messages":[],"next":0}'

    def left(self):
        self.times_left += 1
        self._wake = None
        self.ended.set()


class Streams:
    """An application with one path of its own in front of another application."""

    def __init__(self, front):
        self._front = front
        self.pages = deque()
        self.made = []

    def __getattr__(self, name):
        return getattr(self._front, name)

    def __call__(self, environ, start_response):
        if environ["PATH_INFO"] != "/stream":
            return self._front(environ, start_response)
        if not server_hints(environ).upgrades or "HTTP_SEC_WEBSOCKET_KEY" not in environ:
            return send(plain_answer("426 Upgrade Required", "no"), start_response)
        page = self.pages.popleft() if self.pages else PlayedPage()
        self.made.append(page)
        upgrade = Upgrade(environ["HTTP_SEC_WEBSOCKET_KEY"], page)
        upgrade.begin(start_response)
        return upgrade
