"""What the broker's state looks like at one moment, as plain data for those who watch it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from appengine_channel_emu.broker.channel import Channel, Socket
from appengine_channel_emu.broker.sockets import Sockets
from appengine_channel_emu.broker.turn import Turn

SOCKETS_SHOWN = 100
"""Sockets of one channel that a snapshot holds at most."""


@dataclass(frozen=True, slots=True)
class SocketSnapshot:
    """One socket; times in seconds of the clock. `wire` is that of our own client or the SDK's (behaviour.md 5)."""

    id: str
    state: Literal["attached", "detached"]
    wire: Literal["socket", "dev"]
    since: float
    expires: float
    unread: int
    unread_bytes: int
    last_number: int


@dataclass(frozen=True, slots=True)
class ChannelSnapshot:
    """One channel: its valid tokens, whether the app was told that the client is connected, and its sockets."""

    client_id: str
    tokens: int
    told: bool
    sockets: int
    sockets_shown: list[SocketSnapshot]
    last_message_at: float | None


@dataclass(frozen=True, slots=True)
class ChannelList:
    """Some of the channels: `total` there are, `matching` the search found, of which the first are here."""

    total: int
    matching: int
    sockets: int
    channels: list[ChannelSnapshot]


class Snapshots:
    """Takes them. Nothing is kept for their sake, so what nobody looks at costs nothing."""

    def __init__(self, turn: Turn, sockets: Sockets, tokens: Mapping[str, int]) -> None:
        self._turn = turn
        self._sockets = sockets
        self._tokens = tokens

    def channel(self, client_id: str) -> ChannelSnapshot | None:
        """The channel to `client_id`, if there is one or a valid token for one."""
        with self._turn:
            return self._channel(client_id)

    def channels(self, search: str = "", limit: int = 100) -> ChannelList:
        """Channels whose client id contains `search`, in whatever case, those with sockets first; `limit` at most."""
        with self._turn:
            client_ids = list(dict.fromkeys([*self._sockets.channels, *self._tokens]))
            sockets = self._sockets.count
        folded = search.casefold()
        matching = [client_id for client_id in client_ids if folded in client_id.casefold()] if search else client_ids
        with self._turn:
            shown = [self._channel(client_id) for client_id in matching[:limit]]
        return ChannelList(len(client_ids), len(matching), sockets, [channel for channel in shown if channel])

    def sockets_of(self, client_id: str) -> int:
        """How many sockets `client_id` has."""
        with self._turn:
            channel = self._sockets.channels.get(client_id)
            return len(channel.sockets) if channel else 0

    def client_ids(self) -> list[str]:
        """Every client id with a channel or a valid token."""
        with self._turn:
            return list(dict.fromkeys([*self._sockets.channels, *self._tokens]))

    def _channel(self, client_id: str) -> ChannelSnapshot | None:
        channel = self._sockets.channels.get(client_id)
        tokens = self._tokens.get(client_id, 0)
        if channel is None:
            return ChannelSnapshot(client_id, tokens, False, 0, [], None) if tokens else None
        return _of_channel(channel, tokens)


def _of_channel(channel: Channel, tokens: int) -> ChannelSnapshot:
    shown = [_of_socket(socket) for socket in list(channel.sockets.values())[:SOCKETS_SHOWN]]
    last = channel.last_message_at
    return ChannelSnapshot(channel.client_id, tokens, channel.told, len(channel.sockets), shown, last)


def _of_socket(socket: Socket) -> SocketSnapshot:
    return SocketSnapshot(
        socket.id,
        "attached" if socket.attached else "detached",
        "dev" if socket.old_wire else "socket",
        socket.since,
        socket.token.expires,
        len(socket.queue),
        socket.queued_bytes,
        socket.last_number,
    )
