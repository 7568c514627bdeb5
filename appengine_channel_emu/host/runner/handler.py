"""One request: to the app and back, with what the app answers checked against the protocol (PEP 3333)."""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from . import RunnerInfo
from .deadline import Deadlines
from .loading import ASGI_HELP, Apps, NotLoaded, is_awaitable, traceback_of
from .report import Report, SourceLog

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

REQUEST_KEY = "HTTP_CHANNEL_EMU_REQUEST"
TICKET_KEY = "HTTP_X_APPENGINE_API_TICKET"
"""What appengine-python-standard asks for before it calls a service at all."""
NO_TICKET = "none"
RESULT_HEADER = "Channel-Emu-Result"
HOP_BY_HOP = frozenset(
    ["connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer", "transfer-encoding",
     "upgrade"]
)  # fmt: skip

LONGEST_TEXT = 8000
"""Characters of a failure's text that the front is sent."""

LONGEST_TRACEBACK = 100_000
"""Characters of its traceback."""


Response = tuple[str, list[tuple[str, str]], bytes]
"""Status, headers with the length of the body among them, and the body."""


class AppFailed(Exception):
    """The request gets a page of the front's instead of the app's answer.

    kind:      "raised", "deadline", "import", "protocol" or "too_large".
    traceback: where in the app, if that is known.
    """

    def __init__(self, kind: str, text: str, traceback: str = "") -> None:
        super().__init__(text)
        self.kind = kind
        self.traceback = traceback


class CheckedAnswer:
    """What the app makes of `start_response`, `write` and its iterable. `complete`: nothing more will come."""

    def __init__(self, max_bytes: int) -> None:
        self.status = ""
        self.headers: list[tuple[str, str]] = []
        self.complete = False
        self._body: list[bytes] = []
        self._length = 0
        self._max_bytes = max_bytes

    def start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: Any = None, /
    ) -> Callable[[bytes], object]:
        """Given to the app."""
        if self.status and not exc_info:
            raise AppFailed("protocol", "start_response was called a second time, without exc_info.")
        if not isinstance(status, str) or not re.fullmatch(r"[2-9]\d\d( [\x20-\x7e\xa0-\xff]*)?", status):
            raise AppFailed("protocol", f'{status!r} is not a status such as "200 OK".')
        self.headers = [_checked_header(item) for item in headers]
        self.status = status
        return self.write

    def write(self, block: bytes) -> None:
        """Given to the app."""
        if not isinstance(block, bytes):
            raise AppFailed("protocol", f"The body must be bytes, not {type(block).__name__}.")
        self._length += len(block)
        if self._length > self._max_bytes:
            raise AppFailed("too_large", f"The answer is larger than {self._max_bytes // 2**20} MiB.")
        self._body.append(block)

    def collect(self, parts: Iterable[bytes]) -> None:
        """Takes what the app returned, to its end."""
        try:
            if is_awaitable(parts):
                raise AppFailed("protocol", f"The app is an ASGI application. {ASGI_HELP}")
            if callable(parts) and not hasattr(parts, "__iter__"):
                raise AppFailed("protocol", "The app returned a callable: it may be a factory; name a call of it.")
            for block in parts:
                self.write(block)
        finally:
            close = getattr(parts, "close", None)
            if close is not None:
                close()
        if not self.status:
            raise AppFailed("protocol", "The app returned without having called start_response.")
        self.complete = True

    def body(self) -> bytes:
        """All of it."""
        return b"".join(self._body)


def _checked_header(item: Any) -> tuple[str, str]:
    if not isinstance(item, (tuple, list)) or len(item) != 2:
        raise AppFailed("protocol", f"{item!r} is not a header: a pair of name and value.")
    name, value = item
    if not isinstance(name, str) or not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name):
        raise AppFailed("protocol", f"{name!r} is not a header name.")
    if not isinstance(value, str) or not re.fullmatch(r"[\t\x20-\x7e\x80-\xff]*", value):
        raise AppFailed("protocol", f"The value of the header {name} is not a string of Latin-1 on one line.")
    return name, value


