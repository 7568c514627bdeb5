"""Pages by the thousand that lose their connections, repeat themselves, and break off in the middle."""

from __future__ import annotations

import json
import random
import select
import socket
import struct
from collections import deque
from collections.abc import Callable

from appengine_channel_emu.bench.page import split_answer
from tests.support.waiting import LONG_ENOUGH

TROUBLES = ["lost answer", "cut request", "repeated request", "vanished in the wait"]


class Page:
    """One page; `expected` holds what it is yet to receive, in order."""

    def __init__(self, client_id: str, socket_id: str) -> None:
        self.client_id = client_id
        self.socket_id = socket_id
        self.after = 0
        self.expected: deque[str] = deque()
        self.sock: socket.socket | None = None
        self.buffer = b""

    def request(self) -> bytes:
        """Its next poll; every other one asks for an early head, and now and then one goes through WSGI."""
        query = f"socket={self.socket_id}&after={self.after}&wait=20"
        if self.after % 2:
            query += "&early=1"
        if self.after % 7 == 3:
            query = f"pauses=0&{query}"
        return f"GET /_ah/channel/poll?{query} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()


class Crowd:
    """All pages on one epoll, with seeded trouble at a given rate."""

    def __init__(self, port: int, seed: int, trouble: float) -> None:
        self.port = port
        self.trouble = trouble
        self.met: dict[str, int] = dict.fromkeys(TROUBLES, 0)
        self.delivered = 0
        self.lost = 0
        self.may_be_lost: Callable[[str], bool] = lambda text: False
        """Whether a message that never came is no fault."""
        self._chance = random.Random(seed)
        self._epoll = select.epoll()
        self._by_descriptor: dict[int, Page] = {}
        self.pages: list[Page] = []

    def add(self, page: Page) -> None:
        """A page that has just opened its socket."""
        self.pages.append(page)
        self.connect(page)

    def connect(self, page: Page) -> None:
        """Give `page` a fresh connection, with a poll under way on it."""
        self.disconnect(page)
        page.sock = socket.create_connection(("127.0.0.1", self.port), timeout=LONG_ENOUGH)
        page.buffer = b""
        self._by_descriptor[page.sock.fileno()] = page
        self._epoll.register(page.sock, select.EPOLLIN)
        page.sock.sendall(page.request())

    def disconnect(self, page: Page) -> None:
        """Close the page's connection without a word, or reset it."""
        if page.sock is not None:
            del self._by_descriptor[page.sock.fileno()]
            if self._chance.random() < 0.5:
                page.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            page.sock.close()
            page.sock = None

    def turn(self, seconds: float) -> None:
        """Take what arrives within `seconds`, and make trouble."""
        for descriptor, _ in self._epoll.poll(seconds):
            page = self._by_descriptor.get(descriptor)
            if page is not None:
                self._receive(page)

    def make_trouble(self) -> None:
        """One page breaks something."""
        page = self._chance.choice(self.pages)
        kind = self._chance.choice(TROUBLES[1:])
        self.met[kind] += 1
        if kind == "cut request":
            half = socket.create_connection(("127.0.0.1", self.port), timeout=LONG_ENOUGH)
            half.sendall(page.request()[: self._chance.randint(1, 60)])
            half.close()
        elif kind == "repeated request":
            other = socket.create_connection(("127.0.0.1", self.port), timeout=LONG_ENOUGH)
            other.sendall(page.request())
            other.close()
        else:
            self.connect(page)

    def _receive(self, page: Page) -> None:
        assert page.sock is not None
        if self._chance.random() < self.trouble:
            self.met["lost answer"] += 1
            self.connect(page)
            return
        data = page.sock.recv(262_144)
        if not data:
            # The server ended the connection after an answer, or is going away.
            self.connect(page)
            return
        page.buffer += data
        whole = split_answer(page.buffer)
        if whole is None:
            return
        body, page.buffer = whole
        self._take(page, json.loads(body))
        page.sock.sendall(page.request())

    def _take(self, page: Page, answer: dict[str, object]) -> None:
        messages, after = answer["messages"], answer["next"]
        assert isinstance(messages, list)
        assert isinstance(after, int)
        first = after - len(messages) + 1
        assert not messages or first <= page.after + 1, f"{page.client_id}: a gap before {first}"
        for text in messages[max(0, page.after + 1 - first) :]:
            while page.expected and text != page.expected[0] and self.may_be_lost(page.expected[0]):
                page.expected.popleft()
                self.lost += 1
            assert page.expected, f"{page.client_id}: {text} came twice"
            assert text == page.expected.popleft(), f"{page.client_id}: out of order at {text}"
            self.delivered += 1
        page.after = max(page.after, after)
