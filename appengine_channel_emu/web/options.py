"""What the HTTP surface may be told (behaviour.md 11 and 12)."""

from __future__ import annotations

from dataclasses import dataclass

LONGEST_POLL = 25.0
"""Seconds a poll may be parked (behaviour.md 5): well below any proxy's patience and any deadline."""

LONGEST_TELLING = 0.5
"""Seconds that an app's slow presence handler may hold a page's open up.

A server may notice up to half a second late that they have passed, and a second is the limit (behaviour.md 4).
"""


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
    longest_telling: float = LONGEST_TELLING
