"""A broker with its store, as one process has them."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from appengine_channel_emu.broker.broker import EmbeddedBroker
from appengine_channel_emu.broker.clock import Clock
from appengine_channel_emu.broker.store import SqliteStore
from appengine_channel_emu.server.saver import Saver


class Emulator:
    """One process that keeps its state in `folder`; what it saves, and when, is up to the test."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self.store = SqliteStore(folder)
        self.broker = EmbeddedBroker(clock, state=self.store.load(), keep_changes=True)
        self._saver = Saver(self.broker, self.store)

    def save(self) -> bool:
        """Save all there is to save; whether that could be done."""
        return self._saver.save()

    def stop(self) -> None:
        """As SIGTERM does it, but for the patience with a save that fails."""
        self.store.close(self.save())

    def kill(self) -> None:
        """As SIGKILL does it: nothing more is saved."""
        self.store._database.close()
        os.close(self.store._lock)

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
