"""Which HTTP headers cross the proxy, in either direction."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

Headers = list[tuple[str, str]]

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

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


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
        and _NAME.fullmatch(name) is not None
        and _CONTROL.search(value) is None
    )
