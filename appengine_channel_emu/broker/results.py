"""What a broker's calls give back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from appengine_channel_emu.broker.receiver import Transport, Way
from appengine_channel_emu.broker.turn import Signal


@dataclass(frozen=True, slots=True)
class NewToken:
    """What `create_channel` made; `expires` in seconds of the clock."""

    token: str
    expires: float


@dataclass(frozen=True, slots=True)
class Opened:
    """A socket that was opened or resumed.

    `next` is the number to pass as `after` in its first poll; `expires` is in seconds of the clock; `presence_sent`
    is set once the app has been told that the client is connected.
    """

    socket: str
    client_id: str
    next: int
    expires: float
    presence_sent: Signal


@dataclass(frozen=True, slots=True)
class Sent:
    """To how many sockets a message goes; why to none, and which client ids come near (see `drops`)."""

    delivered_to: int
    reason: str | None = None
    near: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SocketSnapshot:
    """One socket; times in seconds of the clock. `wire` is that of our own client or the SDK's (behaviour.md 5).

    `transport` is what its messages would take at this moment; None between two polls, and where another emulator
    serves it. `opened_by` is the mark of its token, see `Broker.create_channel`. `node` is the emulator that serves it,
    where there are several.
    """

    id: str
    state: Literal["attached", "detached"]
    wire: Literal["socket", "dev"]
    since: float
    expires: float
    unread: int
    unread_bytes: int
    last_number: int
    transport: Transport | None
    opened_by: str | None
    node: str | None = None


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a message on one socket that it was queued for.

    `acknowledged` is when its page said that it has it, in seconds of the clock, and `transport` how it came there.
    `held`: it waits for an answer of the app, or behind a message that does. `lost`: the socket ended before.
    """

    socket: str
    transport: Way | None
    opened_by: str | None
    acknowledged: float | None
    state: Literal["acknowledged", "waiting", "held", "lost"]


@dataclass(frozen=True, slots=True)
class Totals:
    """How much there is: client ids with a channel or a valid token, and sockets by what serves them at this moment.

    `sockets` has each of `stream`, `poll`, `sdk` (the SDK's own wire) and `none`, between two polls or away.
    """

    channels: int
    sockets: dict[str, int]


@dataclass(frozen=True, slots=True)
class ChannelSnapshot:
    """One channel: its valid tokens, whether the app was told that the client is connected, and its sockets.

    `telling` is what the app is being told at this moment, connected or not, and `telling_since` since when.
    """

    client_id: str
    tokens: int
    told: bool
    sockets: int
    sockets_shown: list[SocketSnapshot]
    last_message_at: float | None
    telling: bool | None = None
    telling_since: float | None = None


@dataclass(frozen=True, slots=True)
class ChannelList:
    """Some of the channels: `total` there are, `matching` the search found, of which the first are here."""

    total: int
    matching: int
    sockets: int
    channels: list[ChannelSnapshot]
