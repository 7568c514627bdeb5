"""Who may ask what: this server can be reached from every page its user visits (behaviour.md 11).

Each rule is a function that returns an `Answer` to refuse the request, or None. They run in order, before any
routing, on every request, on every port.
"""

from __future__ import annotations

import functools
import ipaddress
import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from appengine_channel_emu.host.login import is_same_site
from appengine_channel_emu.host.proxy import origin_form
from appengine_channel_emu.web.options import WebOptions
from appengine_channel_emu.web.targets import ADMIN_PATHS, PRESENCE_PATHS, RECEIVE_PATH, leads_to
from appengine_channel_emu.web.wsgi import Answer, server_hints

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

POLL_PATH = "/_ah/channel/poll"

REMEMBERED = 256
"""Hosts and addresses that are kept as they were read: reading one takes longer than all the other rules."""

ALIASES = frozenset(f"c{number}.localhost" for number in range(32))
"""Names of this server that polls may use, so that a browser opens more connections (design.md, "Many tabs")."""

_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::([0-9]{1,5}))?\Z")
_RESERVED_HEADERS = ("HTTP_X_APPENGINE_", "HTTP_X_GOOGLE_")


@functools.lru_cache(maxsize=REMEMBERED)
def split_host(header: str) -> tuple[str, str]:
    """Name in lower case, and port as digits or "", of a Host header; two empty strings if it is none."""
    match = _HOST.match(header)
    return (match[1].lower().removesuffix("."), match[2] or "") if match else ("", "")


def is_loopback_host(name: str) -> bool:
    """Whether a page that asked for `name` runs on this machine, or believes so."""
    return _is_localhost(name) or is_loopback(name.strip("[]"))


class Guard:
    """The rules, with the user's exceptions to them.

    `admin_everywhere` is for a port on which every path acts or tells.
    """

    def __init__(self, options: WebOptions, admin_everywhere: bool = False) -> None:
        self._options = options
        self._admin_everywhere = admin_everywhere

    def refuse(self, environ: WSGIEnvironment) -> Answer | None:
        """An answer that refuses the request, or None; removes headers that a visitor may not send."""
        self._strip_reserved_headers(environ)
        return self._check_host(environ) or self._check_target(environ)

    def _strip_reserved_headers(self, environ: WSGIEnvironment) -> None:
        # The SDK's dev server makes an administrator of anybody who sends X-AppEngine-Fake-Is-Admin.
        if not self._options.trust_appengine_headers and _has_reserved_headers(environ):
            for name in [name for name in environ if name.startswith(_RESERVED_HEADERS)]:
                del environ[name]

    def _check_host(self, environ: WSGIEnvironment) -> Answer | None:
        """DNS rebinding: a name of the attacker's that leads here is no name of ours."""
        header = environ.get("HTTP_HOST")
        if header is None:
            # Browsers always send one; HTTP/1.0 clients need not.
            return None if environ.get("SERVER_PROTOCOL") == "HTTP/1.0" else _text("400 Bad Request", "No Host header.")
        name, _ = split_host(header)
        if name in ALIASES:
            # As it was sent: what only looks like it once it is cleaned would be routed to the app.
            if environ.get("PATH_INFO") == POLL_PATH:
                return None
            return _text("404 Not Found", f"This name serves {POLL_PATH} alone; use localhost.")
        if name and (_is_literal(name) or _is_localhost(name) or name in self._options.hosts):
            return None
        return _text(
            "421 Misdirected Request",
            "This name is not one of this server's. Use localhost or an IP address, "
            "or start channel-emu with --allow-host NAME.",
        )

    def _check_target(self, environ: WSGIEnvironment) -> Answer | None:
        """The rules of every guarded path that the target may be read as."""
        guarded = _guarded_paths(environ)
        is_admin = self._admin_everywhere or not guarded.isdisjoint(ADMIN_PATHS)
        if not (guarded or is_admin):
            return None
        return (
            (self._check_peer(environ) if is_admin else None)
            or self._check_site(environ, guarded)
            or self._check_presence(guarded)
        )

    def _check_peer(self, environ: WSGIEnvironment) -> Answer | None:
        """The admin API is for programs on this machine."""
        if self._options.allow_remote_admin:
            return None
        # A request that came over no network, as in a test in process, has no address.
        if "REMOTE_ADDR" not in environ:
            return None
        # Whoever is this machine to a proxy on another one is not on ours.
        if is_loopback(environ["REMOTE_ADDR"]) and is_loopback(server_hints(environ).peer or "127.0.0.1"):
            return None
        return _text("403 Forbidden", "Only this machine may ask this; see --allow-remote-admin.")

    def _check_site(self, environ: WSGIEnvironment, guarded: frozenset[str]) -> Answer | None:
        """Another site's page may not reach what acts or tells."""
        if guarded == {RECEIVE_PATH} and environ.get("HTTP_ORIGIN") in self._options.receive_origins:
            return None
        return None if is_same_site(environ) else _text("403 Forbidden", "A page of another site may not ask this.")

    def _check_presence(self, guarded: frozenset[str]) -> Answer | None:
        """Only we tell an app who is present."""
        if guarded.isdisjoint(PRESENCE_PATHS) or self._options.presence_from_visitors:
            return None
        return _text(
            "403 Forbidden",
            "The emulator itself posts presence to the app. To post it by hand, start channel-emu with "
            "--presence-from-visitors.",
        )


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
    return any(reserved in names for reserved in _RESERVED_HEADERS)


def normal_origin(origin: str) -> str:
    """`origin` as a browser sends it; raises ValueError when it is not `scheme://host[:port]`."""
    parts = urlsplit(origin)
    if not (parts.scheme and parts.hostname) or parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError(f"an origin is scheme://host[:port], not {origin!r}")
    return f"{parts.scheme}://{parts.netloc}".lower()


def _is_localhost(name: str) -> bool:
    return name == "localhost" or name.endswith(".localhost")


@functools.lru_cache(maxsize=REMEMBERED)
def _is_literal(name: str) -> bool:
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True


@functools.lru_cache(maxsize=REMEMBERED)
def is_loopback(address: str) -> bool:
    """Whether `address` is this machine's own."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(ip, "ipv4_mapped", None)
    return bool((mapped or ip).is_loopback)


def _text(status: str, text: str) -> Answer:
    return Answer(
        status,
        [("Content-Type", "text/plain; charset=utf-8"), ("X-Content-Type-Options", "nosniff")],
        text.encode("utf-8") + b"\n",
    )
