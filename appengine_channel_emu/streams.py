"""The process's standard streams, which may be closed, full, or a pipe that nobody reads; and the lines written there.

Log lines stay lines: what a visitor or an app puts into one neither begins another nor commands a terminal.
"""

from __future__ import annotations

import atexit
import contextlib
import io
import logging
import os
import re
import select
import stat
import sys
import threading
import time
from typing import Any, TextIO

HELD_BYTES = 1024 * 1024
"""Of lines that cannot be written yet."""

DRAIN_SECONDS = 1.0
_AT_ONCE = 4096
"""Bytes that a pipe with any room takes without blocking (PIPE_BUF)."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_CONTROL_IN_TRACEBACK = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def open_missing() -> None:
    """Have 0, 1 and 2 open: what is opened later would else get these numbers, and what is meant for the terminal."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


def say(line: str) -> None:
    """Write `line` to standard output, at once. Raises OSError; a standard output that is closed wants nothing."""
    if sys.stdout is None:
        return
    try:
        number = sys.stdout.fileno()
    except (OSError, ValueError):
        print(line, flush=True)
        return
    # Not by way of its buffer, which would try again, and fail again, when the process ends.
    data = f"{line}\n".encode()
    while data:
        data = data[os.write(number, data) :]


def nobody_reads() -> bool:
    """Whether standard output is a pipe whose reader has gone, as behind `| head -1`; nothing is written to see it."""
    try:
        poll = select.poll()
        poll.register(sys.stdout.fileno(), 0)
        return bool(poll.poll(0))
    except (AttributeError, OSError, ValueError):
        return False


def forget_output() -> None:
    """Drop what standard output could not write, or it fails once more when the process ends."""
    if sys.stdout is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def log_to(stream: TextIO) -> None:
    """Have standard error be a `LogStream` that writes where `stream` does, if that is a file of the system's."""
    with contextlib.suppress(OSError, ValueError):
        stream.flush()
        sys.stderr = made = LogStream(stream.fileno())
        atexit.register(made.drain)


def drain_log() -> None:
    """Wait a moment for what is held of the log, before the process ends without more ado."""
    if isinstance(sys.stderr, LogStream):
        sys.stderr.drain()


class LogStream(io.TextIOBase):
    """Writes to the descriptor `number`; whoever writes never waits, and never fails.

    What cannot be written is held and written as soon as it can be: a terminal may have been stopped with Ctrl-S, the
    reader of a pipe may be busy. Past `HELD_BYTES`, and where writing fails (a full disk), lines are lost, and it is
    said how many.
    """

    def __init__(self, number: int) -> None:
        self._number = number
        self._lock = threading.Lock()
        self._out = _for_itself(number)
        self._held: list[bytes] = []
        self._size = self._lost = 0

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """See io."""
        return "utf-8"

    def fileno(self) -> int:
        """See io."""
        return self._number

    def isatty(self) -> bool:
        """See io."""
        return os.isatty(self._number)

    def writable(self) -> bool:
        """See io."""
        return True

    def write(self, text: str) -> int:
        """See io."""
        data = text.encode("utf-8", "backslashreplace")
        with self._lock:
            if self._size + len(data) > HELD_BYTES and self._held:
                self._lost += 1
                return len(text)
            writing = bool(self._held)
            self._held.append(data)
            self._size += len(data)
            if not writing and not self._write_held():
                threading.Thread(target=self._go_on, name="log", daemon=True).start()
        return len(text)

    def flush(self) -> None:
        """See io; what is held is written when it can be."""

    def drain(self) -> None:
        """Wait a moment for what is held."""
        give_up = time.monotonic() + DRAIN_SECONDS
        while self._held and time.monotonic() < give_up:
            time.sleep(0.01)

    def _go_on(self) -> None:
        poll = select.poll()
        poll.register(self._out, select.POLLOUT)
        done = False
        while not done:
            poll.poll()
            with self._lock:
                done = self._write_held()
            time.sleep(0.01)

    def _write_held(self) -> bool:
        """Write what can be written; whether that is all."""
        while self._held:
            try:
                rest = self._write(self._held[0])
            except OSError:
                rest, self._lost = b"", self._lost + 1
            self._size -= len(self._held[0]) - len(rest)
            if rest:
                self._held[0] = rest
                return False
            del self._held[0]
        if self._lost:
            with contextlib.suppress(OSError):
                if not self._write(f"channel-emu: {self._lost} lines of the log have been lost.\n".encode()):
                    self._lost = 0
        return True

    def _write(self, data: bytes) -> bytes:
        """Write `data`; what of it would have to wait. Raises OSError."""
        poll = select.poll()
        poll.register(self._out, select.POLLOUT)
        while data and poll.poll(0):
            try:
                data = data[os.write(self._out, data[:_AT_ONCE]) :]
            except BlockingIOError:
                break
        return data


def _for_itself(number: int) -> int:
    """The same file, in a mode of its own in which writing never blocks, where the system has that; else `number`."""
    with contextlib.suppress(OSError):
        if stat.S_ISFIFO(os.fstat(number).st_mode) or os.isatty(number):
            return os.open(f"/proc/self/fd/{number}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    return number


def one_line(text: str) -> str:
    """`text` with its control characters written as escapes, line ends among them."""
    return _CONTROL.sub(_escaped, text)


def no_control(text: str) -> str:
    """The same, but line ends and tabs stay."""
    return _CONTROL_IN_TRACEBACK.sub(_escaped, text)


def _escaped(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode("ascii")


class LineFormatter(logging.Formatter):
    """One line for each record; a traceback follows on lines of its own."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        """See logging."""
        record.message = one_line(record.message)
        return super().formatMessage(record)

    def formatException(self, ei: object) -> str:
        """See logging; the exception's text may hold anything."""
        return no_control(super().formatException(ei))  # type: ignore[arg-type]


class JsonFormatter(logging.Formatter):
    """One JSON object, in ASCII, on one line for each record, a traceback in it.

    `time` (ISO 8601, UTC), `level`, `logger`, `message`; of an event (`extra={"event": …}`) its `kind`, `client_id`,
    `socket` and `detail`; and what else the record brings as `extra={"fields": …}`.
    """

    def __init__(self) -> None:
        super().__init__()
        # Imported here, because every command imports this module, and few write JSON.
        import json

        self._written = json.dumps

    def format(self, record: logging.LogRecord) -> str:
        """See logging."""
        line: dict[str, Any] = {
            "time": f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(record.created))}.{int(record.msecs):03}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        event = getattr(record, "event", None)
        if event is not None:
            line |= {name: getattr(event, name) for name in ("kind", "client_id", "socket", "detail")}
        line |= getattr(record, "fields", {})
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return self._written(line, default=str)


def takes_colour(stream: TextIO) -> bool:
    """Whether `stream` is a terminal whose user has nothing against colours (https://no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
