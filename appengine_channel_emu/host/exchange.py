"""One HTTP/1.1 request to the app and its whole answer.

Built on urllib3's connections rather than on its pools: a pool rewrites the request target (``%2f`` becomes ``%2F``,
one stray ``%`` doubles all others) and does not say which connection it uses, which the watchdog must know, since
urllib3's timeouts start anew with every byte that trickles in.
"""

from __future__ import annotations

import contextlib
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.client import HTTPException
from typing import IO, Any

from urllib3.connection import HTTPConnection
from urllib3.exceptions import HTTPError
from urllib3.response import BaseHTTPResponse
from urllib3.util import SKIP_HEADER

from .headers import Headers
from .watchdog import Watchdog

MAX_ANSWER_BYTES = 32 * 1024 * 1024
"""App Engine's limit for a response (facts.md 9.3)."""

_CONNECT_SECONDS = 5.0
_SPOOL_BYTES = 1024 * 1024
_BLOCK_BYTES = 64 * 1024
# Servers drop idle connections, some after 5 seconds: one that has rested for longer is not worth the risk.
_IDLE_SECONDS = 4.0
_IDLE_CONNECTIONS = 32


class ExchangeFailed(Exception):
    """The app gave no usable answer; the text says why."""


class Unreachable(ExchangeFailed):
    """No connection to the app."""


class BrokenAnswer(ExchangeFailed):
    """The answer ended early, or was not HTTP."""


class NoAnswer(BrokenAnswer):
    """The app closed the connection before the first byte of an answer."""


class AnswerTooLarge(ExchangeFailed):
    """The answer exceeds `MAX_ANSWER_BYTES`."""


class Overrun(ExchangeFailed):
    """The answer was not complete when its time was up."""


@dataclass
class Request:
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


@dataclass
class Answer:
    """What came back, whole; `body` is at its start and its reader's to close."""

    status: int
    reason: str
    headers: Headers
    body: IO[bytes]
    length: int

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)


class Connection(HTTPConnection):
    """Sends the head and a small body in one piece, so that neither side is woken twice."""

    _held: list[bytes] | None = None

    def send(self, data: Any) -> None:
        if self._held is None:
            super().send(data)
        else:
            self._held.append(data)

    @contextlib.contextmanager
    def in_one_piece(self) -> Iterator[None]:
        """What is sent in this block goes out at its end."""
        self._held = []
        try:
            yield
            held, self._held = self._held, None
            super().send(b"".join(held))
        finally:
            self._held = None


class UnixConnection(Connection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=_CONNECT_SECONDS)
        self._path = path

    def connect(self) -> None:
        sock = socket.socket(socket.AF_UNIX)
        try:
            sock.settimeout(_CONNECT_SECONDS)
            sock.connect(self._path)
        except OSError:
            sock.close()
            raise
        self.sock = sock


def tcp_connection(host: str, port: int) -> Connection:
    return Connection(host, port, timeout=_CONNECT_SECONDS)


