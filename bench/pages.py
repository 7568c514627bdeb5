"""Thousands of pages in one process: what a browser's tabs do on the wire, without the browsers."""

from __future__ import annotations

import json
import select
import socket
import time
from urllib.parse import urlsplit


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

    def poll(self, wait: float = 25) -> None:
        """Send the next poll."""
        self.sock.sendall(
            b"GET /_ah/channel/poll?socket=%b&after=%d&wait=%g HTTP/1.1\r\nHost: localhost\r\n\r\n"
            % (self.socket_id.encode(), self.after, wait)
        )

    def answer(self) -> list[str] | None:
        """The messages of a whole answer that has arrived, or None."""
        data = self.sock.recv(65536)
        if not data:
            raise ConnectionError("the server closed a page's connection")
        self.buffer += data
        head, separator, body = self.buffer.partition(b"\r\n\r\n")
        if not separator:
            return None
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0])
        if len(body) < length:
            return None
        self.buffer = body[length:]
        if not head.startswith(b"HTTP/1.1 200"):
            raise ConnectionError(head.decode())
        answer = json.loads(body[:length])
        self.after = answer["next"]
        self.received += len(answer["messages"])
        return list(answer["messages"])


class Api:
    """The server API over one kept connection."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.address = (parts.hostname or "", parts.port or 80)
        self._sock = connect(self.address)

    def post(self, path: str, body: object) -> dict[str, object]:
        """POST JSON."""
        data = json.dumps(body).encode()
        self._sock.sendall(
            b"POST %b HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
            % (path.encode(), len(data), data)
        )
        return self._read()

    def get(self, path: str) -> dict[str, object]:
        """GET JSON."""
        self._sock.sendall(b"GET %b HTTP/1.1\r\nHost: localhost\r\n\r\n" % path.encode())
        return self._read()

    def _read(self) -> dict[str, object]:
        buffer = b""
        while b"\r\n\r\n" not in buffer:
            buffer += self._sock.recv(65536)
        head, _, body = buffer.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0])
        while len(body) < length:
            body += self._sock.recv(65536)
        answer: dict[str, object] = json.loads(body)
        return answer


class Pages:
    """Many pages, each with a client id of its own and a parked poll."""

    def __init__(self, url: str, prefix: str = "page") -> None:
        self.url = url
        self.api = Api(url)
        self._prefix = prefix
        self._epoll = select.epoll()
        self.pages: dict[int, Page] = {}
        self.by_client: dict[str, Page] = {}

    def open(self, count: int) -> None:
        """Open `count` more pages."""
        for _ in range(count):
            client_id = f"{self._prefix}-{len(self.by_client)}"
            token = self.api.post("/_emu/channels", {"client_id": client_id})["token"]
            opened = self.api.get(f"/_ah/channel/open?channel={token}")
            page = Page(client_id, str(opened["socket"]), connect(self.api.address))
            page.poll()
            self._epoll.register(page.sock, select.EPOLLIN)
            self.pages[page.sock.fileno()] = self.by_client[client_id] = page

    def turn(self, seconds: float) -> list[tuple[Page, list[str]]]:
        """Take what arrives within `seconds`, and poll again at once, as pages do."""
        arrived = []
        for descriptor, _ in self._epoll.poll(seconds):
            page = self.pages[descriptor]
            messages = page.answer()
            if messages is not None:
                page.poll()
                if messages:
                    arrived.append((page, messages))
        return arrived

    def rest(self, seconds: float) -> None:
        """Only keep polling, for so long."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self.turn(left)

    def vanish(self, count: int) -> list[str]:
        """Close that many pages' connections without a word; their client ids."""
        gone = list(self.by_client)[:count]
        for client_id in gone:
            page = self.by_client.pop(client_id)
            del self.pages[page.sock.fileno()]
            page.sock.close()
        return gone


def connect(address: tuple[str, int]) -> socket.socket:
    """A connection without delays."""
    sock = socket.create_connection(address)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock
