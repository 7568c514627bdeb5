"""Events and messages of the whole service, in one order: what this node adds, and what it reads of all nodes.

They are capped streams in Redis. What a node adds comes into its own log when it comes back from there, with the number
that it has for all. While Redis is away it waits, up to a bound.
"""

from __future__ import annotations

import json
import logging
import secrets
from collections import deque
from collections.abc import Callable
from threading import Lock
from typing import Any

from appengine_channel_emu.broker.channel import QueuedMessage, Socket
from appengine_channel_emu.broker.events import Event, EventLog
from appengine_channel_emu.broker.journal import JOURNAL_LENGTH, Journal, SentMessage

RECORD_SECONDS = 0.1
"""Between what happens at a node and its record."""

MOST_WAITING = 10_000
"""Events, and as many messages, that wait for Redis at the most; older ones are forgotten."""

BATCH = 200
BATCH_BYTES = 256 * 1024
"""Of either in one call."""

log = logging.getLogger("channel_emu.redis")


Find = Callable[[str, int], tuple[QueuedMessage, tuple[Socket, ...]] | None]
"""Finds what this node has of the message of a client id and an offset, and the sockets that it was queued for."""


class SharedEventLog(EventLog):
    """The latest events of all nodes. What is added here is not in it before it has been recorded."""

    def __init__(self, length: int) -> None:
        super().__init__(length)
        self.waiting: deque[Event] = deque(maxlen=MOST_WAITING)

    def _take(self, event: Event) -> None:
        # Its number comes when it has been recorded.
        event.number = 0
        self.waiting.append(event)

    def publish(self, event: Event) -> None:
        """Nothing yet: see `receive`."""

    def receive(self, event: Event) -> None:
        """One that was recorded, with its number: the listeners hear of it."""
        if event.number <= self.last_number:
            return
        if event.number != self.last_number + 1:
            # Redis has lost some, or this node was away for long: numbers of what is kept have no gap.
            self.clear()
        self.last_number = event.number
        self._events.append(event)
        super().publish(event)


class SharedJournal(Journal):
    """The latest messages of all nodes, as `SharedEventLog` has events."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: deque[tuple[SentMessage, int]] = deque(maxlen=MOST_WAITING)
        self.mark = secrets.token_hex(8) + ":"
        """Stands, with the place among those that wait, for a number that is not known yet."""
        self._places = 0
        self.find: Callable[[str, int], tuple[QueuedMessage, tuple[Socket, ...]] | None] = lambda client_id, offset: (
            None
        )
        """What this node has of the message of an offset, for what becomes of it on the sockets that it holds."""
        self.offsets: dict[int, int] = {}
        """Where the kept messages are in the logs of their channels, for those that went to somebody."""

    def add_at(self, sent: SentMessage, offset: int) -> str:
        """Note one message, which is at `offset` of its channel's log; what an event says instead of its number."""
        self._places += 1
        sent.number = -self._places
        self.waiting.append((sent, offset))
        return f"{self.mark}{self._places}"

    def receive(self, sent: SentMessage, offset: int) -> None:
        """One that was recorded, with its number."""
        if sent.number <= self.last_number:
            return
        if sent.number != self.last_number + 1:
            self.clear()
        if (found := self.find(sent.client_id, offset)) is not None:
            sent.queued, sent.sockets = found
        self.last_number = sent.number - 1
        super().add(sent)
        self.offsets[sent.number] = offset
        for number in [each for each in self.offsets if each < self.oldest]:
            del self.offsets[number]

    def clear(self) -> None:
        """See `Journal`."""
        super().clear()
        self.offsets.clear()


