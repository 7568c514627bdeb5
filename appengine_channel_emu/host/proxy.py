"""A visitor's request as the app gets it, and which headers cross, in either direction.

The request target goes on as the visitor sent it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING
from urllib.parse import quote

from appengine_channel_emu.host.answer_reader import Headers
from appengine_channel_emu.host.errors import NotForwardable
from appengine_channel_emu.host.exchange import HttpRequest

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
