"""What tests and the console see of the broker, and do to it, from outside the Channel API."""

from __future__ import annotations

from threading import Lock

from appengine_channel_emu.broker.channel import Channel, QueuedMessage, Socket
from appengine_channel_emu.broker.errors import ClosedByHand
from appengine_channel_emu.broker.journal import Journal, SentMessage
from appengine_channel_emu.broker.results import ChannelList, ChannelSnapshot, Receipt, SocketSnapshot, Totals
from appengine_channel_emu.broker.sockets import Sockets
from appengine_channel_emu.broker.tokens import Tokens
from appengine_channel_emu.broker.turn import Turn

LATEST_TIME = 4_102_444_800.0
"""The end of the year 2099, in seconds since the epoch: a clock is advanced no further."""

SOCKETS_SHOWN = 100
"""Sockets of one channel that a snapshot holds at most."""

CHANNELS_A_TURN = 20
"""Channels that a list looks at in one turn, so that a message that comes meanwhile does not wait long."""

RECEIPTS_SHOWN = 100
"""Sockets of one message that are told of at most."""


class EmbeddedControl:
    """The `Control` of an embedded broker. Nothing is kept for the sake of snapshots."""

    def __init__(self, turn: Turn, sockets: Sockets, tokens: Tokens, journal: Journal) -> None:
        self._turn = turn
        self._sockets = sockets
        self._tokens = tokens
        self._journal = journal
        self._travelling = Lock()
        self.travelled = 0.0

    def channel(self, client_id: str) -> ChannelSnapshot | None:
        """See `Control`."""
        with self._turn:
            return self._channel(client_id)

    def channels(self, search: str = "", limit: int = 100) -> ChannelList:
        """See `Control`."""
        client_ids = self.client_ids()
        folded = search.casefold()
        matching = [client_id for client_id in client_ids if folded in client_id.casefold()] if search else client_ids
        shown: list[ChannelSnapshot] = []
        for first in range(0, min(limit, len(matching)), CHANNELS_A_TURN):
            with self._turn:
                some = map(self._channel, matching[first : min(limit, first + CHANNELS_A_TURN)])
                shown += [channel for channel in some if channel is not None]
        return ChannelList(len(client_ids), len(matching), self._sockets.count, shown)

    def client_ids(self) -> list[str]:
        """See `Control`."""
        with self._turn:
            with_channel, with_token = list(self._sockets.channels), list(self._tokens.by_client_id)
        return list(dict.fromkeys(with_channel + with_token))

    def totals(self) -> Totals:
        """See `Control`."""
        with self._turn:
            sockets = self._sockets.all()
        ways = {"stream": 0, "poll": 0, "sdk": 0, "none": 0}
        # Outside the turn: there may be thousands, and each may change meanwhile.
        for socket in sockets:
            receiver = socket.receiver
            if socket.sdk_wire:
                ways["sdk"] += 1
            else:
                ways["none" if receiver is None else receiver.transport] += 1
        return Totals(len(self.client_ids()), ways)

    def alike(self, client_id: str) -> list[str]:
        """See `Control`."""
        with self._turn:
            return self._tokens.alike(client_id)

    def receipts(self, sent: SentMessage) -> list[Receipt]:
        """See `Control`."""
        message = sent.queued
        if message is None:
            return []
        with self._turn:
            return [_receipt(message, socket) for socket in sent.sockets[:RECEIPTS_SHOWN]]

    def sockets_of(self, client_id: str) -> list[str]:
        """See `Control`."""
        with self._turn:
            return [socket.id for socket in self._sockets.of(client_id)]

    def close(self, socket_id: str) -> bool:
        """See `Control`."""
        with self._turn:
            socket = self._sockets.get(socket_id)
            if socket is not None:
                self._sockets.end(socket, ClosedByHand, "A socket was closed by hand.")
            return socket is not None

    def cut(self, socket_id: str) -> bool:
        """See `Control`."""
        with self._turn:
            socket = self._sockets.get(socket_id)
            if socket is None:
                return False
            if socket.receiver is not None:
                socket.receiver.cut = True
                self._turn.then(socket.receiver.wake)
                self._turn.event(
                    "socket_cut",
                    "The connection of a socket was cut by hand.",
                    client_id=socket.channel.client_id,
                    socket=socket_id,
                )
            return True

    def expire(self, socket_id: str) -> bool:
        """See `Control`."""
        with self._turn:
            socket = self._sockets.get(socket_id)
            if socket is not None:
                self._tokens.expire(socket.token)
            return socket is not None

    def travel(self, seconds: float) -> None:
        """See `Control`; `LATEST_TIME` is the latest."""
        with self._travelling:
            target = self._turn.now() + seconds
            if not seconds >= 0 or target > LATEST_TIME:
                raise ValueError("The clock is advanced by 0 seconds or more, and not past the year 2099.")
            with self._turn:
                self._sockets.hold(target)
                self._turn.event(
                    "clock_advanced", f"The clock was advanced by {seconds:g} s.", detail={"seconds": seconds}
                )
            try:
                self._turn.clock.advance(seconds)
            finally:
                with self._turn:
                    self._sockets.hold(None)
            self.travelled += seconds

    def reset(self) -> None:
        """See `Control`."""
        with self._turn:
            self._tokens.forget_all()
            self._sockets.forget_all()
            self._journal.clear()
            self._turn.events.clear()
            self._turn.event("reset", "The emulator was reset.")

    def _channel(self, client_id: str) -> ChannelSnapshot | None:
        channel = self._sockets.channels.get(client_id)
        tokens = self._tokens.by_client_id.get(client_id, 0)
        if channel is None:
            return ChannelSnapshot(client_id, tokens, False, 0, [], None) if tokens else None
        return _of_channel(channel, tokens)


def _of_channel(channel: Channel, tokens: int) -> ChannelSnapshot:
    shown = [_of_socket(socket) for socket in channel.sockets[:SOCKETS_SHOWN]]
    last = channel.last_message_at
    since = channel.posting_since if channel.posting is not None else None
    return ChannelSnapshot(
        channel.client_id,
        tokens,
        channel.presence_sent,
        len(channel.sockets),
        shown,
        last,
        channel.posting,
        since,
    )


def _of_socket(socket: Socket) -> SocketSnapshot:
    return SocketSnapshot(
        socket.id,
        "attached" if socket.attached else "detached",
        "dev" if socket.sdk_wire else "socket",
        socket.since,
        socket.token.expires,
        len(socket.queue),
        socket.queued_bytes,
        socket.last_number,
        socket.receiver.transport if socket.receiver is not None else None,
        socket.token.opened_by,
    )


def _receipt(message: QueuedMessage, socket: Socket) -> Receipt:
    opened_by = socket.token.opened_by
    receipt = message.acknowledged.get(socket)
    if receipt is not None:
        return Receipt(socket.id, receipt[1], opened_by, receipt[0], "acknowledged")
    if socket.ended is not None:
        return Receipt(socket.id, socket.way, opened_by, None, "lost")
    # Behind one that is held, it waits as well.
    held = socket.queue.index(message) >= socket.deliverable
    return Receipt(socket.id, socket.way, opened_by, None, "held" if held else "waiting")
