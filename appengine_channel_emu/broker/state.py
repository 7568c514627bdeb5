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

    `unsettled` is set from an unclean start until the page says which number it has: the last number known then.
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
    """What is to be written: everything here replaces what the store has under the same key.

    `told` are the client ids that the app takes for connected, `told_gone` those that it does no more.
    """

    tokens: list[SavedToken] = field(default_factory=list)
    tokens_gone: list[str] = field(default_factory=list)
    sockets: list[SavedSocket] = field(default_factory=list)
    sockets_gone: list[str] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    told_gone: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        gone = self.tokens_gone or self.sockets_gone or self.told_gone
        return bool(self.tokens or self.sockets or self.told or gone)


@dataclass(slots=True)
class State:
    """All that a store holds.

    `clean` is false when the emulator that wrote it did not end by itself. `stale` is true when that one could not
    save at its end: what it accepted since its last save is not here, however long ago that was. `set_aside` says
    what was wrong with a file that could not be used, and where it is.
    """

    key: bytes
    clean: bool = True
    stale: bool = False
    set_aside: str | None = None
    tokens: list[SavedToken] = field(default_factory=list)
    sockets: list[SavedSocket] = field(default_factory=list)
    told: list[str] = field(default_factory=list)


class Store(Protocol):
    """Where state outlives the process."""

    def load(self) -> State:
        """All that was saved; a new key when there is nothing."""

    def save(self, changes: Changes) -> None:
        """Write `changes`, all of them or none. Raises OSError when that cannot be done, for now.

        Raises `StoreLost` when all that was saved before is lost, too.
        """

    def tidy(self) -> None:
        """Give some of the space that is not needed any more back to the system; takes milliseconds."""

    def close(self, saved: bool) -> None:
        """Nothing will be saved after this; `saved`: all has been, so that the state is clean."""


class StoreLost(OSError):
    """The store is empty: whoever saves into it begins anew, with everything there is."""
