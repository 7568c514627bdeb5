"""What happened, and why: the record behind the log, the console and every "why was my message dropped?".

Events never hold what a message says; the journal does, and is never kept on disk.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

EVENT_LOG_LENGTH = 10_000
"""Events kept in memory; older ones are forgotten."""

JOURNAL_LENGTH = 1_000
"""Messages kept at most."""

JOURNAL_BYTES = 4 * 1024 * 1024
"""Bytes of text kept at most."""


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened.

    `number` counts up from 1; `time` is in seconds of the clock; `kind` is one of the lower-case names in
    this package, such as `message_dropped`; `client_id` and `socket` are set where there is one; `detail`
    holds plain JSON values. Never holds a token or the text of a message.
    """

    number: int
    time: float
    kind: str
    text: str
    client_id: str | None = None
    socket: str | None = None
    detail: dict[str, Any] = field(default_factory=dict)


class EventLog:
    """The latest events."""

    def __init__(self, length: int = EVENT_LOG_LENGTH) -> None:
        self._events: deque[Event] = deque(maxlen=length)
        self._listeners: list[Callable[[Event], None]] = []
        self.last_number = 0

    def listen(self, listener: Callable[[Event], None]) -> None:
        """Call `listener` with each new event, outside every lock of the broker's."""
        self._listeners.append(listener)

    def add(self, time: float, kind: str, text: str, **fields: Any) -> Event:
        """Record an event; whoever adds it also calls `publish` once it holds no lock."""
        self.last_number += 1
        event = Event(self.last_number, time, kind, text, **fields)
        self._events.append(event)
        return event

    def publish(self, event: Event) -> None:
        """Tell the listeners of `event`."""
        for listener in self._listeners:
            listener(event)

    def after(self, number: int) -> list[Event]:
        """The kept events with a number greater than `number`, oldest first."""
        events = list(self._events)
        if not events:
            return []
        return events[max(0, number + 1 - events[0].number) :]

    def clear(self) -> None:
        """Forget them; numbers go on."""
        self._events.clear()


@dataclass(frozen=True, slots=True)
class SentMessage:
    """One call of `send_message`: `time` in seconds of the clock, `reason` where it reached nobody."""

    number: int
    time: float
    client_id: str
    text: str
    delivered_to: int
    reason: str | None


class Journal:
    """The latest messages, oldest first, numbered from 1; never kept on disk."""

    def __init__(self) -> None:
        self._entries: deque[SentMessage] = deque()
        self._bytes = 0
        self.last_number = 0

    def add(self, time: float, client_id: str, text: str, delivered_to: int, reason: str | None) -> None:
        """Note one message; call it inside the broker's turn."""
        self.last_number += 1
        self._entries.append(SentMessage(self.last_number, time, client_id, text, delivered_to, reason))
        self._bytes += len(text)
        while len(self._entries) > JOURNAL_LENGTH or self._bytes > JOURNAL_BYTES:
            self._bytes -= len(self._entries.popleft().text)

    def clear(self) -> None:
        """Forget them; numbers go on."""
        self._entries.clear()
        self._bytes = 0

    def after(self, number: int, client_id: str | None = None) -> list[SentMessage]:
        """The kept messages after `number`, of `client_id` if it is given."""
        return [
            entry
            for entry in list(self._entries)
            if entry.number > number and (client_id is None or entry.client_id == client_id)
        ]