class RequestHandler:
    """Given to the server: runs the app for one request and answers when it has finished."""

    def __init__(
        self,
        apps: Apps,
        info: RunnerInfo,
        report: Report,
        sources: SourceLog,
        deadlines: Deadlines,
        do: Callable[[Callable[[], None]], None],
    ) -> None:
        self._apps = apps
        self._info = info
        self._report = report
        self._sources = sources
        self._deadlines = deadlines
        self._do = do

    def __call__(self, environ: WSGIEnvironment) -> Response:
        """Answers one request, on whichever thread `do` runs it."""
        request = json.loads(environ.pop(REQUEST_KEY, "{}"))
        self._prepare(environ, request.get("environ", {}))
        environ.setdefault(TICKET_KEY, request.get("request_id") or NO_TICKET)
        answer = CheckedAnswer(self._info.max_answer)
        result: dict[str, Any] = {}
        failures: list[AppFailed] = []

        def work() -> None:
            cpu = CpuClock()
            try:
                self._run(environ, answer, request, result, cpu)
            except AppFailed as failure:
                failures.append(failure)
            except BaseException as error:
                # Ours, not the app's; whoever waits for this work waits for its end alone.
                sys.stderr.write(traceback_of(error))
                failures.append(AppFailed("raised", type(error).__name__))
            result["cpu"] = cpu.used()

        self._do(work)
        self._sources.report()
        return self._response(answer, failures[0] if failures else None, result, environ)

    def _prepare(self, environ: WSGIEnvironment, at_the_front: dict[str, Any]) -> None:
        """Makes the environ what it would be if the app were at the front (facts.md 9.2)."""
        for name, value in self._info.environ.items():
            environ.setdefault(name, value)
        environ.update(at_the_front)
        environ["SERVER_SOFTWARE"] = os.environ.get("SERVER_SOFTWARE", "")
        environ["HTTPS"] = "on" if environ["wsgi.url_scheme"] == "https" else "off"
        environ["wsgi.multithread"] = self._info.threads is not None
        environ["wsgi.multiprocess"] = self._info.threads is None
        environ["wsgi.errors"] = sys.stderr

    def _run(
        self,
        environ: WSGIEnvironment,
        answer: CheckedAnswer,
        request: dict[str, Any],
        result: dict[str, Any],
        cpu: CpuClock,
    ) -> None:
        shim = sys.modules.get("channel_emu_shim")
        if shim is not None:
            # On the thread of the handler: what it reads of os.environ and google.appengine.api.users, and what its
            # calls of google.appengine.api.channel name.
            shim.begin_request(environ, request.get("request_id"))
        try:
            app = self._apps.get(request.get("target", self._info.target))
        except NotLoaded as failed:
            raise AppFailed("import", type(failed).__name__, str(failed)) from None

        def handle() -> None:
            answer.collect(app(environ, answer.start_response))

        def overrun() -> None:
            result["cut"] = True
            with contextlib.suppress(OSError):
                self._report.send(overrun=request.get("number"), cpu=cpu.used())

        try:
            self._deadlines.run(handle, overrun)
        except AppFailed as failure:
            sys.stderr.write(f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']!r}: {failure}\n")
            raise
        except BaseException as error:
            if answer.complete:
                return  # Its last act, or the deadline came just behind it.
            traceback = traceback_of(error)
            sys.stderr.write(traceback)
            kind = "deadline" if isinstance(error, self._deadlines.error) else "raised"
            raise AppFailed(kind, type(error).__name__, traceback) from None

    def _response(
        self, answer: CheckedAnswer, failure: AppFailed | None, result: dict[str, Any], environ: WSGIEnvironment
    ) -> Response:
        """The app's, or of a request that failed what the front makes its page of, with the traceback as the body."""
        status, headers, body = answer.status, answer.headers, answer.body()
        if failure is not None:
            result["failure"] = {"kind": failure.kind, "text": _shortened(str(failure), LONGEST_TEXT)}
            traceback = _shortened(failure.traceback, LONGEST_TRACEBACK)
            status, headers, body = "500 Internal Server Error", [], traceback.encode("utf-8", "backslashreplace")
        if status.startswith(("204", "304")):
            body = b""
        is_head = environ["REQUEST_METHOD"] == "HEAD"
        kept = [(name, value) for name, value in headers if self._passes(name, is_head and not body)]
        if not (is_head and not body) or "content-length" not in {name.lower() for name, _ in kept}:
            kept.append(("Content-Length", str(len(body))))
        kept.append((RESULT_HEADER, json.dumps(result)))
        return status, kept, b"" if is_head else body

    @staticmethod
    def _passes(name: str, keeps_length: bool) -> bool:
        lower = name.lower()
        if lower == "content-length":
            return keeps_length
        return lower not in HOP_BY_HOP and not lower.startswith("channel-emu-")


def _shortened(text: str, longest: int) -> str:
    """Both ends of it: the front reads headers of 64 KiB at most, and JSON may take six bytes for a character."""
    return text if len(text) <= longest else f"{text[: longest // 2]} … {text[-longest // 2 :]}"


class CpuClock:
    """The CPU time that the thread which made it has used since."""

    def __init__(self) -> None:
        self._thread = threading.get_ident()
        find = getattr(time, "pthread_getcpuclockid", None)
        self._clock = find(self._thread) if find else None
        self._started = self._now()

    def used(self) -> float | None:
        """In seconds. None if another thread asks on a system that cannot tell."""
        if self._clock is None and threading.get_ident() != self._thread:
            return None
        return round(self._now() - self._started, 6)

    def _now(self) -> float:
        return time.thread_time() if self._clock is None else time.clock_gettime(self._clock)
