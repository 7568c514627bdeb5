"""What goes out: waitress's tasks, each an answer to one request, and what a client has not taken yet of its answers.

An answer keeps the connection where that may be kept.
"""

from __future__ import annotations

import functools
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from threading import Condition, RLock
from typing import IO, Any

from waitress.buffers import OverflowableBuffer
from waitress.channel import ClientDisconnected
from waitress.task import ErrorTask, Task, WSGITask
from waitress.utilities import build_http_date

from appengine_channel_emu.host.pages import error_page
from appengine_channel_emu.host.visitors import SERVER_HINTS, ServerHints, wants_html
from appengine_channel_emu.web.waiting import Waiting
from appengine_channel_emu.web.wsgi import ConnectionCut

HEADS = 64
"""Heads of answers that are kept to be used again."""

BLOCK_BYTES = 256 * 1024
"""What is written to a file at a time."""


@dataclass(slots=True)
class TaskHints(ServerHints):
    """The hints of a task; of one that goes on, all that is left is what it has waited for."""

    waiting: Waiting | None = None


class Parked(BaseException):
    """Not an error: unwinds a task whose answer is not ready."""

    task: ParkingTask

    def __init__(self, waiting: Waiting) -> None:
        super().__init__()
        self.waiting = waiting


class FramedTask(Task):  # type: ignore[misc]
    """Its answer says where it ends (RFC 9112, sections 6.3 and 9.3), and closes the connection only where it must.

    Waitress closes it after each answer without a Content-Length, sends bodies in answer to HEAD, and knows one option
    of a Connection header.
    """

    response_headers: list[tuple[str, str]]
    content_length: int | None
    close_on_finish: bool

    def build_response_header(self) -> bytes:
        """See waitress."""
        fields = [(_capitalised(name), value) for name, value in self.response_headers]
        names = {name for name, _ in fields}
        if not self.has_body:
            fields = [field for field in fields if field[0] != "Content-Length"]
            self.content_length = None
        elif "Content-Length" not in names and self.content_length is not None:
            fields.append(("Content-Length", str(self.content_length)))
        is_head = self.request.command == "HEAD"
        delimited = is_head or not self.has_body or self.content_length is not None
        if not delimited and self.version == "1.1":
            fields.append(("Transfer-Encoding", "chunked"))
            self.chunked_response = delimited = True
        if self.close_on_finish or self.request.connection_close or not delimited:
            self.close_on_finish = True
            fields.append(("Connection", "close"))
        elif self.version == "1.0":
            fields.append(("Connection", "Keep-Alive"))
        self.response_headers = fields
        return whole_head(self.version, self.status, fields, self.channel.server.adj.ident, self.start_time)

    def set_close_on_finish(self) -> None:
        """See waitress; the head says it, if it has not been sent yet."""
        self.close_on_finish = True

    def write(self, data: bytes) -> None:
        """See waitress; an answer to HEAD has no body (RFC 9110, section 9.3.2)."""
        super().write(b"" if self.request.command == "HEAD" else data)


def whole_head(version: str, status: str, fields: list[tuple[str, str]], ident: str, began: float) -> bytes:
    """The head of an answer that began at that time; to its `fields` come the server's name and the date."""
    names = {name for name, _ in fields}
    fields.append(("Via" if "Server" in names else "Server", ident))
    if "Date" not in names:
        fields.append(("Date", build_http_date(began)))
    # In the order of their names; those of one name in their own.
    lines = [f"{name}: {value}" for name, value in sorted(fields, key=lambda field: field[0])]
    return "\r\n".join([f"HTTP/{version} {status}", *lines, "", ""]).encode("latin-1")


class Heads:
    """Heads of answers that keep a connection of HTTP/1.1: thousands have the same one within a second."""

    def __init__(self, ident: str) -> None:
        self._ident = ident
        self._second = 0
        self._known: dict[object, bytes] = {}

    def get(self, status: str, headers: list[tuple[str, str]], length: int | None) -> bytes:
        """The head of an answer that begins at this moment, whose body has `length` bytes; None: comes in chunks."""
        now = int(time.time())
        if now != self._second or len(self._known) >= HEADS:
            self._second = now
            self._known.clear()
        key = (status, length, *headers)
        head = self._known.get(key)
        if head is None:
            framing = ("Transfer-Encoding", "chunked") if length is None else ("Content-Length", str(length))
            fields = [*((_capitalised(name), value) for name, value in headers), framing]
            head = self._known[key] = whole_head("1.1", status, fields, self._ident, now)
        return head


class ParkingTask(FramedTask, WSGITask):  # type: ignore[misc]
    """A task whose answer goes out from the thread that made it, in one piece."""

    environ: dict[str, Any]
    overdue = False
    """Whether it has waited for too long."""

    def service(self) -> None:
        """See waitress; a connection that is to be cut ends as if its client had gone."""
        waits = False
        try:
            super().service()
        except ConnectionCut:
            raise ClientDisconnected from None
        except Parked as parked:
            parked.task = self
            waits = True
            self.go_on_with(parked.waiting)
            raise
        finally:
            if not waits:
                self.channel.has_written()

    def get_environment(self) -> dict[str, Any]:
        """See waitress; made when it is first asked for."""
        if self.environ is None:
            environ: dict[str, Any] = super().get_environment()
            channel, request = self.channel, self.request
            upgrades = self.version == "1.1" and request.command == "GET" and request.body_rcv is None
            environ[SERVER_HINTS] = TaskHints(channel.addr[0], self.overdue, channel.when_sent, upgrades)
        return self.environ

    def go_on_with(self, waiting: Waiting) -> None:
        """Its answer is `waiting`, of which the head may have been sent."""
        # What those in front of `ParkingMiddleware` need: thousands of whole ones take memory, and time to free.
        address = self.channel.addr[0] if self.environ is None else self.environ["REMOTE_ADDR"]
        self.environ = {"REMOTE_ADDR": address, SERVER_HINTS: TaskHints(waiting=waiting)}
        if waiting.head_sent:
            self.complete = self.wrote_header = self.chunked_response = True

    def send_head(self) -> None:
        """Send the head of an answer that is not there yet."""
        self.write(b"")
        self.channel.flush()

    def finish(self) -> None:
        """Send what was written, without waiting for the loop to do it."""
        super().finish()
        self.channel.flush()


