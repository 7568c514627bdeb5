"""What the broker's state looks like at one moment, as plain data for those who watch it."""

from __future__ import annotations

from collections.abc import Mapping

from appengine_channel_emu.broker.channel import Channel, Socket
from appengine_channel_emu.broker.contract import ChannelList, ChannelSnapshot, SocketSnapshot
from appengine_channel_emu.broker.sockets import Sockets
from appengine_channel_emu.broker.turn import Turn

SOCKETS_SHOWN = 100
"""Sockets of one channel that a snapshot holds at most."""


class EmbeddedSnapshots:
    """The `Snapshots` of an embedded broker. Nothing is kept for their sake, so what nobody looks at costs nothing."""

    def __init__(self, turn: Turn, sockets: Sockets, tokens: Mapping[str, int]) -> None:
        self._turn = turn
        self._sockets = sockets
        self._tokens = tokens

    def channel(self, client_id: str) -> ChannelSnapshot | None:
        """See `Snapshots`."""
        with self._turn:
            return self._channel(client_id)

    def channels(self, search: str = "", limit: int = 100) -> ChannelList:
        """See `Snapshots`."""
        with self._turn:
            client_ids = list(dict.fromkeys([*self._sockets.channels, *self._tokens]))
            sockets = self._sockets.count
        folded = search.casefold()
        matching = [client_id for client_id in client_ids if folded in client_id.casefold()] if search else client_ids
        with self._turn:
            shown = [self._channel(client_id) for client_id in matching[:limit]]
        return ChannelList(len(client_ids), len(matching), sockets, [channel for channel in shown if channel])

    def count_sockets(self, client_id: str) -> int:
        """See `Snapshots`."""
        with self._turn:
            channel = self._sockets.channels.get(client_id)
            return len(channel.sockets) if channel else 0

    def client_ids(self) -> list[str]:
        """See `Snapshots`."""
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
