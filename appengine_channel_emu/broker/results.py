"""What the broker is told at its start, and what its calls give back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from appengine_channel_emu.broker.events import EVENT_LOG_LENGTH
from appengine_channel_emu.broker.signal import Signal


@dataclass(frozen=True, slots=True)
class BrokerOptions:
    """How this broker behaves where a user may choose; durations in seconds, see behaviour.md 3 and 4."""

    tabs: Literal["fanout", "split", "single"] = "fanout"
    resume_window: float = 60.0
    disconnect_after: float = 2.0
    backlog_messages: int = 1_000
    backlog_bytes: int = 8 * 1024 * 1024
    backlog_total: int = 256 * 1024 * 1024
    max_sockets: int = 1_000
    max_tokens: int = 200_000
    event_log: int = EVENT_LOG_LENGTH
    push_after_answer: float = 0.0


@dataclass(frozen=True, slots=True)
class NewToken:
    """What `create_channel` made; `expires` in seconds of the clock."""

    token: str
    expires: float


@dataclass(frozen=True, slots=True)
class Opened:
    """A socket that was opened or resumed.

    `next` is the number to pass as `after` in its first poll; `expires` is in seconds of the clock; `told` is set
    once the app has been told that the client is connected.
    """

    socket: str
    client_id: str
    next: int
    expires: float
    told: Signal


@dataclass(frozen=True, slots=True)
class Sent:
    """To how many sockets a message goes, and why to none."""

    delivered_to: int
    reason: str | None = None
