"""Who may ask what: this server can be reached from every page its user visits (behaviour.md 11).

Each rule is a function that returns a `Refusal` with its name to refuse the request, or None. They run in order, before
any routing, on every request, on every port.
"""

from __future__ import annotations

import functools
import ipaddress
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple
from urllib.parse import unquote

from appengine_channel_emu.host.login import is_same_site
from appengine_channel_emu.host.proxy import origin_form
from appengine_channel_emu.host.visitors import is_on_this_machine
from appengine_channel_emu.web.wsgi import Answer, plain_answer

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

POLL_PATH = "/_ah/channel/poll"
STREAM_PATH = "/_ah/channel/stream"
RECEIVE_PATH = "/_ah/channel/receive"
PRESENCE_PATHS = frozenset({"/_ah/channel/connected", "/_ah/channel/disconnected"})
ADMIN_PATHS = frozenset({"/_emu", "/rpc_http", "/_ah/remote_api"})

LONGEST_POLL = 25.0
"""Seconds a poll may be parked (behaviour.md 5): well below any proxy's patience and any deadline."""

LONGEST_PRESENCE_WAIT = 0.5
"""Seconds that an app's slow presence handler may hold a page's open up.

A server may notice up to half a second late that they have passed, and a second is the limit (behaviour.md 4).
"""

REMEMBERED = 256
"""Hosts and addresses that are kept as they were read: reading one takes longer than all the other rules."""

_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::([0-9]{1,5}))?\Z")
_RESERVED_HEADERS = ("HTTP_X_APPENGINE_", "HTTP_X_GOOGLE_")


@functools.lru_cache(maxsize=REMEMBERED)
def split_host(header: str) -> tuple[str, str]:
    """Name in lower case, and port as digits or "", of a Host header; two empty strings if it is none."""
    match = _HOST.match(header)
    return (match[1].lower().removesuffix("."), match[2] or "") if match else ("", "")


@dataclass(frozen=True, slots=True)
class WebOptions:
    """Durations in seconds; `hosts` are names besides the built-in ones that the Host header may hold."""

    hosts: frozenset[str] = frozenset()
    receive_origins: frozenset[str] = frozenset()
    allow_remote_admin: bool = False
    trust_appengine_headers: bool = False
    presence_from_visitors: bool = False
    quiet: bool = False
    longest_poll: float = LONGEST_POLL
    longest_presence_wait: float = LONGEST_PRESENCE_WAIT


Rule = Literal["host", "admin-peer", "site", "presence"]
"""Their names, in their order."""


class Refusal(NamedTuple):
    """A request that is refused, by which rule, and what it is answered."""

    rule: Rule
    answer: Answer


class Guard:
    """The rules, with the user's exceptions to them.

    `admin_everywhere` is for a port on which every path acts or tells.
    """

    def __init__(self, options: WebOptions, admin_everywhere: bool = False) -> None:
        self._options = options
        self._admin_everywhere = admin_everywhere

    def refuse(self, environ: WSGIEnvironment) -> Refusal | None:
        """What refuses the request, or None; removes headers that a visitor may not send."""
        self._strip_reserved_headers(environ)
        return self._check_host(environ) or self._check_target(environ)

    def _strip_reserved_headers(self, environ: WSGIEnvironment) -> None:
        # The SDK's dev server makes an administrator of anybody who sends X-AppEngine-Fake-Is-Admin.
        if not self._options.trust_appengine_headers and _has_reserved_headers(environ):
            for name in [name for name in environ if name.startswith(_RESERVED_HEADERS)]:
                del environ[name]

    def _check_host(self, environ: WSGIEnvironment) -> Refusal | None:
        """DNS rebinding: a name of the attacker's that leads here is no name of ours."""
        header = environ.get("HTTP_HOST")
        if header is None:
            # Browsers always send one; HTTP/1.0 clients need not.
            is_old = environ.get("SERVER_PROTOCOL") == "HTTP/1.0"
            return None if is_old else Refusal("host", plain_answer("400 Bad Request", "No Host header."))
        name, _ = split_host(header)
        if name and (_is_literal(name) or _is_localhost(name) or name in self._options.hosts):
            return None
        answer = plain_answer(
            "421 Misdirected Request",
            "This name is not one of this server's. Use localhost or an IP address, "
            "or start channel-emu with --allow-host NAME.",
            setting=f"--allow-host {name.strip('[]') or 'NAME'}",
        )
        return Refusal("host", answer)

    def _check_target(self, environ: WSGIEnvironment) -> Refusal | None:
        """The rules of every guarded path that the target may be read as."""
        guarded = _guarded_paths(environ)
        is_admin = self._admin_everywhere or not guarded.isdisjoint(ADMIN_PATHS)
        if not (guarded or is_admin):
            return None
        refusal = self._check_peer(environ) if is_admin else None
        return refusal or self._check_site(environ, guarded) or self._check_presence(guarded)

    def _check_peer(self, environ: WSGIEnvironment) -> Refusal | None:
        """The admin API is for programs on this machine."""
        if self._options.allow_remote_admin or is_on_this_machine(environ):
            return None
        text = "Only this machine may ask this; see --allow-remote-admin."
        return Refusal("admin-peer", plain_answer("403 Forbidden", text, setting="--allow-remote-admin"))

    def _check_site(self, environ: WSGIEnvironment, guarded: frozenset[str]) -> Refusal | None:
        """Another site's page may not reach what acts or tells."""
        if guarded == {RECEIVE_PATH} and environ.get("HTTP_ORIGIN") in self._options.receive_origins:
            return None
        if is_same_site(environ):
            return None
        return Refusal("site", plain_answer("403 Forbidden", "A page of another site may not ask this."))

    def _check_presence(self, guarded: frozenset[str]) -> Refusal | None:
        """Only we tell an app who is present."""
        if guarded.isdisjoint(PRESENCE_PATHS) or self._options.presence_from_visitors:
            return None
        answer = plain_answer(
            "403 Forbidden",
            "The emulator itself posts presence to the app. To post it by hand, start channel-emu with "
            "--presence-from-visitors.",
            setting="--presence-from-visitors",
        )
        return Refusal("presence", answer)


def _guarded_paths(environ: WSGIEnvironment) -> frozenset[str]:
    path: str = environ.get("PATH_INFO", "")
    target: str = environ.get("REQUEST_URI") or path
    if target.startswith("/"):
        target = target.partition("?")[0]
        # Nearly always they are the same.
        return leads_to(path) if target == path else leads_to(path) | leads_to(target)
    return leads_to(path) | leads_to(origin_form(target).partition("?")[0])


def _has_reserved_headers(environ: WSGIEnvironment) -> bool:
    # Few requests have any, and asking every name takes ten times as long.
    names = " ".join(environ)
    return any(prefix in names for prefix in _RESERVED_HEADERS)


def _is_localhost(name: str) -> bool:
    return name == "localhost" or name.endswith(".localhost")


@functools.lru_cache(maxsize=REMEMBERED)
def _is_literal(name: str) -> bool:
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True


# Where a request's target may lead, in the eyes of whatever server or library reads it. RFC 3986, the WHATWG's URL
# standard, Java's containers and PHP read one target in different ways, and the app behind us may read it in any of
# them, before and after decoding. So a target leads to every path that some order of their steps makes of it.

MOST_DECODINGS = 2
MOST_AUTHORITIES = 2
MOST_CHARACTERS = 100_000
"""Of all readings of a target together; one that has more, and names a guarded path, is taken to lead there."""

_TARGETS_REMEMBERED = 512
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
_remembered = functools.lru_cache(maxsize=_TARGETS_REMEMBERED)(_leads_to)


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
