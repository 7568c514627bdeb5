"""What the Content-Security-Policy of a page of the app does to the browser client: it may block it, in silence.

The browser says so in its own console alone, and the emulator is not asked for anything. So the front reads the
policies that go through it, and notes once for each path what to add (an event, `csp_blocks`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from threading import Lock
from typing import TYPE_CHECKING, Literal, NamedTuple

from appengine_channel_emu.broker.contract import Broker
from appengine_channel_emu.host.backend import AppAnswer
from appengine_channel_emu.web.wsgi import is_navigation

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

MOST_PATHS = 200
"""Paths that are noted; further ones are not looked at."""

LONGEST_POLICY = 400
"""Characters of a policy that an event shows."""

SCRIPT = "/_ah/channel/jsapi"
CONNECTION = "/_ah/channel/poll"
FRAME = "/_ah/channel/frame"

_FALLBACKS = {
    "script-src": ("script-src-elem", "script-src", "default-src"),
    "connect-src": ("connect-src", "default-src"),
    "frame-src": ("frame-src", "child-src", "default-src"),
}
"""Which directives decide, the first that is there (CSP level 3, 6.8.1)."""

_HOST_SOURCE = re.compile(
    r"(?:(?P<scheme>[a-z][a-z0-9+.-]*)://)?(?P<host>\*|(?:\*\.)?[a-z0-9_.-]+|\[[0-9a-f:.]+\])"
    r"(?::(?P<port>\d+|\*))?(?P<path>/.*)?",
    re.IGNORECASE,
)
_PORTS = {"http": "80", "https": "443", "ws": "80", "wss": "443"}
_NONCE = re.compile(r"'nonce-[^']*'?", re.IGNORECASE)

Directives = dict[str, list[str]]


class PageOrigin(NamedTuple):
    """The page's, in lower case; `host` without the port."""

    scheme: str
    host: str
    port: str

    @classmethod
    def of(cls, environ: WSGIEnvironment) -> PageOrigin:
        """The one that the browser has asked."""
        scheme = environ.get("wsgi.url_scheme", "http")
        found = re.fullmatch(r"(.*?)(?::(\d*))?", environ.get("HTTP_HOST", "localhost").lower())
        host, port = found.groups() if found else ("localhost", None)
        return cls(scheme, host, port or _PORTS.get(scheme, "80"))

    def __str__(self) -> str:
        return f"{self.scheme}://{self.host}" + ("" if self.port == _PORTS.get(self.scheme) else f":{self.port}")


class Obstacle(NamedTuple):
    """What policies are in the way of, in words, and what to do; `sure`: unless the page's script tag has a nonce."""

    blocks: Literal["script", "connections"]
    sure: bool
    why: str
    advice: str


def find_obstacle(headers: Iterable[str], origin: PageOrigin) -> Obstacle | None:
    """The first thing that is in the way, of the script or else of its connections; each policy has to let it pass."""
    policies = [_read(policy) for header in headers for policy in header.split(",")]
    for policy in policies:
        found = _script(policy, origin)
        if found is not None:
            return found
    return _connections(policies, origin)


def _read(policy: str) -> Directives:
    """The directives of a policy; of two with one name the first counts."""
    directives: Directives = {}
    for directive in policy.split(";"):
        words = directive.split()
        if words:
            directives.setdefault(words[0].lower(), words[1:])
    return directives


def _script(directives: Directives, origin: PageOrigin) -> Obstacle | None:
    sandbox = directives.get("sandbox")
    if sandbox is not None and "allow-scripts" not in map(str.lower, sandbox):
        return Obstacle("script", True, "it lets no script run (sandbox)", "Add allow-scripts to sandbox.")
    name, sources = _decisive(directives, "script-src")
    strict = "'strict-dynamic'" in map(str.lower, sources or ())
    if sources is None or (not strict and _allows(sources, origin, SCRIPT)):
        return None
    add = _to_add(name, "script-src")
    if any(map(_NONCE.match, sources)):
        or_add = "" if strict else f" Or {add[:1].lower()}{add[1:]}"
        why = f"{name} asks for a nonce, which the page's script tag may lack"
        return Obstacle("script", False, why, f"Give the script tag of {SCRIPT} the policy's nonce.{or_add}")
    if strict:
        why = f"{name} has 'strict-dynamic', with which no address counts"
        return Obstacle("script", False, why, f"Load {SCRIPT} by a script that the policy allows.")
    return Obstacle("script", True, f"{name} allows no script of {origin}", add)


