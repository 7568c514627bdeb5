"""Thousands of pages in one process: what a browser's tabs do on the wire, without the browsers."""

from __future__ import annotations

import json
import selectors
import socket
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

POLL_SECONDS = 25.0
OPENED_A_TURN = 20
ANSWER_SECONDS = 60.0
"""How long anything may take before it counts as lost."""


class Refused(Exception):
    """The server answered with something else than 200; the text is its status line, or says what it is instead."""


class Page:
    """One page: a connection with a poll under way."""

    __slots__ = ("after", "buffer", "client_id", "received", "sock", "socket_id")

    def __init__(self, client_id: str, socket_id: str, sock: socket.socket) -> None:
        self.client_id = client_id
        self.socket_id = socket_id
        self.sock = sock
        self.after = 0
        self.received = 0
        self.buffer = b""

    def poll(self, wait: float = POLL_SECONDS) -> None:
        """Send the next poll, to be held for `wait` seconds."""
        self.sock.sendall(
            b"GET /_ah/channel/poll?socket=%b&after=%d&wait=%g&early=1 HTTP/1.1\r\nHost: localhost\r\n\r\n"
            % (self.socket_id.encode(), self.after, wait)
        )

    def answer(self) -> list[str] | None:
        """The messages of a whole answer that has arrived, or None. Raises `Refused` and OSError."""
        data = self.sock.recv(65536)
        if not data:
            raise ConnectionError("the server closed a page's connection")
        self.buffer += data
        whole = split_answer(self.buffer)
        if whole is None:
            return None
        body, self.buffer = whole
        answer = json.loads(body)
        if "error" in answer:
            raise Refused(f"{answer['error']} {answer['reason']}")
        self.after = answer["next"]
        self.received += len(answer["messages"])
        return list(answer["messages"])


class Api:
    """The server API over one kept connection."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.address = (parts.hostname or "", parts.port or 80)
        self._sock = connect(self.address)

    def post(self, path: str, body: object) -> dict[str, Any]:
        """POST JSON. Raises `Refused` and OSError."""
        data = json.dumps(body).encode()
        self._sock.sendall(
            b"POST %b HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
            % (path.encode(), len(data), data)
        )
        return dict(json.loads(self._read()))

    def get(self, path: str) -> dict[str, Any]:
        """GET JSON. Raises `Refused` and OSError."""
        self._sock.sendall(b"GET %b HTTP/1.1\r\nHost: localhost\r\n\r\n" % path.encode())
        answer = self._read()
        try:
            return dict(json.loads(answer))
        except (ValueError, TypeError):
            raise Refused("what answers there is no emulator") from None

    def close_socket(self, socket_id: str) -> None:
        """What a page says when it is left."""
        self._sock.sendall(
            b"POST /_ah/channel/close?socket=%b HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n"
            % socket_id.encode()
        )
        self._read()

    def close(self) -> None:
        """Close the connection."""
        self._sock.close()

    def _read(self) -> bytes:
        buffer = b""
        while (whole := split_answer(buffer)) is None:
            data = self._sock.recv(65536)
            if not data:
                raise ConnectionError("the server closed the connection")
            buffer += data
        return whole[0]


class Pages:
    """Many pages, each with a client id of its own, beginning with `prefix`, and a parked poll."""

    def __init__(self, url: str, prefix: str = "page") -> None:
        self.url = url
        self.api = Api(url)
        self._prefix = prefix
        self._opened = 0
        self._selector = selectors.DefaultSelector()
        self.by_client: dict[str, Page] = {}

    def __len__(self) -> int:
        return len(self.by_client)

    def open(self, count: int, tell: Callable[[float], None] = lambda share: None) -> None:
        """Open `count` more pages; `tell` hears which share of them is open.

        Their first polls are of all lengths, so that from then on as many end in any second as in any other.
        """
        for number in range(count):
            self._make().poll(POLL_SECONDS * (number + 1) / count)
            if number % OPENED_A_TURN == 0:
                self.turn(0)  # The first ones have polled in vain by the time that the last ones are open.
            tell((number + 1) / count)

    def prepare(self, count: int) -> list[Page]:
        """The same before their first polls."""
        return [self._make() for _ in range(count)]

    def _make(self) -> Page:
        client_id = f"{self._prefix}-{self._opened}"
        self._opened += 1
        token = self.api.post("/_emu/channels", {"client_id": client_id})["token"]
        opened = self.api.get(f"/_ah/channel/open?channel={token}")
        page = Page(client_id, str(opened["socket"]), connect(self.api.address))
        page.sock.settimeout(None)  # It is read when there is something, and a timeout costs a system call.
        self._selector.register(page.sock, selectors.EVENT_READ, page)
        self.by_client[client_id] = page
        return page

    def turn(self, seconds: float) -> list[tuple[Page, list[str]]]:
        """Take what arrives within `seconds`, and poll again at once, as pages do."""
        arrived = []
        for key, _ in self._selector.select(seconds):
            page: Page = key.data
            messages = page.answer()
            if messages is not None:
                page.poll()
                if messages:
                    arrived.append((page, messages))
        return arrived

    def gather(self, count: int) -> None:
        """Take `count` answers, of polls that will be answered all, and poll no more."""
        while count:
            for key, _ in self._selector.select():
                count -= key.data.answer() is not None

    def rest(self, seconds: float, tell: Callable[[float], None] = lambda share: None) -> None:
        """Only keep polling, for so long."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            tell(1 - left / seconds)
            self.turn(min(left, 0.5))

    def vanish(self, count: int) -> list[str]:
        """Close that many pages' connections without a word; their client ids."""
        gone = list(self.by_client)[:count]
        for client_id in gone:
            page = self.by_client.pop(client_id)
            self._selector.unregister(page.sock)
            page.sock.close()
        return gone

    def leave(self) -> None:
        """Close every page's socket, as a tab that is closed does."""
        for page in self.by_client.values():
            self.api.close_socket(page.socket_id)
        self.vanish(len(self))
        self._selector.close()
        self.api.close()


def connect(address: tuple[str, int]) -> socket.socket:
    """A connection without delays. Raises OSError."""
    sock = socket.create_connection(address, ANSWER_SECONDS)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def split_answer(buffer: bytes) -> tuple[bytes, bytes] | None:
    """The body of the answer at the head of `buffer`, and what follows it; None while it is not whole.

    Raises `Refused` for any other answer than 200.
    """
    head, separator, rest = buffer.partition(b"\r\n\r\n")
    if not separator:
        return None
    lower = head.lower()
    if b"\r\ntransfer-encoding: chunked" in lower:
        whole = _split_chunks(rest)
    else:
        _, found, after = lower.partition(b"content-length:")
        if not found:
            raise Refused("what answers there is no emulator")
        length = int(after.split(b"\r\n", 1)[0])
        whole = (rest[:length], rest[length:]) if len(rest) >= length else None
    if whole is not None and not head.startswith(b"HTTP/1.1 200"):
        raise Refused(head.split(b"\r\n", 1)[0].decode("latin-1"))
    return whole


def _split_chunks(rest: bytes) -> tuple[bytes, bytes] | None:
    body = b""
    while True:
        line, found, rest = rest.partition(b"\r\n")
        size = int(line, 16) if found else 0
        if not found or len(rest) < size + 2:
            return None
        body, rest = body + rest[:size], rest[size + 2 :]
        if not size:
            return body, rest
