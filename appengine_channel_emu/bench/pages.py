"""Thousands of pages in one process: what a browser's tabs do on the wire, without the browsers."""

from __future__ import annotations

import json
import selectors
import socket
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Literal, Protocol
from urllib.parse import urlsplit

from appengine_channel_emu.bench import chrome
from appengine_channel_emu.bench.page import POLL_SECONDS, Page, PollingPage, Refused, StreamingPage, split_answer

PageTransport = Literal["poll", "websocket"]
"""How pages wait for their messages."""

OPENED_A_TURN = 20
ANSWER_SECONDS = 60.0
"""How long anything may take before it counts as lost."""

ACKNOWLEDGE_SECONDS = 0.2
"""So long after a message came over a stream its page says that it has it."""


class Reader(Protocol):
    """Who reads one of the connections."""

    def answer(self) -> list[str] | None:
        """Take what has arrived; None where no page has its answer. Raises `Refused` and OSError."""


class Api:
    """The server API over one kept connection."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.address = (parts.hostname or "", parts.port or 80)
        self._sock = connect(self.address)

    def post(self, path: str, body: object) -> dict[str, Any]:
        """POST JSON. Raises `Refused` and OSError."""
        self._sock.sendall(json_request(path, body))
        return dict(json.loads(self._read()))

    def get(self, path: str) -> dict[str, Any]:
        """GET JSON. Raises `Refused` and OSError."""
        self._sock.sendall(b"GET %b HTTP/1.1\r\nHost: localhost\r\n\r\n" % path.encode())
        answer = self._read()
        try:
            return dict(json.loads(answer))
        except (ValueError, TypeError):
            raise Refused("what answers there is no emulator") from None

    def open_socket(self, token: str, agent: str) -> str:
        """What a page of the browser `agent` asks first; the socket's id. Raises `Refused` and OSError."""
        self._sock.sendall(chrome.open_request(token, agent))
        return str(json.loads(self._read())["socket"])

    def close_socket(self, socket_id: str, agent: str) -> None:
        """What it says when it is left."""
        self._sock.sendall(chrome.close_request(socket_id, agent))
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
    """Many pages, each with a client id of its own, beginning with `prefix`, and a parked poll or an open stream."""

    def __init__(
        self, url: str, prefix: str = "page", transport: PageTransport = "poll", most_from_one_address: int = 20_000
    ) -> None:
        """An address has some 28,000 ports, so pages beyond `most_from_one_address` have the next one of 127.0.0.x."""
        self.url = url
        self.api = Api(url)
        self._prefix = prefix
        self._transport = transport
        self._most_from_one_address = most_from_one_address
        self._opened = 0
        self._owing: deque[tuple[float, Page]] = deque()
        """Pages that have messages which the server does not know of, and when each is to say so."""
        self._selector = selectors.DefaultSelector()
        self.by_client: dict[str, Page] = {}

    def __len__(self) -> int:
        return len(self.by_client)

    def open(
        self, count: int, tell: Callable[[float], None] = lambda share: None, transport: PageTransport | None = None
    ) -> None:
        """Open `count` more pages, which wait by `transport` if it is given; `tell` hears which share of them is open.

        Their first polls are of all lengths, so that from then on as many end in any second as in any other.
        """
        for number in range(count):
            self._make(transport or self._transport).begin(POLL_SECONDS * (number + 1) / count)
            if number % OPENED_A_TURN == 0:
                self.turn(0)  # The first ones have polled in vain by the time that the last ones are open.
            tell((number + 1) / count)

    def prepare(self, count: int) -> list[Page]:
        """The same before they begin."""
        return [self._make(self._transport) for _ in range(count)]

    def _make(self, transport: PageTransport) -> Page:
        client_id = f"{self._prefix}-{self._opened}"
        token = self.api.post("/_emu/channels", {"client_id": client_id})["token"]
        socket_id = self.api.open_socket(token, chrome.agent(self._opened))
        # The first pages leave the address to the system: a server need not be at 127.0.0.1.
        other = self._opened // self._most_from_one_address
        sock = connect(self.api.address, f"127.0.0.{other + 1}" if other else None)
        page = _KINDS[transport](self._opened, client_id, socket_id, sock)
        page.sock.settimeout(None)  # It is read when there is something, and a timeout costs a system call.
        self.watch(page.sock, page)
        self.by_client[client_id] = page
        self._opened += 1
        return page

    def watch(self, sock: socket.socket, reader: Reader) -> None:
        """Look after `reader`, too: it is asked for its answer when there is something on `sock`."""
        self._selector.register(sock, selectors.EVENT_READ, reader)

    def unwatch(self, sock: socket.socket) -> None:
        """And no longer."""
        self._selector.unregister(sock)

    def turn(self, seconds: float) -> list[tuple[Page, list[str]]]:
        """Take what arrives within `seconds`, and poll or acknowledge as pages do."""
        arrived = []
        now = time.monotonic()
        while self._owing and self._owing[0][0] <= now:
            self._settle(self._owing.popleft()[1])
        if self._owing:
            seconds = min(seconds, self._owing[0][0] - now)
        for key, _ in self._selector.select(seconds):
            messages = key.data.answer()
            if messages is not None:
                page: Page = key.data
                if page.go_on():
                    self._owing.append((now + ACKNOWLEDGE_SECONDS, page))
                if messages:
                    arrived.append((page, messages))
        return arrived

    def _settle(self, page: Page) -> None:
        if self.by_client.get(page.client_id) is page:
            page.acknowledge()

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
            self.unwatch(page.sock)
            page.sock.close()
        return gone

    def leave(self) -> None:
        """Close every page's socket, as a tab that is closed does."""
        for page in self.by_client.values():
            self.api.close_socket(page.socket_id, page.agent)
        self.vanish(len(self))
        self._selector.close()
        self.api.close()


_KINDS: dict[PageTransport, type[Page]] = {"poll": PollingPage, "websocket": StreamingPage}


def json_request(path: str, body: object) -> bytes:
    """A POST of a program, not of a browser."""
    data = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(data)}"
    return head.encode() + b"\r\n\r\n" + data


def connect(address: tuple[str, int], source: str | None = None) -> socket.socket:
    """A connection without delays, from the address `source` if it is given. Raises OSError."""
    sock = socket.create_connection(address, ANSWER_SECONDS, (source, 0) if source else None)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock
