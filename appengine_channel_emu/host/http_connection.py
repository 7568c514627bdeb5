"""Connections to a server, one request after another on each: to any server over TCP, to an instance of ours."""

from __future__ import annotations

import contextlib
import dataclasses
import socket
from typing import ClassVar

from . import exchange
from .answer_reader import AnswerReader
from .exchange import Answer, Request

_LOOK = int(socket.MSG_PEEK | socket.MSG_DONTWAIT)
_WITH_BODY = ("PATCH", "POST", "PUT")


class HttpConnection:
    """See `exchange.Connection`; `name` is what error texts call the server."""

    needs_length: ClassVar[bool] = False
    """See `AnswerReader`."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.sock: socket.socket | None = None

    def connect(self) -> socket.socket:
        """A connected socket. Raises OSError."""
        raise NotImplementedError

    def open(self) -> None:
        """See `exchange.Connection`."""
        try:
            self.sock = self.connect()
        except (OSError, UnicodeError) as error:  # A host that is no name is a UnicodeError.
            raise exchange.Unreachable(self._name, error) from error
        self.sock.settimeout(None)

    @property
    def is_connected(self) -> bool:
        """See `exchange.Connection`."""
        if self.sock is None:
            return False
        try:
            self.sock.recv(1, _LOOK)
        except BlockingIOError:
            return True
        except OSError:
            pass
        return False

    def close(self) -> None:
        """See `exchange.Connection`."""
        sock, self.sock = self.sock, None
        if sock is not None:
            sock.close()

    def ask(self, request: Request) -> Answer:
        """See `exchange.Connection`. One that cannot take another request afterwards is closed."""
        assert self.sock is not None
        sent = False
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            # It may have refused the request before it has read all of it; that answer can still be there.
            _send(self.sock, request)
            sent = True
        reader = AnswerReader(self.sock, self._name, needs_length=self.needs_length)
        answer = reader.read(request.method)
        if not (sent and reader.reusable):
            self.close()
        return answer


class TcpConnection(HttpConnection):
    """To `host` and `port`."""

    def __init__(self, host: str, port: int, name: str) -> None:
        super().__init__(name)
        self._address = host, port

    def connect(self) -> socket.socket:
        """See `HttpConnection`."""
        sock = socket.create_connection(self._address, exchange.CONNECT_SECONDS)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock

    def ask(self, request: Request) -> Answer:
        """See `HttpConnection`; a body that is not there is said to be empty (RFC 9110, section 8.6)."""
        if request.length is None and request.method in _WITH_BODY:
            request = dataclasses.replace(request, length=0)
        return super().ask(request)


class InstanceConnection(HttpConnection):
    """To an instance of ours, by the Unix socket at `path`."""

    needs_length = True

    def __init__(self, path: str, name: str) -> None:
        super().__init__(name)
        self._path = path

    def connect(self) -> socket.socket:
        """See `HttpConnection`."""
        sock = socket.socket(socket.AF_UNIX)
        try:
            sock.settimeout(exchange.CONNECT_SECONDS)
            sock.connect(self._path)
        except OSError:
            sock.close()
            raise
        return sock


def _send(sock: socket.socket, request: Request) -> None:
    fields = [f"{name}: {value}" for name, value in request.headers.items()]
    if request.length is not None:
        fields.append(f"Content-Length: {request.length}")
    head = "\r\n".join([f"{request.method} {request.target} HTTP/1.1", *fields, "", ""])
    if head.count("\r") != len(fields) + 2 or head.count("\n") != len(fields) + 2:
        raise ValueError("a request's method, target and headers have no line breaks")
    # With the first part of the body, so that neither side is woken twice.
    data = head.encode("latin-1")
    if request.body is None or not request.length:
        sock.sendall(data)
        return
    for block in exchange.blocks(request.body, request.length):
        sock.sendall(data + block)
        data = b""
