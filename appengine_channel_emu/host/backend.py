"""The app behind the front: what it is asked, what a visitor is answered, and the way from one to the other.

The front answers what belongs to the Channel API and hands every other request to its backend. That reads the request,
has an origin answer it (a process started by us, the SDK's dev server, an app that is running elsewhere), and makes a
page of whatever goes wrong. The app's answer is buffered whole, as App Engine did (facts.md 9.3): a visitor gets all of
it, or a page that says why not.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from html import escape
from http import HTTPStatus
from typing import IO, TYPE_CHECKING, Any, Protocol

from appengine_channel_emu.host.answer_reader import BLOCK_BYTES, HttpAnswer
from appengine_channel_emu.host.errors import HandlerCut, Overrun, RequestFailed
from appengine_channel_emu.host.exchange import HttpRequest
from appengine_channel_emu.host.proxy import read_request, returned

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

PRESENCE_ADDRESS = "0.1.0.10"
"""Where presence posts came from on the real servers (facts.md 5.1)."""

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{status} {title}</title>
<style>body {{ font: 16px/1.5 sans-serif; max-width: 50em; margin: 2em auto; padding: 0 1em }}
pre {{ background: #f3f3f3; padding: 1em; overflow: auto; font-size: 14px }}</style></head>
<body><h1>{title}</h1>
<p>{text}</p>
{detail}<p><small>Answered by the Channel API emulator, instead of the app.</small></p>
</body></html>
"""


@dataclass(slots=True)
class AppAnswer:
    """What a visitor is answered in the app's name, by the app itself or, where it has no answer to give, by a page.

    status:      with its reason phrase, as WSGI has it.
    headers:     with the Content-Length, where there is to be one.
    body:        closed by `close`, read or not.
    cpu_seconds: of the app's handler, where that is known.
    cut:         whether the handler was ended at the request's deadline.
    """

    status: str
    headers: list[tuple[str, str]]
    body: Iterable[bytes] = ()
    cpu_seconds: float | None = None
    cut: bool = False

    def read(self) -> bytes:
        """The whole body, which is closed."""
        try:
            return b"".join(self.body)
        finally:
            self.close()

    def close(self) -> None:
        """Let go of the body."""
        close = getattr(self.body, "close", None)
        if close is not None:
            close()


class Serves(Protocol):
    """The part of a backend that the front needs."""

    def serve(self, environ: WSGIEnvironment, request_id: str | None) -> AppAnswer:
        """Serves one request of a visitor.

        `request_id` names the request in the app's calls of the server API (`X-AppEngine-API-Ticket`), where what the
        app sends is to be told from what others send.
        """


class Backend(Serves, Protocol):
    """One app, served to visitors and, by internal posts, to the emulator."""

    @property
    def takes_presence(self) -> bool:
        """Whether the app asks to be told of clients that connect and disconnect."""

    @property
    def presence_hint(self) -> str | None:
        """What to tell the user when a client connects and the app is not told; None where that is as it should be."""

    @property
    def looks_for_app(self) -> bool:
        """Whether `why_unreachable` looks for the app, which may take a second."""

    def start(self) -> None:
        """Returns when the app can be served. Raises `CannotStart`."""

    def stop(self) -> None:
        """Ends the app and everything it started; may be called several times, and without `start`."""

    def post(self, path: str, body: bytes, content_type: str, timeout: float) -> int:
        """Posts to the app on the emulator's own behalf (presence) and returns the status of its answer.

        `path` is the raw request target, `timeout` is in seconds. Raises a `RequestFailed`.
        """

    def why_unreachable(self) -> str | None:
        """Why the app cannot be reached now, where it may come and go without the emulator; None while it can."""


@dataclass(frozen=True, slots=True)
class ScriptCall:
    """Which script of an app.yaml answers a request, and what it finds in its environ beside the request itself.

    target:  "module:callable" in the app's folder.
    environ: of JSON values.
    """

    target: str
    environ: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AboutRequest:
    """What an origin may want to know of a request beside what is sent.

    environ:      in terms of WSGI, who asks and where, at the front: REMOTE_ADDR, SERVER_NAME, wsgi.url_scheme...
    request_id:   as in `Backend.serve`.
    script:       None where the origin has only one.
    post_seconds: how long a post of the emulator's own may take; None for the request of a visitor.
    """

    environ: WSGIEnvironment
    request_id: str | None = None
    script: ScriptCall | None = None
    post_seconds: float | None = None


class Origin(Protocol):
    """One kind of app, as `ProxyBackend` asks it."""

    looks_for_app: bool

    def start(self) -> None:
        """See `Backend`."""

    def stop(self) -> None:
        """See `Backend`."""

    def why_unreachable(self) -> str | None:
        """See `Backend`."""

    def send(self, request: HttpRequest, about: AboutRequest) -> HttpAnswer:
        """Has the app answer. Raises a `RequestFailed`.

        The time that a visitor's request has is the origin's own affair. `request` is the origin's to change.
        """


