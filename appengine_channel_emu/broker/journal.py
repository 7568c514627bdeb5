"""The latest messages, with their texts and what became of them; never kept on disk."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from appengine_channel_emu.broker.channel import QueuedMessage

JOURNAL_LENGTH = 1_000
"""Messages kept at most."""

JOURNAL_BYTES = 4 * 1024 * 1024
"""Bytes of text kept at most."""

JOURNAL_SOCKETS = 10_000
"""Sockets that the kept messages were queued for, at most: of each it is known when its page had the message."""


@dataclass(slots=True)
class SentMessage:
    """One call of `send_message` for one client id.

    `time` is in seconds of the clock; `bytes` those of UTF-8; `reason` and `near` say why it reached nobody, and which
    client ids come near, `why` is the reason's name; `queued` is what the sockets have got, if there were any.
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

    @property
    def acknowledged(self) -> int:
        """How many pages have said that they have it."""
        return len(self.queued.acknowledged) if self.queued is not None else 0

    @property
    def lost(self) -> int:
        """How many sockets have ended before their pages had it."""
        if self.queued is None:
            return 0
        acknowledged = self.queued.acknowledged
        return sum(socket.ended is not None and socket not in acknowledged for socket in self.queued.sockets)

    @property
    def held(self) -> bool:
        """Whether it waits, for some socket, until the answer of the request that sent it is there (behaviour.md 3)."""
        return self.queued is not None and self.queued.held


class Journal:
    """The latest messages, oldest first, numbered from 1."""

    def __init__(self) -> None:
        self._entries: deque[SentMessage] = deque()
        self._bytes = 0
        self._sockets = 0
        self.last_number = 0

    @property
    def oldest(self) -> int:
        """The number of the oldest that is kept; that of the next one while there is none."""
        try:
            return self._entries[0].number
        except IndexError:
            return self.last_number + 1

    def add(self, sent: SentMessage) -> int:
        """Note one message, and number it; call it inside the broker's turn, when all is known of it."""
        self.last_number += 1
        sent.number = self.last_number
        entries = self._entries
        entries.append(sent)
        self._bytes += sent.bytes
        self._sockets += sent.delivered_to
        while len(entries) > JOURNAL_LENGTH or self._bytes > JOURNAL_BYTES or self._sockets > JOURNAL_SOCKETS:
            oldest = entries.popleft()
            self._bytes -= oldest.bytes
            self._sockets -= oldest.delivered_to
        return sent.number

    def clear(self) -> None:
        """Forget them; numbers go on."""
        self._entries.clear()
        self._bytes = self._sockets = 0

    def get(self, number: int) -> SentMessage | None:
        """The message of that number, if it is kept."""
        entries = list(self._entries)
        index = number - entries[0].number if entries else -1
        return entries[index] if 0 <= index < len(entries) else None

    def after(self, number: int, client_id: str | None = None) -> list[SentMessage]:
        """The kept messages after `number`, of `client_id` if it is given."""
        return [
            entry
            for entry in list(self._entries)
            if entry.number > number and (client_id is None or entry.client_id == client_id)
        ]

    def latest(
        self, most: int, wanted: Callable[[SentMessage], bool], after: int = 0, before: int | None = None
    ) -> list[SentMessage]:
        """The newest `most` of the kept messages that are `wanted`, oldest first; `after` and `before` are bounds."""
        found: list[SentMessage] = []
        for entry in reversed(list(self._entries)):
            if entry.number <= after or len(found) == most:
                break
            if (before is None or entry.number < before) and wanted(entry):
                found.append(entry)
        return found[::-1]
