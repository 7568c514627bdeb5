"""The latest messages that apps sent, with their texts and what became of them: for tests and for the console."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

JOURNAL_LENGTH = 1_000
"""Messages kept at most."""

JOURNAL_BYTES = 4 * 1024 * 1024
"""Bytes of text kept at most."""


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
