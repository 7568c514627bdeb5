"""`http_headers` of a static handler: what may stand there (facts.md 9.1)."""

from __future__ import annotations

import re

from .document import Value

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_PRINTABLE = re.compile(r"[\x20-\x7e]*")

_THE_SERVERS = frozenset(["content-encoding", "content-length", "date", "server"])
_HOP_BY_HOP = frozenset(
    ["connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer", "trailers",
     "transfer-encoding", "upgrade"]
)  # fmt: skip
_OF_REQUESTS = frozenset(
    ["accept", "accept-charset", "accept-encoding", "accept-language", "authorization", "cookie", "cookie2", "expect",
     "from", "host", "if-match", "if-modified-since", "if-none-match", "if-range", "if-unmodified-since",
     "max-forwards", "origin", "range", "referer", "user-agent"]
)  # fmt: skip

LONGEST = 500
_LONGER = {
    "content-security-policy": 10240,
    "content-security-policy-report-only": 10240,
    "x-content-security-policy": 10240,
    "x-webkit-csp": 10240,
    "set-cookie": 4096,
    "set-cookie2": 4096,
    "location": 2047,
}
MOST = 500


def read_http_headers(value: Value) -> tuple[tuple[str, str], ...]:
    """The headers in their order. Raises `BadAppYaml`."""
    headers: dict[str, tuple[str, str]] = {}
    for key, field in value.entries("http_headers"):
        name = key.text("a header's name")
        _check_name(key, name)
        text = field.text(f"the header {name}")
        if not _PRINTABLE.fullmatch(text):
            raise field.error(f"the value of {name} must be printable ASCII on one line")
        longest = _LONGER.get(name.lower(), LONGEST)
        if len(f"{name}: {text}") > longest:
            raise field.error(f"the header {name} is longer than {longest} characters")
        if name.lower() in headers:
            raise key.error(f"{name} stands here a second time: header names differ in more than case")
        headers[name.lower()] = (name, text)
    if len(headers) > MOST:
        raise value.error(f"http_headers has {len(headers)} headers; the most is {MOST}")
    return tuple(headers.values())


def _check_name(key: Value, name: str) -> None:
    lower = name.lower()
    if not _TOKEN.fullmatch(name):
        raise key.error(f"{name!r} is not the name of an HTTP header")
    if lower in _THE_SERVERS:
        raise key.error(f"{name} is set by the server, and not by http_headers")
    if lower in _HOP_BY_HOP or lower.startswith(("x-appengine", "channel-emu-")):
        raise key.error(f"{name} is reserved; http_headers cannot set it")
    if lower in _OF_REQUESTS:
        raise key.error(f"{name} belongs to requests, not to answers")
