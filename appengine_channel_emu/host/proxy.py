"""Forwards a visitor's request to the app and the app's answer to the visitor: WSGI on one side, HTTP/1.1 on the other.

The request target goes on as the visitor sent it. The answer is buffered whole, as App Engine did (facts.md 9.3), so a
visitor gets all of it or a page of ours that says what went wrong.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING
from urllib.parse import quote

from . import headers
from .backend import AppAnswer
from .exchange import Answer, AnswerTooLarge, ExchangeFailed, NoRoom, Overrun, Request, Unreachable, Upstream
from .pages import error_page

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

_ABSOLUTE_FORM = re.compile(r"\A[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_BLOCK_BYTES = 64 * 1024


class NotForwardable(Exception):
    """A request that no app gets to see. `status` is the answer's; the text says why."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


def serve(upstream: Upstream, environ: WSGIEnvironment, *, deadline: float | None = None) -> AppAnswer:
    """What `upstream` answers to the visitor's request, or a page that says why it does not.

    `deadline` is in seconds, for the whole exchange. Past it the answer has status 500 and is `cut`.
    """
    try:
        answer = upstream.exchange(read_request(environ), deadline)
    except NotForwardable as refusal:
        return refused(refusal)
    except ExchangeFailed as failure:
        return failed(failure, deadline)
    return passed_on(answer, environ["REQUEST_METHOD"])


def read_request(environ: WSGIEnvironment) -> Request:
    """The visitor's request as the app shall get it. Raises `NotForwardable`."""
    method = environ["REQUEST_METHOD"]
    if method == "CONNECT" or not _TOKEN.fullmatch(method):
        raise NotForwardable(501, f"The method {method} is not served.")
    if "websocket" in environ.get("HTTP_UPGRADE", "").lower():
        raise NotForwardable(
            501, "WebSocket is not served: App Engine had none. The Channel API pushes messages to a page."
        )
    target = environ.get("REQUEST_URI", "/")
    if not (target.startswith("/") or _ABSOLUTE_FORM.match(target) or (target, method) == ("*", "OPTIONS")):
        raise NotForwardable(400, "The target of a request is a path, which begins with a slash, or a whole address.")
    length = environ.get("CONTENT_LENGTH")
    return Request(
        method,
        raw_target(environ),
        headers.forwarded(environ),
        environ["wsgi.input"] if length else None,
        int(length) if length else None,
    )


def raw_target(environ: WSGIEnvironment) -> str:
    """The request target in origin form, otherwise as the visitor sent it."""
    target = origin_form(environ.get("REQUEST_URI") or _rebuilt_target(environ))
    # What no request line may carry: control characters, spaces and bytes beyond ASCII.
    return re.sub(r"[^\x21-\x7e]", lambda match: f"%{ord(match[0]) & 0xFF:02X}", target)


def origin_form(target: str) -> str:
    """`target` without the scheme and the host that it may begin with (RFC 9112, section 3.2)."""
    target = _ABSOLUTE_FORM.sub("", target, count=1)
    return target if target.startswith("/") or target == "*" else f"/{target}"


def _rebuilt_target(environ: WSGIEnvironment) -> str:
    path = quote(environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", ""), encoding="latin-1")
    query = environ.get("QUERY_STRING")
    return f"{path}?{query}" if query else path


def passed_on(answer: Answer, method: str) -> AppAnswer:
    """The app's answer to a request of `method` as the visitor gets it, with the length it really has."""
    # To HEAD the app says how long its body would be, or does not.
    length = answer.header("Content-Length") if method == "HEAD" else str(answer.length)
    fields = headers.returned(answer.headers)
    if answer.status not in (204, 304) and length is not None:
        fields.append(("Content-Length", length))
    reason = re.sub(r"[^\x20-\x7e\xa0-\xff]", "", answer.reason)
    passed = AppAnswer(f"{answer.status} {reason}", fields)
    if not answer.length:
        answer.body.close()
    elif answer.length <= _BLOCK_BYTES:
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
        while block := self._body.read(_BLOCK_BYTES):
            yield block

    def close(self) -> None:
        self._body.close()


def refused(refusal: NotForwardable) -> AppAnswer:
    return error_page(refusal.status, "Not served", str(refusal))


def failed(failure: ExchangeFailed, deadline: float | None) -> AppAnswer:
    """The page for an exchange that failed."""
    if isinstance(failure, Overrun):
        return deadline_page(deadline or 0.0)
    if isinstance(failure, Unreachable):
        return error_page(502, "The app is not there", f"{failure} Is it running?")
    if isinstance(failure, NoRoom):
        return error_page(507, "No room for the answer", str(failure))
    if isinstance(failure, AnswerTooLarge):
        return error_page(500, "Response too large", str(failure))
    return error_page(502, "The app gave no answer", f"{failure} Its log may say why.")


def cut_answer(seconds: float, page: tuple[bytes, str] | None, cpu_seconds: float | None = None) -> AppAnswer:
    """The answer to a request that overran its deadline: `page`, a body and its MIME type, or one of ours."""
    if page is None:
        return deadline_page(seconds, cpu_seconds)
    body, mime_type = page
    fields = [("Content-Type", mime_type), ("Content-Length", str(len(body))), ("Cache-Control", "no-cache")]
    return AppAnswer("500 Internal Server Error", fields, [body], cpu_seconds, cut=True)


def deadline_page(seconds: float, cpu_seconds: float | None = None) -> AppAnswer:
    """The answer to a request that overran its deadline (behaviour.md 6)."""
    page = error_page(
        500,
        "The request took too long",
        f"The app did not finish this request within {seconds:g} seconds, so it was ended, as App Engine does. "
        "A page that waits for news should use a channel instead of a long request.",
    )
    page.cpu_seconds, page.cut = cpu_seconds, True
    return page
