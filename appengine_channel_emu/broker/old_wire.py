"""Sockets of the SDK's own wire: connect, and one message a poll (facts.md 4.1, behaviour.md 3)."""

from __future__ import annotations

from appengine_channel_emu.broker.channel import Socket, TokenRecord
from appengine_channel_emu.broker.contract import Message
from appengine_channel_emu.broker.saving import Unsaved
from appengine_channel_emu.broker.sockets import Sockets
from appengine_channel_emu.broker.tokens import random_id
from appengine_channel_emu.broker.turn import Turn


class OldWire:
    """One socket a token, shared by every page that polls with it; all calls come inside the broker's turn."""

    def __init__(self, turn: Turn, sockets: Sockets, unsaved: Unsaved, resume_window: float) -> None:
        self._turn = turn
        self._sockets = sockets
        self._unsaved = unsaved
        self._resume_window = resume_window

    def touch(self, record: TokenRecord) -> tuple[Socket, bool]:
        """The socket of the token, seen alive at this moment, and whether it is new."""
        socket = record.old_wire_socket
        if socket is None:
            return self._sockets.open(random_id(), record, old_wire=True), True
        gap = self._turn.uptime() - socket.quiet_since
        # A slow poller's interval is believed at once and forgotten slowly, so that it never flaps.
        socket.interval = max(min(gap, self._resume_window), socket.interval / 2)
        self._sockets.attach(socket)
        self._sockets.rest(socket)
        return socket, False

    def pop(self, socket: Socket) -> Message | None:
        """The next message, removed as it is read."""
        if not socket.deliverable:
            return None
        message = socket.queue[0]
        socket.acknowledge(socket.acknowledged + 1)
        self._unsaved.socket(socket)
        return message
