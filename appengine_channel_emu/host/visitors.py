"""Who asks, as far as a request and the server around it say."""

from __future__ import annotations

import functools
import ipaddress
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

SERVER_HINTS = "channel_emu.server"
"""The key in environ of `ServerHints`, which only a server of ours puts there."""

_JAVA = " *; q=.2"
"""In what Java's HttpURLConnection asks for unless it is told otherwise; no browser writes it."""

REMEMBERED = 256
"""Addresses that are kept as they were read."""


@dataclass(slots=True)
class ServerHints:
    """What a server of ours knows of a request, and WSGI has no place for."""

    peer: str | None = None
    """The address at the other end of the connection; a trusted proxy there rewrites REMOTE_ADDR."""
    overdue: bool = False
    """Whether the request has waited for one of the app's threads for too long."""
    when_sent: Callable[[Callable[[], None]], None] | None = None
    """Calls what it is given once the whole answer has been handed to the system, or its connection is lost. Without
    it an answer counts as sent when its body is closed."""
    upgrades: bool = False
    """Whether it can make the connection a WebSocket, see `web.upgrade`."""


_NO_HINTS = ServerHints()


def server_hints(environ: WSGIEnvironment) -> ServerHints:
    """The hints in `environ`; empty ones from any other server, and in a test in process."""
    return environ.get(SERVER_HINTS, _NO_HINTS)  # type: ignore[no-any-return]


def is_on_this_machine(environ: WSGIEnvironment) -> bool:
    """Whether the visitor is. Whoever is this machine to a proxy on another one is not on ours."""
    # A request that came over no network, as in a test in process, has no address.
    if "REMOTE_ADDR" not in environ:
        return True
    peer = server_hints(environ).peer
    return is_loopback(environ["REMOTE_ADDR"]) and (peer is None or is_loopback(peer))


@functools.lru_cache(maxsize=REMEMBERED)
def is_loopback(address: str) -> bool:
    """Whether `address` is this machine's own."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(ip, "ipv4_mapped", None)
    return bool((mapped or ip).is_loopback)


def wants_html(environ: WSGIEnvironment) -> bool:
    """Whether a page is asked for, as browsers ask for one that is to be shown, and scripts and programs do not."""
    accept = environ.get("HTTP_ACCEPT", "").lower()
    return "text/html" in accept and _JAVA not in accept and "HTTP_X_REQUESTED_WITH" not in environ
