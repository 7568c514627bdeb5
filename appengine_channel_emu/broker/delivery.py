"""Which sockets a message goes to, and how many messages one answer carries (behaviour.md 3)."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Container

from appengine_channel_emu.broker.channel import Channel, Hold, QueuedMessage, Socket
from appengine_channel_emu.broker.contract import BrokerOptions, Message, Sent
from appengine_channel_emu.broker.errors import BacklogExceeded
from appengine_channel_emu.broker.events import Journal
from appengine_channel_emu.broker.saving import Unsaved
from appengine_channel_emu.broker.sockets import Sockets
from appengine_channel_emu.broker.turn import Turn

ANSWER_MESSAGES = 1_000
ANSWER_BYTES = 512 * 1024
"""The most one poll answer carries; the rest comes with the next poll."""

_ALL_FULL = "All sockets together had more unread bytes than --backlog-total allows, and this one the most."
_SENT = "A message was sent."
_HELD = "A message was sent; the browser whose request sent it gets it after the answer (--push-after-answer)."
_OVERFLOW = "A socket had more unread messages than the backlog allows."


class Delivery:
    """Queues messages on sockets; all calls come inside the broker's turn."""

    def __init__(
        self, turn: Turn, sockets: Sockets, unsaved: Unsaved, options: BrokerOptions, journal: Journal
    ) -> None:
        self._turn = turn
        self._sockets = sockets
        self._unsaved = unsaved
        self._options = options
        self._journal = journal
        self.on_unpolled: Callable[[str], None] | None = None
        """Told, outside the turn, of each message that may leave and finds no poll of its socket: the socket's id."""

    def send(self, client_id: str, text: str, created: Container[str], hold: Hold | None = None) -> Sent:
        """Queue `text` for `client_id`; `created` holds the client ids with a valid token.

        For the sockets of the browser of `hold` it does not leave before that is over.
        """
        channel = self._sockets.channels.get(client_id)
        if channel is None or not channel.sockets:
            return self._drop(client_id, text, _why_nobody(client_id, created))
        message = QueuedMessage(text, self._sockets.unread)
        if self._sockets.unread.bytes + message.size > self._options.backlog_total:
            self._make_room(message.size)
        sockets = list(channel.sockets.values())
        if self._options.tabs == "split":
            sockets = [_next_in_turn(channel, sockets)]
        delivered_to = sum(self._queue(socket, message, hold) for socket in sockets)
        if not delivered_to:
            return self._drop(client_id, text, _OVERFLOW)
        channel.last_message_at = now = self._turn.now()
        self._journal.add(now, client_id, text, delivered_to, None)
        detail, what = {"bytes": message.size, "sockets": delivered_to}, _SENT
        if hold is not None and hold.sockets:
            detail["held"], what = len(hold.sockets), _HELD
        self._turn.event("message_sent", what, client_id=client_id, detail=detail)
        return Sent(delivered_to)

    def release(self, socket: Socket) -> None:
        """Something of `socket` may be held no longer."""
        if socket.deliverable:
            self._wake(socket)

    def _wake(self, socket: Socket) -> None:
        if socket.poll is not None:
            self._turn.then(socket.poll.ready.set)
        elif self.on_unpolled is not None and not socket.old_wire:
            self._turn.then(functools.partial(self.on_unpolled, socket.id))

    def _queue(self, socket: Socket, message: QueuedMessage, hold: Hold | None) -> bool:
        if (
            len(socket.queue) >= self._options.backlog_messages
            or socket.queued_bytes + message.size > self._options.backlog_bytes
        ):
            self._sockets.end(socket, BacklogExceeded, _OVERFLOW)
            return False
        socket.append(message)
        self._unsaved.socket(socket)
        if hold is not None and hold.browser == socket.browser:
            hold.add(socket)
        if socket.holds is None:
            self._wake(socket)
        else:
            if self._is_filling(socket):
                socket.holds = None
            self.release(socket)
        return True

    def _is_filling(self, socket: Socket) -> bool:
        """Whether half of the backlog is used: nothing is held then, for no socket is to be closed by that."""
        options = self._options
        return len(socket.queue) * 2 > options.backlog_messages or socket.queued_bytes * 2 > options.backlog_bytes

    def _make_room(self, size: int) -> None:
        """All sockets together have too much unread: those that have the most are closed, and nobody else."""
        closed = 0
        while self._sockets.unread.bytes + size > self._options.backlog_total:
            socket = self._sockets.fullest()
            if socket is None:
                break
            self._sockets.end(socket, BacklogExceeded, _ALL_FULL)
            closed += 1
        self._turn.event(
            "backlog_full",
            f"The unread messages of all sockets have reached {self._options.backlog_total} bytes; sockets closed, "
            f"those with the most unread: {closed}. Pages that do not poll are the cause; --backlog-total allows more.",
        )

    def _drop(self, client_id: str, text: str, reason: str) -> Sent:
        # A foreign string in the place of a client id may be of any length.
        client_id = client_id[:256]
        self._journal.add(self._turn.now(), client_id, text, 0, reason)
        self._turn.event("message_dropped", reason, client_id=client_id)
        return Sent(0, reason)


def fitting(socket: Socket) -> list[Message]:
    """The unread messages that go into one answer."""
    messages: list[Message] = []
    size = 0
    for message in itertools.islice(socket.queue, socket.deliverable):
        size += message.size
        if messages and (size > ANSWER_BYTES or len(messages) == ANSWER_MESSAGES):
            break
        messages.append(message)
    return messages


def _why_nobody(client_id: str, created: Container[str]) -> str:
    if not client_id:
        return "The client id is empty."
    if client_id in created:
        return "No socket of this client id is open."
    return "No channel was created for this client id."


def _next_in_turn(channel: Channel, sockets: list[Socket]) -> Socket:
    """Sockets that compete take turns; one with a poll parked goes before one that is only attached."""
    channel.turn += 1
    ranked = [s for s in sockets if s.poll is not None] or [s for s in sockets if s.attached] or sockets
    return ranked[channel.turn % len(ranked)]
