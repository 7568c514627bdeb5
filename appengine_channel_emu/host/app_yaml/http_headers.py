"""`http_headers` of a static handler: what may stand there (facts.md 9.1)."""

from __future__ import annotations

import re

from .document import Notes, Value
from .values import header_text

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")

_THE_SERVERS = frozenset(["content-encoding", "content-length", "date", "server"])
_HOP_BY_HOP = frozenset(
    ["connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailers", "transfer-encoding",
     "upgrade"]
)  # fmt: skip
_OF_REQUESTS = frozenset(
    ["accept", "accept-charset", "accept-encoding", "accept-language", "authorization", "expect", "from", "host",
     "if-match", "if-modified-since", "if-none-match", "if-range", "if-unmodified-since", "max-forwards", "range",
     "referer", "user-agent"]
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


def read_http_headers(value: Value, notes: Notes) -> tuple[tuple[str, str], ...]:
    """The headers in their order. Raises `BadAppYaml`."""
    headers: list[tuple[str, str]] = []
    for key, field in value.entries("http_headers"):
        name = key.written
        _check_name(key, name)
        if field.is_empty:
            notes.mistake(key, f"the header {name} has no value, and is left out")
        elif name.lower() == "trailer" or name.lower().startswith("channel-emu-"):
            notes.mistake(key, f"the header {name} cannot be set here, and is left out")
        else:
            headers.append((name, _text(field, name)))
    if len(headers) > MOST:
        raise value.error(f"http_headers has {len(headers)} headers; the most is {MOST}")
    return tuple(headers)


def _text(field: Value, name: str) -> str:
    text = header_text(field, f"the value of {name}")
    if len(f"{name}: {text}") > LONGEST and len(text) > (longest := _LONGER.get(name.lower(), 0)):
        raise field.error(f"the header {name} is longer than {longest or LONGEST} characters")
    return text


def _check_name(key: Value, name: str) -> None:
    lower = name.lower()
    if not _TOKEN.fullmatch(name):
        raise key.error(f"{name!r} is not the name of an HTTP header")
    if lower in _THE_SERVERS:
        raise key.error(f"{name} is set by the server, and not by http_headers")
    if lower in _HOP_BY_HOP or lower.startswith("x-appengine"):
        raise key.error(f"{name} is reserved; http_headers cannot set it")
    if lower in _OF_REQUESTS:
        raise key.error(f"{name} belongs to requests, not to answers")
