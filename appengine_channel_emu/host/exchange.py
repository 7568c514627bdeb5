"""One HTTP/1.1 request to the app and its whole answer, within a limit of time.

The limit is a timer's, which shuts the connection down: a socket's own timeout starts anew with every byte that
trickles in.
"""

from __future__ import annotations

import contextlib
import dataclasses
import socket
import time
from collections.abc import Callable, Iterator
from typing import IO

from appengine_channel_emu.host.answer_reader import BLOCK_BYTES, AnswerReader, HttpAnswer
from appengine_channel_emu.host.errors import ClosedWithoutAnswer, Overrun, RequestFailed, Unreachable
from appengine_channel_emu.timer import TimerThread

CONNECT_SECONDS = 5.0

# Servers drop idle connections, some after 5 seconds: one that has rested for longer is not worth the risk.
_IDLE_SECONDS = 4.0
_IDLE_CONNECTIONS = 32

_LOOK = int(socket.MSG_PEEK | socket.MSG_DONTWAIT)
_WITH_BODY = ("PATCH", "POST", "PUT")

_timer = TimerThread()
"""Ends the exchanges whose time is up, those of all servers."""


@dataclasses.dataclass
class HttpRequest:
    """What is sent: `target` goes on the wire as it is, `body` gives at least `length` bytes (None: no body)."""

    method: str
    target: str
    headers: dict[str, str]
    body: IO[bytes] | None = None
    length: int | None = None

    @property
    def repeatable(self) -> bool:
        """Whether sending it twice does no harm."""
        return self.method in ("GET", "HEAD") and not self.length


class ConnectionPool:
    """One server to which requests are sent, with a few idle connections kept for the next ones.

    connect:     makes a connected socket. Raises OSError.
    name:        what error texts call the server.
    to_instance: whether it is an instance of ours. An idle connection then lives as long as the server does: it serves
                 any request, and its loss is the server's. Elsewhere it serves a GET or HEAD, which is sent again when
                 the connection proves dead.
    """

    def __init__(self, connect: Callable[[], socket.socket], name: str, *, to_instance: bool = False) -> None:
        self._connect = connect
        self._name = name
        self._to_instance = to_instance
        self._idle: list[tuple[float, HttpConnection]] = []
        self._closed = False

    def exchange(self, request: HttpRequest, deadline: float | None = None) -> HttpAnswer:
        """Sends the request and returns the whole answer.

        `deadline` is in seconds and covers everything from connecting to the last byte. Raises a `RequestFailed`.
        """
        started = time.monotonic()
        idle = self._take_idle() if self._to_instance or request.repeatable else None
        if idle is not None:
            try:
                return self._exchange_on(idle, request, deadline)
            except ClosedWithoutAnswer:
                if self._to_instance:
                    raise
                if deadline is not None:
                    deadline = max(0.0, deadline - (time.monotonic() - started))
        connection = HttpConnection(self._connect, self._name, to_instance=self._to_instance)
        return self._exchange_on(connection, request, deadline)

    def close(self) -> None:
        """Closes the idle connections."""
        self._closed = True
        while (connection := self._take_idle()) is not None:
            connection.close()

    def _exchange_on(self, connection: HttpConnection, request: HttpRequest, deadline: float | None) -> HttpAnswer:
        overrun = False
        sockets: list[socket.socket] = []

        def cut() -> None:
            nonlocal overrun
            overrun = True
            for sock in sockets:
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)

        try:
            with _timer.limit(deadline, cut):
                sockets.append(connection.sock or connection.open())
                if overrun:
                    raise Overrun(self._name)
                answer = connection.ask(request)
                if overrun:  # Without a length, the end that we made looks like the answer's own.
                    answer.body.close()
                    raise Overrun(self._name)
        except BaseException as error:
            connection.close()
            if overrun:
                raise Overrun(self._name) from error
            raise
        self._give_back(connection)
        return answer

    def _take_idle(self) -> HttpConnection | None:
        while self._idle:
            try:
                since, connection = self._idle.pop()
            except IndexError:
                return None
            if time.monotonic() - since < _IDLE_SECONDS and connection.is_connected:
                return connection
            connection.close()
        return None

    def _give_back(self, connection: HttpConnection) -> None:
        if connection.sock is None or self._closed or len(self._idle) >= _IDLE_CONNECTIONS:
            connection.close()
        else:
            self._idle.append((time.monotonic(), connection))


class HttpConnection:
    """One connection to a server, which takes one request after another; what it is made of, see `ConnectionPool`."""

    def __init__(self, connect: Callable[[], socket.socket], name: str, *, to_instance: bool) -> None:
        self._connect = connect
        self._name = name
        self._to_instance = to_instance
        self.sock: socket.socket | None = None
        """None until `open`."""

    def open(self) -> socket.socket:
        """Connects; returns `sock`. Raises `Unreachable`."""
        try:
            self.sock = self._connect()
        except (OSError, UnicodeError) as error:  # A host that is no name is a UnicodeError.
            raise Unreachable(self._name, error) from error
        self.sock.settimeout(None)
        return self.sock

    @property
    def is_connected(self) -> bool:
        """Whether it is open, and nothing has come that nobody asked for."""
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
        """Closes it; `sock` is None."""
        sock, self.sock = self.sock, None
        if sock is not None:
            sock.close()

    def ask(self, request: HttpRequest) -> HttpAnswer:
        """Sends the request and returns the whole answer; one that cannot take another afterwards is closed.

        To others than an instance a body that is not there is said to be empty (RFC 9110, section 8.6). Raises a
        `BrokenAnswer`, an `AnswerTooLarge` or a `NoRoomForAnswer`.
        """
        assert self.sock is not None
        if request.length is None and request.method in _WITH_BODY and not self._to_instance:
            request = dataclasses.replace(request, length=0)
        sent = False
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            # It may have refused the request before it has read all of it; that answer can still be there.
            _send(self.sock, request)
            sent = True
        reader = AnswerReader(self.sock, self._name, needs_length=self._to_instance)
        answer = reader.read(request.method)
        if not (sent and reader.reusable):
            self.close()
        return answer


def tcp_socket(host: str, port: int) -> socket.socket:
    """A socket that is connected to a port. Raises OSError."""
    sock = socket.create_connection((host, port), CONNECT_SECONDS)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def unix_socket(path: str) -> socket.socket:
    """A socket that is connected to the one at `path`. Raises OSError."""
    sock = socket.socket(socket.AF_UNIX)
    try:
        sock.settimeout(CONNECT_SECONDS)
        sock.connect(path)
    except OSError:
        sock.close()
        raise
    return sock


def _send(sock: socket.socket, request: HttpRequest) -> None:
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
    for block in _blocks(request.body, request.length):
        sock.sendall(data + block)
        data = b""


def _blocks(body: IO[bytes], length: int) -> Iterator[bytes]:
    """The body of a request, `length` bytes of it. Raises `RequestFailed` when there are fewer."""
    while length > 0:
        block = body.read(min(length, BLOCK_BYTES))
        if not block:
            raise RequestFailed("The request's body ended before its stated length.")
        length -= len(block)
        yield block
