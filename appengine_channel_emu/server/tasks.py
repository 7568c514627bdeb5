"""Waitress's tasks: one request and its answer, with an end that keeps the connection where it may be kept."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, ClassVar

from waitress.channel import ClientDisconnected
from waitress.task import ErrorTask, Task, WSGITask
from waitress.utilities import build_http_date

from appengine_channel_emu.web.waiting import Waiting
from appengine_channel_emu.web.wsgi import SERVER_HINTS, ConnectionCut, ServerHints

HEADS = 64
"""Heads of answers that are kept to be used again."""


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
        ident = self.channel.server.adj.ident
        fields.append(("Via" if "Server" in names else "Server", ident))
        if "Date" not in names:
            fields.append(("Date", build_http_date(self.start_time)))
        self.response_headers = fields
        # In the order of their names; those of one name in their own.
        lines = [f"{name}: {value}" for name, value in sorted(fields, key=lambda field: field[0])]
        return "\r\n".join([f"HTTP/{self.version} {self.status}", *lines, "", ""]).encode("latin-1")

    def set_close_on_finish(self) -> None:
        """See waitress; the head says it, if it has not been sent yet."""
        self.close_on_finish = True

    def write(self, data: bytes) -> None:
        """See waitress; an answer to HEAD has no body (RFC 9110, section 9.3.2)."""
        super().write(b"" if self.request.command == "HEAD" else data)


class ParkingTask(FramedTask, WSGITask):  # type: ignore[misc]
    """A task whose answer goes out from the thread that made it, in one piece."""

    environ: dict[str, Any]
    overdue = False
    """Whether it has waited for too long."""
    _parked = False
    _heads: ClassVar[dict[object, tuple[bytes, bool]]] = {}

    def service(self) -> None:
        """See waitress; a connection that is to be cut ends as if its client had gone."""
        waits = False
        try:
            super().service()
        except ConnectionCut:
            raise ClientDisconnected from None
        except Parked as parked:
            parked.task = self
            self._parked = waits = True
            # What those in front of the gate need; thousands of whole ones take memory, and time to let go of.
            hints = TaskHints(waiting=parked.waiting)
            self.environ = {"REMOTE_ADDR": self.environ["REMOTE_ADDR"], SERVER_HINTS: hints}
            raise
        finally:
            if not waits:
                self.channel.has_written()

    def get_environment(self) -> dict[str, Any]:
        """See waitress; made when it is first asked for."""
        if self.environ is None:
            environ: dict[str, Any] = super().get_environment()
            channel = self.channel
            environ[SERVER_HINTS] = TaskHints(channel.addr[0], self.overdue, channel.when_sent)
        return self.environ

    def send_head(self) -> None:
        """Send the head of an answer that is not there yet."""
        self.write(b"")
        self.channel.flush()

    def build_response_header(self) -> bytes:
        """See waitress; of those parked, thousands have the same head within a second, which it makes once."""
        request = self.request
        if not self._parked or request.connection_close:
            return super().build_response_header()
        key = (self.version, self.status, request.command, int(self.start_time), *self.response_headers)
        known = self._heads.get(key)
        if known is not None:
            head, self.chunked_response = known
            return head
        head = super().build_response_header()
        if not self.close_on_finish:
            if len(self._heads) >= HEADS:
                self._heads.clear()
            self._heads[key] = head, self.chunked_response
        return head

    def finish(self) -> None:
        """Send what was written, without waiting for the loop to do it."""
        super().finish()
        self.channel.flush()


class RefusalTask(FramedTask, ErrorTask):  # type: ignore[misc]
    """The answer to what is not served at all."""

    def execute(self) -> None:
        """See waitress; some of what was sent may be in it."""
        self.response_headers.append(("X-Content-Type-Options", "nosniff"))
        super().execute()


@functools.lru_cache(1024)
def _capitalised(name: str) -> str:
    return "-".join(part.capitalize() for part in name.split("-"))
