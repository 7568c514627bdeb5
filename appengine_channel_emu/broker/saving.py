"""Which parts of the state the store has not seen; gathered as they change, handed over in batches.

A message that is delivered and acknowledged between two batches is never written, so saving costs by the number of
sockets that changed and not by the number of messages.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from appengine_channel_emu.broker.channel import Channel, Socket, TokenRecord
from appengine_channel_emu.broker.state import Changes, SavedSocket, SavedToken
from appengine_channel_emu.broker.turn import Turn

Record = TypeVar("Record")

BATCH = 500
"""Records a batch at most, so that handing one over never holds the broker up."""


class Unsaved:
    """What has changed since it was last handed over; all calls come inside the broker's turn."""

    def __init__(self, keep: bool, turn: Turn) -> None:
        self._keep = keep
        self._turn = turn
        self.on_urgent: Callable[[], None] | None = None
        """Called, outside the turn, when there is something that should not wait for the next batch."""
        self._tokens: dict[str, TokenRecord] = {}
        self._tokens_gone: set[str] = set()
        self._sockets: dict[str, Socket] = {}
        self._sockets_gone: set[str] = set()
        self._told: dict[str, bool] = {}

    def token(self, record: TokenRecord) -> None:
        """A new token."""
        if self._keep:
            self._tokens[record.token] = record
            self._hurry()

    def socket_at_once(self, socket: Socket) -> None:
        """A socket that was just opened, or whose record must not be left as it is."""
        self.socket(socket)
        if self._keep:
            self._hurry()

    def token_gone(self, record: TokenRecord) -> None:
        """A token that timed out. The store may know it, also where a change of it was not handed over."""
        if self._keep:
            self._tokens.pop(record.token, None)
            self._tokens_gone.add(record.token)

    def socket(self, socket: Socket) -> None:
        """A socket, its messages, or what it has acknowledged."""
        if self._keep and socket.ended is None:
            self._sockets[socket.id] = socket

    def socket_ended(self, socket: Socket) -> None:
        """A socket that ended."""
        if self._keep:
            self._sockets.pop(socket.id, None)
            self._sockets_gone.add(socket.id)

    def told(self, channel: Channel) -> None:
        """What the app was last told of a client id."""
        if self._keep:
            self._told[channel.client_id] = channel.told

    def _hurry(self) -> None:
        if self.on_urgent is not None:
            self._turn.then(self.on_urgent)

    def take(self) -> Changes:
        """Up to `BATCH` records of each kind, which count as saved from here on."""
        changes = Changes(
            tokens=[_saved_token(record) for record in _some(self._tokens)],
            sockets=[_saved_socket(socket) for socket in _some(self._sockets)],
            tokens_gone=list(self._tokens_gone),
            sockets_gone=list(self._sockets_gone),
            told=self._told,
        )
        self._tokens_gone, self._sockets_gone, self._told = set(), set(), {}
        return changes


def _some(records: dict[str, Record]) -> list[Record]:
    keys = list(records)[:BATCH]
    return [records.pop(key) for key in keys]


def _saved_token(record: TokenRecord) -> SavedToken:
    return SavedToken(record.token, record.client_id, record.expires)


def _saved_socket(socket: Socket) -> SavedSocket:
    after = max(socket.stored, socket.acknowledged)
    new = list(socket.queue)[after - socket.acknowledged :]
    socket.stored = socket.last_number
    return SavedSocket(
        socket.id,
        socket.token.token,
        socket.old_wire,
        socket.attached,
        socket.acknowledged,
        socket.unsettled,
        after,
        [message.text for message in new],
    )
