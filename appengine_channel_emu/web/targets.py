"""Where a request's target may lead, in the eyes of whatever server or library reads it (behaviour.md 11).

RFC 3986, the WHATWG's URL standard, Java's containers and PHP read one target in different ways, and the app behind us
may read it in any of them, before and after decoding. So a target leads to every path that some order of their steps
makes of it.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator
from urllib.parse import unquote

RECEIVE_PATH = "/_ah/channel/receive"
PRESENCE_PATHS = frozenset({"/_ah/channel/connected", "/_ah/channel/disconnected"})
ADMIN_PATHS = frozenset({"/_emu", "/rpc_http", "/_ah/remote_api"})

MOST_DECODINGS = 2
MOST_AUTHORITIES = 2
MOST_CHARACTERS = 100_000
"""Of all readings of a target together; one that has more, and names a guarded path, is taken to lead there."""

_REMEMBERED = 512
_LONGEST_REMEMBERED = 256
"""Characters of a path that is kept with what it leads to: nearly every request asks for one of a few paths."""

# No reading makes a guarded path of a text without one of these.
_WORDS = ("connected", "receive", "_emu", "rpc_http", "remote_api")
_IGNORED = re.compile(r"[\x00-\x20\x7f]+")
_UNICODE_ESCAPE = re.compile("%u([0-9a-f]{4})")
# What may stand before a path: a host; for CherryPy, whose server the SDK has, whatever ends in a scheme and a host.
_AUTHORITY = re.compile(r"[/\\]{2,}[^/\\?#]*")
_WHOLE_ADDRESS = re.compile(r"[^?]+?://[^/]*")

_STEPS: tuple[Callable[[str], str], ...] = (
    # WHATWG: an escaped dot is a dot, whatever else stays escaped.
    lambda text: text.replace("%2e", "."),
    # WHATWG: as good as a slash.
    lambda text: text.replace("\\", "/"),
    # Java's containers: no part of a segment.
    lambda text: re.sub(r";[^/\\]*", "", text),
    # Decoded before it was taken apart.
    lambda text: text.partition("?")[0],
    lambda text: text.partition("#")[0],
    # WHATWG drops these within a URL or at its ends; what is written in C ends at the first null.
    lambda text: _IGNORED.sub("", text),
    lambda text: text.partition("\0")[0],
    # Routers that know no empty segments.
    lambda text: re.sub(r"//+", "/", text),
    lambda text: _without_dot_segments(text),
)


def leads_to(path: str) -> frozenset[str]:
    """Those of the guarded paths that `path`, the part of a request's target before its query, may be read as."""
    return _remembered(path) if len(path) <= _LONGEST_REMEMBERED else _leads_to(path)


def _leads_to(path: str) -> frozenset[str]:
    named = _words_in(path)
    if not named:
        return frozenset()
    found: set[str] = set()
    left = MOST_CHARACTERS
    for reading in _readings(path):
        left -= len(reading)
        if left < 0:
            return frozenset(guarded for guarded in _GUARDED if any(word in guarded for word in named))
        clean = f"/{reading.strip('/')}"
        found.update(guarded for guarded in _GUARDED if clean == guarded)
        found.update(admin for admin in ADMIN_PATHS if clean.startswith(f"{admin}/"))
    return frozenset(found)


_GUARDED = frozenset({RECEIVE_PATH}) | PRESENCE_PATHS | ADMIN_PATHS
_remembered = functools.lru_cache(maxsize=_REMEMBERED)(_leads_to)


def _words_in(path: str) -> list[str]:
    texts = [path.lower()]
    for _ in range(MOST_DECODINGS):
        texts.append(_decoded(texts[-1]))
    everything = _IGNORED.sub("", "\n".join(texts))
    return [word for word in _WORDS if word in everything]


def _readings(path: str) -> Iterator[str]:
    """`path`, in lower case, after any number of steps in any order."""
    first = (path.lower(), MOST_DECODINGS, MOST_AUTHORITIES)
    seen, waiting = {first}, [first]
    while waiting:
        text, decodings, authorities = waiting.pop()
        yield text
        made = [(step(text), decodings, authorities) for step in _STEPS]
        if decodings:
            made.append((_decoded(text), decodings - 1, authorities))
        if authorities:
            matches = [pattern.match(text) for pattern in (_AUTHORITY, _WHOLE_ADDRESS)]
            made += [(text[match.end() :], decodings, authorities - 1) for match in matches if match]
        for state in made:
            if state not in seen:
                seen.add(state)
                waiting.append(state)


def _decoded(text: str) -> str:
    # Jetty, which served Java apps, knows %uXXXX too.
    text = _UNICODE_ESCAPE.sub(lambda match: chr(int(match[1], 16)), text)
    return unquote(text, encoding="latin-1").lower()


def _without_dot_segments(text: str) -> str:
    """RFC 3986, section 5.2.4: an empty segment is one that `..` takes away."""
    kept: list[str] = []
    for segment in text.split("/"):
        if segment == "..":
            del kept[-1:]
        elif segment != ".":
            kept.append(segment)
    return "/".join(kept)