class Record:
    """Carries events and messages to Redis and back. `ask(last event, last message, kept events, kept messages, …)`."""

    def __init__(self, events: SharedEventLog, journal: SharedJournal, ask: Callable[..., None]) -> None:
        self.events = events
        self.journal = journal
        self._ask = ask
        self._lock = Lock()
        self._under_way = False
        self._resets = 0
        self._seen = (0, 0)

    def forget(self, resets: int) -> None:
        """The service was reset, for the `resets`th time."""
        self._resets = resets
        for kept in (self.events, self.journal):
            kept.waiting.clear()
            kept.clear()

    def begin(self, events: int, messages: int, resets: int) -> None:
        """A connection began: these are the last numbers; the latest of what is kept is read."""
        self._under_way = False
        if resets != self._resets:
            self.forget(resets)
        if self.events.last_number > events or self.journal.last_number > messages:
            self.events.clear()
            self.journal.clear()
            self.events.last_number, self.journal.last_number = events, messages
        self._seen = (events, messages) if not self.events.last_number else self._seen
        if not self.events.last_number:
            self.events.last_number = max(0, events - min(self.events.length, 1_000))
            self.journal.last_number = max(0, messages - BATCH)

    def saw(self, events: int, messages: int) -> None:
        """Others have recorded up to these numbers."""
        self._seen = (events, messages)

    @property
    def due(self) -> bool:
        """Whether there is something to write or to read."""
        if self._under_way:
            return False
        behind = self._seen[0] > self.events.last_number or self._seen[1] > self.journal.last_number
        return behind or bool(self.events.waiting) or bool(self.journal.waiting)

    def exchange(self) -> None:
        """Write what waits, and read what is new."""
        self._under_way = True
        messages = _taken(self.journal.waiting, lambda each: each[0].bytes)
        places = {-message.number: place for place, (message, _) in enumerate(messages, 1)}
        events = _taken(self.events.waiting)
        self._ask(
            self.events.last_number,
            self.journal.last_number,
            self.events.length,
            JOURNAL_LENGTH,
            self.journal.mark,
            self._resets,
            len(messages),
            *(_message_text(*each) for each in messages),
            *(self._event_text(each, places) for each in events),
        )

    def exchanged(self, found: tuple[list[Any], list[Any]]) -> None:
        """What came back."""
        self._under_way = False
        events, messages = found
        for number, fields in messages:
            sent, offset = _message(_number(number), fields[1])
            self.journal.receive(sent, offset)
        for number, fields in events:
            try:
                self.events.receive(Event(_number(number), **json.loads(fields[1])))
            except Exception:
                # A listener's, or of a node that writes otherwise: the others are to be heard all the same.
                log.exception("An event cannot be told.")

    def refused(self) -> None:
        """Redis has an error for an answer: what was written is not recorded, and what follows may be."""
        self._under_way = False

    def _event_text(self, event: Event, places: dict[int, int]) -> str:
        detail = event.detail
        message = detail.get("message")
        if isinstance(message, str) and message.startswith(self.journal.mark):
            place = places.get(int(message.removeprefix(self.journal.mark)))
            detail = detail | {"message": None if place is None else f"{self.journal.mark}{place}"}
        fields = {"time": event.time, "kind": event.kind, "text": event.text, "detail": detail}
        if event.client_id is not None:
            fields["client_id"] = event.client_id
        if event.socket is not None:
            fields["socket"] = event.socket
        return json.dumps(fields)


def _taken(waiting: deque[Any], size: Callable[[Any], int] = lambda each: 1) -> list[Any]:
    taken: list[Any] = []
    total = 0
    while waiting and len(taken) < BATCH and total < BATCH_BYTES:
        taken.append(waiting.popleft())
        total += size(taken[-1])
    return taken


def _number(id: bytes) -> int:
    return int(id.partition(b"-")[0])


def _message_text(sent: SentMessage, offset: int) -> str:
    return json.dumps(
        [sent.time, sent.client_id, sent.text, sent.bytes, sent.delivered_to, sent.reason, sent.why, sent.near, offset]
    )


def _message(number: int, text: bytes) -> tuple[SentMessage, int]:
    time, client_id, body, size, delivered_to, reason, why, near, offset = json.loads(text)
    return SentMessage(number, time, client_id, body, size, delivered_to, reason, why, tuple(near)), offset