class Upstream:
    """One server to which requests are sent, with a few idle connections kept for the next ones.

    connect: makes a connection object, not yet connected.
    name:    what error texts call the server.
    steady:  whether an idle connection lives as long as the server does. It then serves any request, and its loss is
             the server's. Elsewhere it serves a GET or HEAD, which is sent again when the connection proves dead.
    """

    def __init__(self, connect: Callable[[], Connection], name: str, *, steady: bool = False) -> None:
        self._connect = connect
        self._name = name
        self._steady = steady
        self._idle: list[tuple[float, Connection]] = []
        self._watchdog = Watchdog()
        self._closed = False

    def exchange(self, request: Request, deadline: float | None = None) -> Answer:
        """Sends the request and returns the whole answer.

        `deadline` is in seconds and covers everything from connecting to the last byte. Raises an `ExchangeFailed`.
        """
        started = time.monotonic()
        idle = self._take_idle() if self._steady or request.repeatable else None
        if idle is not None:
            try:
                return self._exchange_on(idle, request, deadline)
            except NoAnswer:
                if self._steady:
                    raise
                if deadline is not None:
                    deadline = max(0.0, deadline - (time.monotonic() - started))
        return self._exchange_on(self._connect(), request, deadline)

    def close(self) -> None:
        """Closes the idle connections."""
        self._closed = True
        while (connection := self._take_idle()) is not None:
            connection.close()

    def _exchange_on(self, connection: Connection, request: Request, deadline: float | None) -> Answer:
        overrun = False
        sockets: list[socket.socket] = []

        def cut() -> None:
            nonlocal overrun
            overrun = True
            for sock in sockets:
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)

        try:
            with self._watchdog.limit(deadline, cut):
                sockets.append(self._open(connection))
                if overrun:
                    raise Overrun
                answer = self._talk(connection, request)
                if overrun:  # Without a length, the end that we made looks like the answer's own.
                    answer.body.close()
                    raise Overrun
        except BaseException as error:
            connection.close()
            if overrun:
                raise Overrun(f"{self._name} did not answer in time.") from error
            raise
        self._give_back(connection)
        return answer

    def _open(self, connection: Connection) -> socket.socket:
        if connection.sock is None:
            try:
                connection.connect()
            except (OSError, HTTPError) as error:
                raise Unreachable(f"{self._name} cannot be reached: {_reason(error)}.") from error
            connection.timeout = None
            assert connection.sock is not None
            connection.sock.settimeout(None)
        return connection.sock

    def _talk(self, connection: Connection, request: Request) -> Answer:
        try:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                # An app may answer and close before it has read all; the answer can still be there.
                _send(connection, request)
            response = connection.getresponse()
        except OSError as error:
            raise NoAnswer(f"{self._name} closed the connection without an answer.") from error
        except (HTTPException, HTTPError) as error:
            raise BrokenAnswer(f"{self._name} did not answer in HTTP: {_reason(error)}.") from error
        try:
            return self._read(response)
        except (OSError, HTTPException, HTTPError) as error:
            raise BrokenAnswer(f"The answer of {self._name} ended early: {_reason(error)}.") from error

    def _read(self, response: BaseHTTPResponse) -> Answer:
        if response.status < 200:
            raise BrokenAnswer(f"{self._name} answered {response.status}, which was not asked for.")
        body: IO[bytes] = tempfile.SpooledTemporaryFile(_SPOOL_BYTES)  # noqa: SIM115 - handed on
        length = 0
        try:
            for block in response.stream(_BLOCK_BYTES, decode_content=False):
                length += len(block)
                if length > MAX_ANSWER_BYTES:
                    raise AnswerTooLarge(f"The answer is larger than {MAX_ANSWER_BYTES // 2**20} MiB.")
                body.write(block)
        except BaseException:
            body.close()
            raise
        body.seek(0)
        headers = list(response.headers.iteritems())
        return Answer(response.status, response.reason or "", headers, body, length)

    def _take_idle(self) -> Connection | None:
        while self._idle:
            try:
                since, connection = self._idle.pop()
            except IndexError:
                return None
            if time.monotonic() - since < _IDLE_SECONDS and connection.is_connected:
                return connection
            connection.close()
        return None

    def _give_back(self, connection: Connection) -> None:
        if connection.is_closed or self._closed or len(self._idle) >= _IDLE_CONNECTIONS:
            connection.close()
        else:
            self._idle.append((time.monotonic(), connection))


def _send(connection: Connection, request: Request) -> None:
    headers = {"User-Agent": SKIP_HEADER, "Accept-Encoding": SKIP_HEADER, **request.headers}
    body = None
    if request.length is not None:
        headers["Content-Length"] = str(request.length)
        if request.body is not None and request.length:
            body = _blocks(request.body, request.length)
    small = (request.length or 0) <= _BLOCK_BYTES
    with connection.in_one_piece() if small else contextlib.nullcontext():
        connection.request(request.method, request.target, body, headers, preload_content=False, decode_content=False)


def _blocks(body: IO[bytes], length: int) -> Iterator[bytes]:
    while length > 0:
        block = body.read(min(length, _BLOCK_BYTES))
        if not block:
            raise ExchangeFailed("The request's body ended before its stated length.")
        length -= len(block)
        yield block


def _reason(error: BaseException) -> str:
    # urllib3 wraps the system's own words in its own.
    error = error.__cause__ if isinstance(error.__cause__, OSError) else error
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__).rstrip(".")
