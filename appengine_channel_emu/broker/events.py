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


@dataclass(slots=True)  # Not frozen, which would double the time that it takes to make one, at each message.
class Event:
    """One thing that happened; never changed.

    `number` counts up from 1; `time` is in seconds of the clock; `kind` is one of the lower-case names in
    this package, such as `message_dropped`; `client_id` and `socket` are set where there is one; `detail`
    holds plain JSON values. Never holds a token, beyond
    its first eight characters, or the text of a message.
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
        self.listeners: list[Callable[[Event], None]] = []
        """Who is told of each new event, see `listen`."""
        self.length = length
        """How many are kept at most."""
        self.last_number = 0

    def listen(self, listener: Callable[[Event], None]) -> None:
        """Call `listener` with each new event, outside every lock of the broker's."""
        self.listeners.append(listener)

    def add(
        self,
        time: float,
        kind: str,
        text: str,
        client_id: str | None = None,
        socket: str | None = None,
        detail: dict[str, Any] | None = None,
    ) -> Event:
        """Record an event; whoever adds it also calls `publish` once it holds no lock."""
        event = Event(self.last_number + 1, time, kind, text, client_id, socket, {} if detail is None else detail)
        self._take(event)
        return event

    def _take(self, event: Event) -> None:
        self.last_number = event.number
        self._events.append(event)

    def publish(self, event: Event) -> None:
        """Tell the listeners of `event`."""
        for listener in self.listeners:
            listener(event)

    def after(self, number: int) -> list[Event]:
        """The kept events with a number greater than `number`, oldest first."""
        events = list(self._events)
        if not events:
            return []
        return events[max(0, number + 1 - events[0].number) :]

    def latest(
        self, most: int, wanted: Callable[[Event], bool], after: int = 0, before: int | None = None
    ) -> list[Event]:
        """The newest `most` of the kept events that are `wanted`, oldest first; `after` and `before` are bounds."""
        events = list(self._events)
        if not events:
            return []
        first = events[0].number
        end = len(events) if before is None else max(0, min(len(events), before - first))
        found: list[Event] = []
        for index in range(end - 1, max(0, after + 1 - first) - 1, -1):
            if wanted(events[index]):
                found.append(events[index])
                if len(found) == most:
                    break
        return found[::-1]

    def clear(self) -> None:
        """Forget them; numbers go on."""
        self._events.clear()
