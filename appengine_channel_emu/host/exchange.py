"""One HTTP/1.1 request to the app and its whole answer, within a limit of time.

The limit is a watchdog's, which shuts the connection down: a socket's own timeout starts anew with every byte that
trickles in.
"""

from __future__ import annotations

import contextlib
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO, Protocol

from appengine_channel_emu.hints import no_room, reason

from .headers import Headers
from .watchdog import Watchdog

MAX_ANSWER_BYTES = 32 * 1024 * 1024
"""App Engine's limit for a response (facts.md 9.3)."""

CONNECT_SECONDS = 5.0

SPOOL_BYTES = 1024 * 1024
"""A longer answer is kept in a file."""

BLOCK_BYTES = 64 * 1024
"""What is read or sent at a time."""

# Servers drop idle connections, some after 5 seconds: one that has rested for longer is not worth the risk.
_IDLE_SECONDS = 4.0
_IDLE_CONNECTIONS = 32


class ExchangeFailed(Exception):
    """The app gave no usable answer; the text says why."""


class Unreachable(ExchangeFailed):
    """No connection to the app."""

    def __init__(self, name: str, error: BaseException) -> None:
        super().__init__(f"{name} cannot be reached: {reason(error)}.")


class BrokenAnswer(ExchangeFailed):
    """The answer ended early, or was not HTTP."""


class NoAnswer(BrokenAnswer):
    """The app closed the connection before the first byte of an answer."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} closed the connection without an answer.")


class EndedEarly(BrokenAnswer):
    """It closed the connection in the middle of one."""

    def __init__(self, name: str, error: BaseException | None = None) -> None:
        super().__init__(f"{name} broke off: its answer ended early{f' ({reason(error)})' if error else ''}.")


class NotHttp(BrokenAnswer):
    """What it said is no answer."""

    def __init__(self, name: str, why: str) -> None:
        super().__init__(f"{name} did not answer in HTTP: {why}.")


class NotAskedFor(BrokenAnswer):
    """It answered with 101: it speaks another protocol from here on."""

    def __init__(self, name: str, status: int) -> None:
        super().__init__(f"{name} answered {status}, which was not asked for.")


class AnswerTooLarge(ExchangeFailed):
    """The answer exceeds `MAX_ANSWER_BYTES`."""

    def __init__(self) -> None:
        super().__init__(f"The answer is larger than {MAX_ANSWER_BYTES // 2**20} MiB.")


class NoRoom(ExchangeFailed):
    """The answer cannot be kept until it is whole: the temporary folder is full."""

    def __init__(self, error: OSError) -> None:
        super().__init__(no_room("the app's answer", error))


class Overrun(ExchangeFailed):
    """The answer was not complete when its time was up. `cpu_seconds` of its handler, where somebody knows them."""

    cpu_seconds: float | None = None


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


class Connection(Protocol):
    """One connection to the server, which takes one request after another."""

    sock: socket.socket | None
    """None until `open`."""

    def open(self) -> None:
        """Connects. Raises `Unreachable`."""

    def ask(self, request: Request) -> Answer:
        """Sends the request and returns the whole answer.

        Raises a `BrokenAnswer`, an `AnswerTooLarge` or a `NoRoom`.
        """

    @property
    def is_connected(self) -> bool:
        """Whether it is open, and nothing has come that nobody asked for."""

    def close(self) -> None:
        """Closes it; `sock` is None."""


class Upstream:
    """One server to which requests are sent, with a few idle connections kept for the next ones.

    connect: makes a connection, not yet open; it is given `name`.
    name:    what error texts call the server.
    steady:  whether an idle connection lives as long as the server does. It then serves any request, and its loss is
             the server's. Elsewhere it serves a GET or HEAD, which is sent again when the connection proves dead.
    """

    def __init__(self, connect: Callable[[str], Connection], name: str, *, steady: bool = False) -> None:
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
        return self._exchange_on(self._connect(self._name), request, deadline)

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
                answer = connection.ask(request)
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
            connection.open()
        assert connection.sock is not None
        return connection.sock

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
        if connection.sock is None or self._closed or len(self._idle) >= _IDLE_CONNECTIONS:
            connection.close()
        else:
            self._idle.append((time.monotonic(), connection))


class Spool:
    """Takes an answer while it comes: in memory up to `SPOOL_BYTES`, beyond them in a temporary file."""

    def __init__(self) -> None:
        self._file: IO[bytes] = tempfile.SpooledTemporaryFile(SPOOL_BYTES)  # noqa: SIM115 - handed on

    def __enter__(self) -> Spool:
        return self

    def __exit__(self, kind: type[BaseException] | None, *exc_info: object) -> None:
        if kind is not None:
            with contextlib.suppress(OSError):
                # It may try once more to write what it could not.
                self._file.close()

    def write(self, block: bytes) -> None:
        """Add `block`. Raises `NoRoom`."""
        try:
            self._file.write(block)
        except OSError as error:
            raise NoRoom(error) from error

    def whole(self) -> IO[bytes]:
        """The answer, from its start; its reader's to close. Raises `NoRoom`."""
        try:
            self._file.seek(0)
        except OSError as error:
            raise NoRoom(error) from error
        return self._file


def blocks(body: IO[bytes], length: int) -> Iterator[bytes]:
    """The body of a request, `length` bytes of it. Raises `ExchangeFailed` when there are fewer."""
    while length > 0:
        block = body.read(min(length, BLOCK_BYTES))
        if not block:
            raise ExchangeFailed("The request's body ended before its stated length.")
        length -= len(block)
        yield block
