"""What a message meets on its way to the sockets: which of them get it, and what is told where none does."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from itertools import islice

from appengine_channel_emu.broker.channel import Channel, Hold, QueuedMessage, Socket
from appengine_channel_emu.broker.contract import BrokerOptions
from appengine_channel_emu.broker.drops import (
    EMPTY,
    FOREIGN_TOKEN,
    LOOKED_AT,
    MOST_NEAR,
    NO_CHANNEL,
    NO_VALUE,
    NO_VALUES,
    NOT_OPENED,
    OVERFLOW,
    TOKEN_TIMED_OUT,
    Drop,
    near_text,
)
from appengine_channel_emu.broker.errors import BacklogExceeded, size_of
from appengine_channel_emu.broker.journal import JOURNAL_SOCKETS, Journal, SentMessage, SentToMany
from appengine_channel_emu.broker.results import Sent
from appengine_channel_emu.broker.saving import DirtySet
from appengine_channel_emu.broker.sockets import Sockets
from appengine_channel_emu.broker.tokens import SHOWN_CHARACTERS, Tokens, is_like_token
from appengine_channel_emu.broker.turn import Turn

DROPS_TOLD = 20
"""Client ids of one call that have an event of their own when it reaches nobody there, with what comes near: as many as
the log shows in a second."""

_ALL_FULL = "All sockets together had more unread bytes than --backlog-total allows, and this one the most."
SENT = "A message was sent."
HELD = "A message was sent; the browser whose request sent it gets it after the answer (--push-after-answer)."


class Delivery:
    """Queues messages on sockets; all calls come inside the broker's turn."""

    def __init__(
        self,
        turn: Turn,
        sockets: Sockets,
        tokens: Tokens,
        dirty: DirtySet,
        options: BrokerOptions,
        journal: Journal,
    ) -> None:
        self._turn = turn
        self._sockets = sockets
        self._tokens = tokens
        self._figures = sockets.figures
        self._dirty = dirty
        self._options = options
        self._journal = journal
        self.on_unpolled: Callable[[str, str], None] | None = None
        """Told, outside the turn, of each message that may leave and finds no poll or stream: socket and browser."""

    def send(self, client_id: str, text: str, hold: Hold | None = None) -> Sent:
        """Queue `text` for `client_id`; on sockets of the browser of `hold` it does not leave before that is over."""
        channel = self._sockets.channels.get(client_id)
        if channel is None or not channel.sockets:
            return self.drop(client_id, text, self._why_nobody(client_id, channel))
        now = self._turn.clock.now()
        message = QueuedMessage(text, self._sockets.unread, now)
        sockets, delivered_to = self._queue_for(channel, message, hold, now)
        if not delivered_to:
            return self.drop(client_id, text, OVERFLOW)
        self._figures.sent += 1
        size = message.size
        number = self._journal.add(
            # By position: this is done for each message.
            SentMessage(0, now, channel.client_id, text, size, delivered_to, None, None, (), message, sockets)
        )
        detail = {"message": number, "bytes": size, "sockets": delivered_to}
        self._tell(message, hold, channel.client_id, detail, now)
        return _delivered(delivered_to)

    def send_many(self, client_ids: Iterable[str], text: str, hold: Hold | None = None) -> dict[str, Sent]:
        """`send` to each of `client_ids`, which has no name twice: one message, one event and one entry of the journal.

        What reaches nobody has an event of its own, up to `DROPS_TOLD`.
        """
        now = self._turn.now()
        message = QueuedMessage(text, self._sockets.unread, now)
        outcomes: dict[str, Sent] = {}
        reached: dict[str, tuple[Socket, ...]] = {}
        dropped: list[SentMessage] = []
        delivered_to = 0
        channels = self._sockets.channels
        for client_id in client_ids:
            channel = channels.get(client_id)
            if channel is None or not channel.sockets:
                drop = self._why_nobody(client_id, channel)
            else:
                sockets, number = self._queue_for(channel, message, hold, now)
                if number:
                    reached[channel.client_id] = sockets
                    delivered_to += number
                    outcomes[client_id] = _delivered(number)
                    continue
                drop = OVERFLOW
            dropped.append(self._dropped(client_id, text, drop, looks=len(dropped) < DROPS_TOLD))
            outcomes[client_id] = Sent(0, dropped[-1].reason, dropped[-1].near)
        if not outcomes:
            return outcomes
        self._figures.sent += len(reached)
        size = message.size
        # There may be a hundred thousand: the answer has them all.
        kept = dropped[:JOURNAL_SOCKETS]
        places = delivered_to + len(kept)
        first = self._journal.add_many(SentToMany(0, now, text, size, places, message, list(reached), reached, kept))
        if reached:
            detail = {"message": first, "bytes": size, "sockets": delivered_to, "client_ids": len(reached)}
            self._tell(message, hold, None, detail, now)
        self._tell_dropped(dropped)
        return outcomes

    def _queue_for(
        self, channel: Channel, message: QueuedMessage, hold: Hold | None, now: float
    ) -> tuple[tuple[Socket, ...], int]:
        """Queue `message` for `channel`; the sockets that were to get it, and how many have it in their queues."""
        if self._sockets.unread.bytes + message.size > self._options.backlog_total and not message.unread:
            self._make_room(message.size)
        sockets = channel.sockets
        if self._options.tabs == "split" and sockets:
            sockets = (_next_in_turn(channel, sockets),)
        delivered_to = 0
        for socket in sockets:
            delivered_to += self._queue(socket, message, hold)
        if delivered_to:
            channel.last_message_at = now
        return sockets, delivered_to

    def _tell(
        self, message: QueuedMessage, hold: Hold | None, client_id: str | None, detail: dict[str, int], now: float
    ) -> None:
        what = SENT
        if client_id is None:
            many = detail["client_ids"]
            what = f"A message was sent to {many} client id{'' if many == 1 else 's'}."
        if hold is not None and hold.sockets:
            message.waits_for = hold
            detail["held"], what = len(hold.sockets), HELD
        self._turn.event("message_sent", what, client_id, None, detail, now)

    def polled_from(self, browser: str | None, socket: Socket) -> None:
        """`socket` belongs to a page in `browser`; what waits for another one's answer waits no longer."""
        if socket.browser == browser:
            return
        socket.browser = browser
        if socket.holds is not None:
            socket.holds = None
            self.release(socket)

    def release(self, socket: Socket) -> None:
        """Something of `socket` may be held no longer."""
        if socket.deliverable:
            self._wake(socket)

    def _wake(self, socket: Socket) -> None:
        if socket.receiver is not None:
            self._turn.then(socket.receiver.wake)
        elif self.on_unpolled is not None and socket.browser is not None and not socket.sdk_wire:
            self._turn.then(functools.partial(self.on_unpolled, socket.id, socket.browser))

    def _queue(self, socket: Socket, message: QueuedMessage, hold: Hold | None) -> bool:
        options = self._options
        if len(socket.queue) >= options.backlog_messages or socket.queued_bytes + message.size > options.backlog_bytes:
            self._sockets.end(socket, BacklogExceeded, OVERFLOW.reason)
            return False
        socket.append(message)
        self._dirty.socket(socket)
        if hold is not None and hold.browser == socket.browser:
            hold.add(socket)
        if socket.holds is None:
            if socket.receiver is not None:
                self._turn.then(socket.receiver.wake)
            else:
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

    def _why_nobody(self, client_id: str, channel: Channel | None) -> Drop:
        if not client_id:
            return EMPTY
        departure = self._sockets.ended.departures.get(client_id)
        if departure is not None:
            return departure.drop(self._turn.now(), app_knows=channel is None or not channel.presence_sent)
        if client_id in self._tokens.by_client_id:
            return NOT_OPENED
        return NO_VALUE if client_id in NO_VALUES else NO_CHANNEL

    def drop(self, client_id: str, text: str, drop: Drop) -> Sent:
        """`text` goes to nobody: note it, and why."""
        sent = self._dropped(client_id, text, drop)
        self._journal.add(sent)
        self._tell_dropped([sent])
        return Sent(0, sent.reason, sent.near)

    def _tell_dropped(self, dropped: list[SentMessage]) -> None:
        for sent in dropped[:DROPS_TOLD]:
            self._turn.event(
                "message_dropped",
                f"{sent.reason}{near_text(sent.near, self._sockets.is_open)}",
                client_id=sent.client_id,
                detail={"message": sent.number, "why": sent.why, "near": list(sent.near), "bytes": sent.bytes},
            )
        more = dropped[DROPS_TOLD:]
        if more:
            self._turn.event(
                "message_dropped",
                f"Dropped for {len(more)} more client ids of the same call; its answer says of each why.",
                detail={"message": more[0].number, "why": more[0].why, "near": [], "client_ids": len(more)},
            )

    def _dropped(self, client_id: str, text: str, drop: Drop, looks: bool = True) -> SentMessage:
        """What goes to nobody, and why; `looks` for client ids that come near.

        Of a token no more than its first characters is to be read.
        """
        if self._tokens.made(client_id):
            client_id, drop = f"{client_id[:SHOWN_CHARACTERS]}…", TOKEN_TIMED_OUT
        elif drop is NO_CHANNEL and is_like_token(client_id):
            client_id, drop = f"{client_id[:SHOWN_CHARACTERS]}…", FOREIGN_TOKEN
        near = self._near(client_id, others=drop.why in MISTAKEN) if looks else ()
        # A foreign string instead of a client id may be of any length.
        client_id = self._tokens.shown(client_id)
        self._figures.dropped[drop.why] += 1
        return SentMessage(0, self._turn.now(), client_id, text, size_of(text), 0, drop.reason, drop.why, near)

    def _near(self, client_id: str, others: bool) -> tuple[str, ...]:
        """Client ids that are easily mistaken for this one, and, if asked for, others with a page."""
        is_open = self._sockets.is_open
        alike = sorted(self._tokens.alike(client_id), key=lambda each: not is_open(each))
        near = dict.fromkeys(alike[:MOST_NEAR])
        if others:
            for channel in islice(self._sockets.channels.values(), LOOKED_AT):
                if len(near) >= MOST_NEAR:
                    break
                if channel.sockets:
                    near[channel.client_id] = None
        return tuple(near)


MISTAKEN = ("empty", "no_channel", "not_opened", "expired")
"""Why a message may have been meant for somebody else."""


def _next_in_turn(channel: Channel, sockets: tuple[Socket, ...]) -> Socket:
    """Sockets that compete take turns; one with a poll or stream goes before one that is only attached."""
    channel.rotation += 1
    ranked = [s for s in sockets if s.receiver is not None] or [s for s in sockets if s.attached] or sockets
    return ranked[channel.rotation % len(ranked)]


@functools.lru_cache(maxsize=64)
def _delivered(sockets: int) -> Sent:
    """One for all that are alike."""
    return Sent(sockets)