class ProxyBackend:
    """The backend of every app that is asked in HTTP, which `origin` does.

    address:      the emulator's `host:port`.
    deadline:     seconds that a request may take, for the page that says so.
    timeout_page: body and MIME type of that page; None: one of ours.
    takes_presence, presence_hint: as in `Backend`.
    """

    def __init__(
        self,
        origin: Origin,
        address: str,
        deadline: float | None,
        *,
        timeout_page: tuple[bytes, str] | None = None,
        takes_presence: bool = True,
        presence_hint: str | None = None,
    ) -> None:
        self.takes_presence = takes_presence
        self.presence_hint = presence_hint
        self._origin = origin
        self._address = address
        self._deadline = deadline
        self._timeout_page = timeout_page
        self.looks_for_app = origin.looks_for_app
        self.start = origin.start
        self.stop = origin.stop
        self.why_unreachable = origin.why_unreachable

    def serve(self, environ: WSGIEnvironment, request_id: str | None, script: ScriptCall | None = None) -> AppAnswer:
        """See `Backend`."""
        try:
            request = read_request(environ)
            answer = self._origin.send(request, AboutRequest(environ, request_id, script))
        except RequestFailed as failed:
            return self._page(failed)
        return _passed_on(answer, request.method)

    def post(self, path: str, body: bytes, content_type: str, timeout: float, script: ScriptCall | None = None) -> int:
        """See `Backend`."""
        host, _, port = self._address.rpartition(":")
        environ = {"REMOTE_ADDR": PRESENCE_ADDRESS, "SERVER_NAME": host, "SERVER_PORT": port}
        headers = {"Host": self._address, "Content-Type": content_type}
        request = HttpRequest("POST", path, headers, io.BytesIO(body), len(body))
        try:
            answer = self._origin.send(request, AboutRequest(environ, None, script, timeout))
        except RequestFailed as failed:
            if failed.by_app:
                return 500
            raise
        answer.body.close()
        return answer.status

    def _page(self, failed: RequestFailed) -> AppAnswer:
        if isinstance(failed, Overrun | HandlerCut):
            return cut_answer(self._deadline or 0.0, self._timeout_page, failed.cpu_seconds)
        page = error_page(failed.status, failed.title, failed.explanation, detail=failed.detail)
        page.cpu_seconds, page.cut = failed.cpu_seconds, failed.cut
        return page


def _passed_on(answer: HttpAnswer, method: str) -> AppAnswer:
    """The app's answer to a request of `method` as the visitor gets it, with the length it really has."""
    # To HEAD the app says how long its body would be, or does not.
    length = answer.header("Content-Length") if method == "HEAD" else str(answer.length)
    fields = returned(answer.headers)
    if answer.status not in (204, 304) and length is not None:
        fields.append(("Content-Length", length))
    reason = re.sub(r"[^\x20-\x7e\xa0-\xff]", "", answer.reason)
    passed = AppAnswer(f"{answer.status} {reason}", fields, cpu_seconds=answer.cpu_seconds, cut=answer.cut)
    if not answer.length:
        answer.body.close()
    elif answer.length <= BLOCK_BYTES:
        with answer.body as body:
            passed.body = [body.read()]
    else:
        passed.body = _Blocks(answer.body)
    return passed


class _Blocks:
    """A body in blocks, closed by the server when it is done."""

    def __init__(self, body: IO[bytes]) -> None:
        self._body = body

    def __iter__(self) -> Iterator[bytes]:
        while block := self._body.read(BLOCK_BYTES):
            yield block

    def close(self) -> None:
        self._body.close()


def error_page(
    status: int,
    title: str,
    text: str,
    *,
    detail: str | None = None,
    headers: Iterable[tuple[str, str]] = (),
) -> AppAnswer:
    """A page of ours; everything given is shown as plain text.

    text:   what happened, and what to do about it.
    detail: preformatted, for instance a traceback.
    """
    page = _PAGE.format(
        status=status,
        title=escape(title),
        text=escape(text),
        detail=f"<pre>{escape(detail)}</pre>\n" if detail else "",
    ).encode("utf-8", "replace")
    return AppAnswer(
        f"{status} {HTTPStatus(status).phrase}",
        [
            ("Content-Type", "text/html; charset=utf-8"),
            ("Content-Length", str(len(page))),
            ("Cache-Control", "no-store"),
            ("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"),
            ("X-Content-Type-Options", "nosniff"),
            *headers,
        ],
        [page],
    )


def cut_answer(seconds: float, page: tuple[bytes, str] | None = None, cpu_seconds: float | None = None) -> AppAnswer:
    """The answer to a request that overran its deadline (behaviour.md 6): `page`, its body and MIME type, or ours."""
    if page is None:
        answer = error_page(
            500,
            "The request took too long",
            f"The app did not finish this request within {seconds:g} seconds, so it was ended, as App Engine does. "
            "A page that waits for news should use a channel instead of a long request.",
        )
    else:
        body, mime_type = page
        fields = [("Content-Type", mime_type), ("Content-Length", str(len(body))), ("Cache-Control", "no-cache")]
        answer = AppAnswer("500 Internal Server Error", fields, [body])
    answer.cpu_seconds, answer.cut = cpu_seconds, True
    return answer