def _connections(policies: Sequence[Directives], origin: PageOrigin) -> Obstacle | None:
    """Where a page may not ask, it connects by the hidden iframe (behaviour.md 7)."""
    asking = _refuses(policies, "connect-src", origin, CONNECTION)
    if asking is None or _refuses(policies, "frame-src", origin, FRAME) is None:
        return None
    why = f"{asking} allows no connection to {origin}, nor is a frame of it allowed"
    return Obstacle("connections", True, why, _to_add(asking, "connect-src"))


def _refuses(policies: Sequence[Directives], kind: str, origin: PageOrigin, path: str) -> str | None:
    """The first directive that does."""
    for policy in policies:
        name, sources = _decisive(policy, kind)
        if sources is not None and not _allows(sources, origin, path):
            return name
    return None


def _decisive(directives: Directives, kind: str) -> tuple[str, list[str] | None]:
    """The directive that decides, and its sources; None: all are allowed."""
    for name in _FALLBACKS[kind]:
        if name in directives:
            return name, directives[name]
    return kind, None


def _to_add(found: str, meant: str) -> str:
    return f"Add 'self' to {found}." if found != "default-src" else f"Add: {meant} 'self'."


def _allows(sources: Sequence[str], origin: PageOrigin, path: str) -> bool:
    return any(_is_source(source, origin, path) for source in sources)


def _is_source(source: str, origin: PageOrigin, path: str) -> bool:
    """Whether `source` names what is at `path` of our origin (CSP level 3, 6.7.2)."""
    if source.lower() in ("*", "'self'"):
        return True
    if source.endswith(":"):
        return _is_scheme(source[:-1].lower(), origin.scheme)
    found = _HOST_SOURCE.fullmatch(source)
    if found is None:
        return False  # A keyword, a nonce, a hash.
    scheme, host, port = found["scheme"], found["host"].lower(), found["port"]
    if scheme is not None and not _is_scheme(scheme.lower(), origin.scheme):
        return False
    if host != "*" and host != origin.host and not (host.startswith("*.") and origin.host.endswith(host[1:])):
        return False
    if not _is_port(port, origin):
        return False
    given = found["path"] or ""
    return given in ("", "/", path) or (given.endswith("/") and path.startswith(given))


def _is_port(given: str | None, origin: PageOrigin) -> bool:
    if given is None:
        return origin.port == _PORTS.get(origin.scheme)
    return given in ("*", origin.port) or (given, origin.port) == ("80", "443")


def _is_scheme(given: str, asked: str) -> bool:
    return given == asked or (given, asked) == ("http", "https")


class PagePolicies:
    """Notes for each path, once, that its policy is in the way, until a policy of it is not any more."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._lock = Lock()
        self._noted: dict[str, Obstacle] = {}

    def look(self, environ: WSGIEnvironment, answer: AppAnswer) -> None:
        """Look at what a visitor is answered; anything but a page with a policy costs next to nothing."""
        policies = [value for name, value in answer.headers if name.lower() == "content-security-policy"]
        path = environ.get("PATH_INFO", "")
        if not policies and path not in self._noted:
            return
        # Pages of ours run nothing: of errors, and below /_ah/.
        if not answer.status.startswith("2") or path.startswith("/_ah/") or not is_navigation(environ):
            return
        if not _is_html(answer):
            return
        found = find_obstacle(policies, PageOrigin.of(environ))
        with self._lock:
            before = self._noted.pop(path, None)
            if found is not None and len(self._noted) < MOST_PATHS:
                self._noted[path] = found
            else:
                return
        if before != found:
            self._note(path, found, ", ".join(policies))

    def clear(self) -> None:
        """Forget what was noted."""
        with self._lock:
            self._noted.clear()

    def _note(self, path: str, found: Obstacle, policy: str) -> None:
        what = SCRIPT if found.blocks == "script" else "the connections of the browser client"
        blocks = "blocks" if found.sure else "may block"
        shown = path.encode("unicode_escape").decode("ascii")[:200]
        text = f"The Content-Security-Policy of {shown} {blocks} {what}: {found.why}. {found.advice}"
        detail = {
            "path": shown,
            "blocks": found.blocks,
            "sure": found.sure,
            "why": found.why,
            "advice": found.advice,
            "policy": _NONCE.sub("'nonce-…'", policy)[:LONGEST_POLICY],
        }
        self._broker.note("csp_blocks", text, detail=detail)


def _is_html(answer: AppAnswer) -> bool:
    kinds = [value for name, value in answer.headers if name.lower() == "content-type"]
    return any(kind.partition(";")[0].strip().lower() in ("text/html", "application/xhtml+xml") for kind in kinds)
