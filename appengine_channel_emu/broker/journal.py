"""The latest messages, with their texts and what became of them; never kept on disk."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from operator import attrgetter

from appengine_channel_emu.broker.channel import QueuedMessage, Socket

JOURNAL_LENGTH = 1_000
"""Messages kept at most; one that a call sent to many client ids counts once."""

JOURNAL_BYTES = 4 * 1024 * 1024
"""Bytes of text kept at most."""

JOURNAL_SOCKETS = 10_000
"""Sockets that the kept messages were queued for, at most: of each it is known when its page had the message. A client
id that has none counts as one."""


@dataclass(slots=True)
class SentMessage:
    """What was sent to one client id.

    `time` is in seconds of the clock; `bytes` those of UTF-8; `reason` and `near` say why it reached nobody, and which
    client ids come near, `why` is the reason's name; `queued` is what `sockets` have got, if there were any.
    """

    number: int
    time: float
    client_id: str
    text: str
    bytes: int
    delivered_to: int
    reason: str | None = None
    why: str | None = None
    near: tuple[str, ...] = ()
    queued: QueuedMessage | None = None
    sockets: tuple[Socket, ...] = ()

    @property
    def acknowledged_at(self) -> list[float]:
        """When each page that has said so had it, in seconds of the clock."""
        if self.queued is None:
            return []
        receipts = self.queued.acknowledged
        return [receipts[socket][0] for socket in self.sockets if socket in receipts]

    @property
    def acknowledged(self) -> int:
        """How many pages have said that they have it."""
        return len(self.acknowledged_at)

    @property
    def lost(self) -> int:
        """How many sockets have ended before their pages had it."""
        if self.queued is None:
            return 0
        receipts = self.queued.acknowledged
        return sum(socket.ended is not None and socket not in receipts for socket in self.sockets)

    @property
    def held(self) -> bool:
        """Whether it waits, for some socket, until the answer of the request that sent it is there (behaviour.md 3)."""
        return self.queued is not None and self.queued.held_for(self.sockets)


@dataclass(slots=True)
class SentToMany:
    """What one call sent to many client ids: one entry, which is read as a message to each, numbered from `number` on.

    `queued` went to `sockets`, by client id; `dropped` is what reached nobody, and comes after these. `places` counts
    the sockets, and the client ids without one.
    """

    number: int
    time: float
    text: str
    bytes: int
    places: int
    queued: QueuedMessage
    client_ids: list[str]
    sockets: dict[str, tuple[Socket, ...]]
    dropped: list[SentMessage]

    def __len__(self) -> int:
        return len(self.client_ids) + len(self.dropped)

    def at(self, index: int) -> SentMessage:
        """The message of that index, to one client id."""
        delivered = len(self.client_ids)
        return self.dropped[index - delivered] if index >= delivered else self._to(self.client_ids[index], index)

    def to(self, client_id: str) -> list[SentMessage]:
        """The messages to `client_id`."""
        dropped = [sent for sent in self.dropped if sent.client_id == client_id]
        return [self._to(client_id, self.client_ids.index(client_id))] if client_id in self.sockets else dropped

    def _to(self, client_id: str, index: int) -> SentMessage:
        sockets, number = self.sockets[client_id], self.number + index
        count = len(sockets)
        return SentMessage(
            number, self.time, client_id, self.text, self.bytes, count, queued=self.queued, sockets=sockets
        )


class Journal:
    """The latest messages, oldest first, numbered from 1."""

    def __init__(self) -> None:
        self._entries: deque[SentMessage | SentToMany] = deque()
        self._bytes = 0
        self._places = 0
        self.last_number = 0

    @property
    def oldest(self) -> int:
        """The number of the oldest that is kept; that of the next one while there is none."""
        try:
            return self._entries[0].number
        except IndexError:
            return self.last_number + 1

    def add(self, sent: SentMessage) -> int:
        """Note a message, and number it; call it inside the broker's turn, when all is known of it."""
        self.last_number = sent.number = number = self.last_number + 1
        self._append(sent, sent.bytes, sent.delivered_to)
        return number

    def add_many(self, sent: SentToMany) -> int:
        """Note what one call sent to many, and number it; returns the first number. See `add`."""
        sent.number = self.last_number + 1
        self.last_number += len(sent)
        for number, dropped in enumerate(sent.dropped, sent.number + len(sent.client_ids)):
            dropped.number = number
        self._append(sent, sent.bytes, sent.places)
        return sent.number

    def _append(self, entry: SentMessage | SentToMany, size: int, places: int) -> None:
        """The newest entry is kept, however large it is."""
        entries = self._entries
        entries.append(entry)
        self._bytes += size
        self._places += places
        while len(entries) > JOURNAL_LENGTH or self._bytes > JOURNAL_BYTES or self._places > JOURNAL_SOCKETS:
            if len(entries) == 1:
                break
            oldest = entries.popleft()
            self._bytes -= oldest.bytes
            self._places -= oldest.delivered_to if isinstance(oldest, SentMessage) else oldest.places

    def clear(self) -> None:
        """Forget them; numbers go on."""
        self._entries.clear()
        self._bytes = self._places = 0

    def get(self, number: int) -> SentMessage | None:
        """The message of that number, if it is kept."""
        entries = list(self._entries)
        found = bisect_right(entries, number, key=attrgetter("number")) - 1
        if found < 0 or number > _last(entries[found]):
            return None
        entry = entries[found]
        return entry if isinstance(entry, SentMessage) else entry.at(number - entry.number)

    def goes_to(self, client_id: str, first: int, count: int) -> bool:
        """Whether one of the `count` messages from number `first` on, which one call has sent, is kept and to that."""
        entries = list(self._entries)
        found = bisect_right(entries, first, key=attrgetter("number")) - 1
        return found >= 0 and any(first <= sent.number < first + count for sent in _messages(entries[found], client_id))

    def after(self, number: int, client_id: str | None = None) -> list[SentMessage]:
        """The kept messages after `number`, of `client_id` if it is given."""
        entries = [entry for entry in list(self._entries) if _last(entry) > number]
        return [sent for entry in entries for sent in _messages(entry, client_id) if sent.number > number]

    def latest(
        self, most: int, wanted: Callable[[SentMessage], bool], after: int = 0, before: int | None = None
    ) -> list[SentMessage]:
        """The newest `most` of the kept messages that are `wanted`, oldest first; `after` and `before` are bounds."""
        found: list[SentMessage] = []
        for entry in reversed(list(self._entries)):
            for sent in _messages(entry, newest_first=True):
                if sent.number <= after or len(found) == most:
                    return found[::-1]
                if (before is None or sent.number < before) and wanted(sent):
                    found.append(sent)
        return found[::-1]


def _length(entry: SentMessage | SentToMany) -> int:
    return 1 if isinstance(entry, SentMessage) else len(entry)


def _last(entry: SentMessage | SentToMany) -> int:
    return entry.number + _length(entry) - 1


def _messages(
    entry: SentMessage | SentToMany, client_id: str | None = None, newest_first: bool = False
) -> Iterable[SentMessage]:
    """What `entry` sent to `client_id`, or to anybody; of that the newest may come first."""
    if isinstance(entry, SentMessage):
        return (entry,) if client_id in (None, entry.client_id) else ()
    if client_id is not None:
        return entry.to(client_id)
    indexes = range(len(entry))
    return map(entry.at, reversed(indexes) if newest_first else indexes)
