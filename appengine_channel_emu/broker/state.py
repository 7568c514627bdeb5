"""What outlives a restart, as plain values (behaviour.md 2, "Store")."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class SavedToken:
    """A token; `expires` in seconds since the epoch, 0 once it has been timed out by hand."""

    token: str
    client_id: str
    expires: float


@dataclass(frozen=True, slots=True)
class SavedSocket:
    """A socket: its last acknowledged number, and the messages that follow `messages_after`.

    `unsettled` is set from an unclean stop until the page says which number it has: the last number known then.
    """

    id: str
    token: str
    old_wire: bool
    attached: bool
    acknowledged: int
    unsettled: int | None
    messages_after: int
    messages: list[str]


@dataclass(slots=True)
class Changes:
    """What is to be written: everything here replaces what the store has under the same key."""

    tokens: list[SavedToken] = field(default_factory=list)
    tokens_gone: list[str] = field(default_factory=list)
    sockets: list[SavedSocket] = field(default_factory=list)
    sockets_gone: list[str] = field(default_factory=list)
    told: dict[str, bool] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.tokens or self.tokens_gone or self.sockets or self.sockets_gone or self.told)


@dataclass(slots=True)
class State:
    """All that a store holds. `clean` is false when the emulator that wrote it did not end by itself."""

    key: bytes
    clean: bool = True
    tokens: list[SavedToken] = field(default_factory=list)
    sockets: list[SavedSocket] = field(default_factory=list)
    told: list[str] = field(default_factory=list)


class Store(Protocol):
    """Where state outlives the process."""

    def load(self) -> State:
        """All that was saved; a new key when there is nothing."""

    def save(self, changes: Changes) -> None:
        """Write `changes`, all of them or none; raises OSError when that cannot be done."""

    def close(self) -> None:
        """Mark the state as clean: nothing will be saved after this."""