class RefusalTask(FramedTask, ErrorTask):  # type: ignore[misc]
    """The answer to what is not served at all."""

    def execute(self) -> None:
        """See waitress; some of what was sent may be in it."""
        environ = self._environ()
        if not wants_html(environ):
            self.response_headers.append(("X-Content-Type-Options", "nosniff"))
            super().execute()
            return
        error = self.request.error
        page = error_page(environ, error.code, error.reason, error.body, setting=getattr(error, "setting", ""))
        body = page.read()
        self.status = page.status
        self.response_headers.extend(page.headers)
        self.set_close_on_finish()
        self.content_length = len(body)
        self.write(body)

    def _environ(self) -> dict[str, str]:
        """What is known of the request: perhaps nothing but who sends it."""
        request = self.request
        target = getattr(request, "request_uri", request.path)
        known = {"REMOTE_ADDR": self.channel.addr[0], "REQUEST_METHOD": request.command, "REQUEST_URI": target}
        headers = getattr(request, "headers", {})
        return known | {name if name.startswith("CONTENT_") else f"HTTP_{name}": headers[name] for name in headers}


class AnswerBuffer:
    """Waitress's buffer of an answer: bytes in memory, and from `overflow` bytes on in a temporary file.

    Where that has no room everything stays in memory: what has been sent of an answer cannot be taken back.
    """

    __slots__ = ("_file", "_memory", "_overflow", "_read", "_written")

    def __init__(self, overflow: int) -> None:
        self._overflow = overflow
        self._memory = bytearray()
        self._file: IO[bytes] | None = None
        self._read = self._written = 0
        """What is in the file, and comes before what is in memory: from here, to there."""

    def __len__(self) -> int:
        return self._written - self._read + len(self._memory)

    def append(self, data: bytes) -> None:
        """Add `data` at the end."""
        self._memory += data
        if len(self._memory) >= self._overflow:
            try:
                self._spool()
            except OSError:
                self._overflow = sys.maxsize

    def get(self, count: int) -> bytes:
        """Up to `count` bytes of its beginning, which stay."""
        if self._file is not None and self._read < self._written:
            return os.pread(self._file.fileno(), min(count, self._written - self._read), self._read)
        return bytes(self._memory[:count])

    def skip(self, count: int, allow_prune: bool = False) -> None:
        """Forget `count` bytes of its beginning, at most as many as `get` returned."""
        if self._read < self._written:
            self._read += count
            if self._read == self._written:
                # A stream has one buffer for life: what comes next is written over what has been sent.
                self._read = self._written = 0
        else:
            del self._memory[:count]

    def close(self) -> None:
        """Forget everything."""
        file, self._file = self._file, None
        self._read = self._written = 0
        self._memory.clear()
        if file is not None:
            file.close()

    def _spool(self) -> None:
        """Move what is in memory to the file. Raises OSError with everything where it was."""
        if self._file is None:
            self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - see close
        number, done = self._file.fileno(), 0
        try:
            while done < len(self._memory):
                done += os.pwrite(number, self._memory[done : done + BLOCK_BYTES], self._written + done)
        except OSError:
            os.ftruncate(number, self._written)
            raise
        self._written += done
        self._memory = bytearray()


class AnswerBuffers(list[Any]):
    """A connection's buffers. Waitress's own kind fails where the temporary folder is full."""

    __slots__ = ("_overflow",)

    def __init__(self, overflow: int) -> None:
        super().__init__([AnswerBuffer(overflow)])
        self._overflow = overflow

    def append(self, buffer: Any) -> None:
        """See list; in the place of an empty one of waitress's kind comes one of ours."""
        super().append(AnswerBuffer(self._overflow) if isinstance(buffer, OverflowableBuffer) else buffer)


class BuffersLock:
    """What waitress does with a threading.Condition, of which each connection has one: it takes more than 1 KiB.

    Here there is one once somebody waits, for a client that does not take what has been written for it.
    """

    __slots__ = ("_condition", "_lock")

    def __init__(self) -> None:
        self._lock = RLock()
        self._condition: Condition | None = None

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *exc_info: object) -> None:
        self._lock.release()

    def acquire(self, blocking: bool = True) -> bool:
        """See threading.RLock."""
        return self._lock.acquire(blocking)

    def release(self) -> None:
        """See threading.RLock."""
        self._lock.release()

    def wait(self) -> None:
        """See threading.Condition; this and `notify` are called by who holds it."""
        if self._condition is None:
            self._condition = Condition(self._lock)
        self._condition.wait()

    def notify(self) -> None:
        """See threading.Condition."""
        if self._condition is not None:
            self._condition.notify()


@functools.lru_cache(1024)
def _capitalised(name: str) -> str:
    return "-".join(part.capitalize() for part in name.split("-"))
