"""Which browser asks, and what for, as far as a request's headers tell."""

from __future__ import annotations

import functools
import ipaddress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

LONGEST_AGENT = 512
"""Characters of a User-Agent that tell browsers apart; each open socket refers to them."""

REMEMBERED = 256
"""Browsers whose text is kept, so that all their sockets refer to one."""

_DOCUMENTS = frozenset({"document", "iframe", "frame", "embed", "object", "fencedframe"})


def browser_of(environ: WSGIEnvironment) -> str | None:
    """The same text for all requests of one browser: its address and User-Agent. None for one without a User-Agent."""
    agent = environ.get("HTTP_USER_AGENT")
    return _text(environ.get("REMOTE_ADDR", ""), agent[:LONGEST_AGENT]) if agent else None


def is_navigation(environ: WSGIEnvironment) -> bool:
    """Whether the answer is to become a document, in a window or a frame, as a form's is.

    Browsers say so (Fetch Metadata) to origins that they trust, such as localhost; older ones, and all on plain http to
    another machine, ask for HTML, which scripts do not unless they are told to.
    """
    mode = environ.get("HTTP_SEC_FETCH_MODE")
    if mode is not None:
        return mode == "navigate" or environ.get("HTTP_SEC_FETCH_DEST") in _DOCUMENTS
    return "text/html" in environ.get("HTTP_ACCEPT", "").lower() and "HTTP_X_REQUESTED_WITH" not in environ


@functools.lru_cache(maxsize=REMEMBERED)
def _text(address: str, agent: str) -> str:
    return f"{_machine(address)} {agent}"


def _machine(address: str) -> str:
    """This machine's own addresses are one: a browser may use ::1 for a connection and 127.0.0.1 for the next."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    ip = getattr(ip, "ipv4_mapped", None) or ip
    return "loopback" if ip.is_loopback else str(ip)
