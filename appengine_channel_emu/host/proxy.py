"""The backend of every app that is asked in HTTP: a visitor's request in, the app's answer or a page of ours out.

The request target goes on as the visitor sent it. The app's answer is buffered whole, as App Engine did (facts.md 9.3):
a visitor gets all of it, or a page that says why not.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote

from appengine_channel_emu.host.answer_reader import BLOCK_BYTES, Headers, HttpAnswer
from appengine_channel_emu.host.backend import PRESENCE_ADDRESS, AppAnswer, AppDescription, FileBody
from appengine_channel_emu.host.errors import HandlerCut, NotForwardable, Overrun, RequestFailed
from appengine_channel_emu.host.exchange import HttpRequest
from appengine_channel_emu.host.pages import cut_page, error_page
from appengine_channel_emu.host.tracebacks import Traceback

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

INTERNAL_PREFIX = "channel-emu-"
"""Headers between the front and an instance begin with this; nobody else's do, because the proxy drops them."""

REQUEST_HEADER = "Channel-Emu-Request"
RESULT_HEADER = "Channel-Emu-Result"

# RFC 9110, section 7.6.1; Proxy-Connection is obsolete but still sent.
_HOP_BY_HOP = frozenset(
    ["connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer",
     "transfer-encoding", "upgrade"]
)  # fmt: skip
# The request line and the body's length are the proxy's own; a 100-continue has been answered by the front.
_NOT_FORWARDED = _HOP_BY_HOP | {"content-length", "expect"}
# The front sets Date and Server (facts.md 9.3); the length is that of the buffered body.
_NOT_RETURNED = _HOP_BY_HOP | {"content-length", "date", "server"}

# What the front itself says of the visitor, and where to: no visitor may have it left out.
_NEVER_NAMED = ("host", "content-type", "cookie", "x-forwarded-", "x-appengine-", "x-google-")

_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")

_ABSOLUTE_FORM = re.compile(r"\A[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


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
    """One kind of app, as `ProxyBackend` asks it. The members that `Backend` has too mean the same here."""

    looks_for_app: bool = False
    description: AppDescription = AppDescription("app", "")

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def why_unreachable(self) -> str | None:
        return None

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
        self.description = origin.description
        self.start = origin.start
        self.stop = origin.stop
        self.why_unreachable = origin.why_unreachable

    def share_sign_in(self, service: str, key: Callable[[], bytes]) -> None:
        """See `Backend`."""

    def serve(self, environ: WSGIEnvironment, request_id: str | None, script: ScriptCall | None = None) -> AppAnswer:
        """See `Backend`."""
        try:
            request = read_request(environ)
            answer = self._origin.send(request, AboutRequest(environ, request_id, script))
        except RequestFailed as failed:
            return self._page(environ, failed)
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

    def _page(self, environ: WSGIEnvironment, failed: RequestFailed) -> AppAnswer:
        if isinstance(failed, Overrun | HandlerCut):
            seconds = self._deadline or 0.0
            # App Engine's own limit from October 2011 on.
            longer = f"--request-deadline {60 if seconds < 60 else 2 * seconds:g}"
            where = failed.detail if isinstance(failed.detail, Traceback) else None
            return cut_page(environ, seconds, self._timeout_page, failed.cpu_seconds, where, longer)
        page = error_page(
            environ,
            failed.status,
            failed.title,
            failed.explanation,
            detail=failed.detail,
            setting=failed.setting,
            view="requests",
        )
        page.cpu_seconds, page.cut = failed.cpu_seconds, failed.cut
        return page


def read_request(environ: WSGIEnvironment) -> HttpRequest:
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
    return HttpRequest(
        method,
        raw_target(environ),
        forwarded(environ),
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


def _passed_on(answer: HttpAnswer, method: str) -> AppAnswer:
    """The app's answer to a request of `method` as the visitor gets it, with the length it really has."""
    # To HEAD the app says how long its body would be, or does not.
    length = answer.stated_length if method == "HEAD" else answer.length
    fields = returned(answer.headers)
    if answer.status not in (204, 304) and length is not None:
        fields.append(("Content-Length", str(length)))
    reason = re.sub(r"[^\x20-\x7e\xa0-\xff]", "", answer.reason)
    passed = AppAnswer(f"{answer.status} {reason}", fields, cpu_seconds=answer.cpu_seconds, cut=answer.cut)
    if not answer.length:
        answer.body.close()
    elif answer.length <= BLOCK_BYTES:
        with answer.body as body:
            passed.body = [body.read()]
    else:
        passed.body = FileBody(answer.body, 0, answer.length)
    return passed


def forwarded(environ: WSGIEnvironment) -> dict[str, str]:
    """The visitor's headers that the app gets, Host included, the body's length not."""
    found = {key[5:].replace("_", "-").title(): str(value) for key, value in environ.items() if key.startswith("HTTP_")}
    if environ.get("CONTENT_TYPE"):
        found["Content-Type"] = str(environ["CONTENT_TYPE"])
    found.setdefault("Host", f"{environ['SERVER_NAME']}:{environ['SERVER_PORT']}")
    dropped = _NOT_FORWARDED | _named_in(found.get("Connection", ""))
    return {name: value for name, value in found.items() if _crosses(name, value, dropped)}


def returned(headers: Iterable[tuple[str, str]]) -> Headers:
    """The app's headers that the visitor gets, repeated ones in their order, without the body's length."""
    given = list(headers)
    connection = ",".join(value for name, value in given if name.lower() == "connection")
    dropped = _NOT_RETURNED | _named_in(connection)
    return [(name, value) for name, value in given if _crosses(name, value, dropped)]


def _named_in(connection: str) -> frozenset[str]:
    options = (option.strip().lower() for option in connection.split(","))
    return frozenset(option for option in options if not option.startswith(_NEVER_NAMED))


def _crosses(name: str, value: str, dropped: frozenset[str]) -> bool:
    lower = name.lower()
    return (
        lower not in dropped
        and not lower.startswith(INTERNAL_PREFIX)
        and _TOKEN.fullmatch(name) is not None
        and _CONTROL.search(value) is None
    )
