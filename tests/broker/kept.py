"""A broker with its store, as one process has them."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

from appengine_channel_emu.broker.broker import EmbeddedBroker
from appengine_channel_emu.broker.clock import Clock
from appengine_channel_emu.broker.contract import BrokerOptions, PresencePost
from appengine_channel_emu.broker.store import SqliteStore
from appengine_channel_emu.server.saver import Saver


class Emulator:
    """One process that keeps its state in `folder`; what it saves, and when, is up to the test."""

    def __init__(
        self,
        folder: Path,
        clock: Clock,
        options: BrokerOptions | None = None,
        post_presence: PresencePost | None = None,
    ) -> None:
        self._folder = folder
        self._locked: OtherProgram | None = None
        self.store = SqliteStore(folder)
        self.broker = EmbeddedBroker(clock, options, post_presence, self.store.load(), keep_changes=True)
        self._saver = Saver(self.broker, self.store)

    def save(self) -> bool:
        """Save all there is to save; whether that could be done."""
        return self._saver.save()

    def when_urgent(self, save: Callable[[], object]) -> None:
        """Call `save` when there is something that should be saved at once."""
        self.broker.when_urgent(save)

    def stop(self) -> bool:
        """As SIGTERM does it, but for the patience with a save that fails; whether all could be saved."""
        saved = self.save()
        self.store.close(saved)
        return saved

    def kill(self) -> None:
        """As SIGKILL does it: nothing more is saved."""
        self.store._database.close()
        os.close(self.store._lock)

    def lock(self) -> None:
        """Another program has the file: no save succeeds until `unlock`."""
        if self._locked is None:
            self.store._database.execute("PRAGMA busy_timeout = 0").fetchall()
            self._locked = OtherProgram(self._folder)

    def unlock(self) -> None:
        """It lets go."""
        if self._locked is not None:
            self._locked.leave()
            self._locked = None

    @property
    def locked(self) -> bool:
        """Whether another program has the file."""
        return self._locked is not None

    def events(self, kind: str) -> list[str]:
        """The texts of its events of that kind."""
        return [event.text for event in self.broker.events.after(0) if event.kind == kind]

    def texts(self, socket: str, after: int = 0) -> list[str]:
        """What a poll of `socket` brings."""
        return [message.text for message in self.broker.take(self.broker.poll(socket, after)).messages]


class OtherProgram:
    """Has the state file locked, as a database browser does that is left in the middle of a change."""

    def __init__(self, folder: Path) -> None:
        self._connection = sqlite3.connect(folder / "state.sqlite3", isolation_level=None)
        self._connection.execute("BEGIN IMMEDIATE")

    def leave(self) -> None:
        """Let go of it."""
        self._connection.rollback()
        self._connection.close()
