"""State in an SQLite file, so that tokens, sockets and unread messages outlive a restart (behaviour.md 2)."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
import sqlite3
from pathlib import Path
from typing import NoReturn

from appengine_channel_emu.broker import state_file
from appengine_channel_emu.broker.saving import Changes, State, StoreLost
from appengine_channel_emu.broker.state_file import SQLITE_FAULTS, Damaged, SavedBy
from appengine_channel_emu.broker.tokens import new_key
from appengine_channel_emu.private_files import open_plain, private_folder, set_aside, set_aside_unless_plain

START_PATIENCE = 5.0
"""Seconds to wait at the start for another program that has the file locked."""

TIDY_PAGES = 512
"""Pages that are given back at a time."""

_SUFFIXES = ("-wal", "-shm", "-journal")
_LOCK_BYTES = 100
_LOCK_TEXT = re.compile(r" ?[0-9a-f]{32}( [0-9a-f]{32})? [0-9]{1,18} *\n")


class StoreInUse(Exception):
    """Another emulator uses this folder."""


class SqliteStore:
    """A `Store` in `folder`, made with mode 0700 when it is not there; see `private_folder`.

    What cannot be used is set aside, and is no error. Raises `StoreInUse` when another process has the folder,
    OSError when nothing can be kept there.

    The file `lock` says of which run the state is, and how often that has saved. A save that fails empties it, which
    takes no room on a full disk. So a state from which something is missing is known for that at the next start, be it
    that saving failed, that SQLite's log is damaged, or that an older file was put back.
    """

    _database: sqlite3.Connection
    _state: State
    _former: SavedBy | None
    _opened: tuple[int, int] | None
    _holds_something: bool
    _begun: bool
    _untidy: bool
    _shrunk: bool

    def __init__(self, folder: Path) -> None:
        folder = private_folder(folder)
        self._path = folder / "state.sqlite3"
        self._set_aside: list[str] = []
        self._lock = self._lock_folder(folder / "lock")
        self._run = secrets.token_hex(16)
        self._saves = 0
        self._lost = False
        """There is no file, and one is to be made."""
        try:
            self._open(new_key())
        except OSError:
            if self._holds_something:
                os.close(self._lock)
                raise
            # On a full disk, say: what is to be kept is kept once that can be done.
            self._lost = True
        if not self._holds_something and not self._set_aside and self._read_lock():
            self._set_aside.append("The saved state is missing: there is no file, or an empty one.")

    def load(self) -> State:
        """See `Store`; from here on the state counts as unclean until `close`."""
        # What can be read is used; what cannot be saved is said by whoever saves.
        with contextlib.suppress(OSError):
            self.save(Changes())
        self._state.set_aside = " ".join(self._set_aside) or None
        self._set_aside.clear()
        return self._state

    def save(self, changes: Changes) -> None:
        """See `Store`."""
        if self._lost or self._identity() != self._opened:
            self._begin_anew("another program has removed or replaced it")
        try:
            with self._database as database:
                self._count(database)
                state_file.write(database, changes)
        except SQLITE_FAULTS as error:
            self._say_that_it_lacks_something()
            if state_file.is_for_now(error):
                raise OSError(f"{self._path} cannot be written: {error}") from error
            self._begin_anew(state_file.why(error))
        self._untidy = True
        self._say_what_it_has()

    def tidy(self) -> None:
        """See `Store`."""
        if not self._untidy:
            return
        with contextlib.suppress(*SQLITE_FAULTS):
            spare = self._database.execute("PRAGMA freelist_count").fetchone()[0] - state_file.SPARE_PAGES
            if spare > 0:
                # `execute` would stop after the first page.
                self._database.executescript(f"PRAGMA incremental_vacuum({min(spare, TIDY_PAGES)})")
                self._shrunk = True
                return
            if self._shrunk:
                # Until then the file is as long as it was.
                self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        self._untidy = self._shrunk = False

    def close(self, saved: bool = True) -> None:
        """See `Store`."""
        if not saved:
            self._say_that_it_lacks_something()
        elif not self._lost:
            with contextlib.suppress(*SQLITE_FAULTS):
                with self._database as database:
                    self._count(database)
                    database.execute("INSERT OR REPLACE INTO meta VALUES ('clean', 1)")
                self._say_what_it_has()
        if not self._lost:
            self._database.close()
        # Not by closing alone: a process that is just being started may hold a copy of the descriptor.
        fcntl.flock(self._lock, fcntl.LOCK_UN)
        os.close(self._lock)

    def _open(self, key: bytes) -> None:
        """Read the file, or make one, with `key`, where there is none that can be used. Raises OSError."""
        self._begun = self._untidy = self._shrunk = False
        self._holds_something = True  # until that is known
        self._former = None
        self._state = State(key)
        for suffix in ("", *_SUFFIXES):
            self._note_aside(set_aside_unless_plain(self._named(suffix)), "it is no file of ours")
        self._holds_something = self._path.exists() and self._path.stat().st_size > 0
        try:
            self._database = self._connect_whatever_is_there()
        except SQLITE_FAULTS as error:
            raise OSError(f"{self._path} cannot be used: {error}") from error
        self._opened = self._identity()
        self._state.stale = not self._is_up_to_date()

    def _connect_whatever_is_there(self) -> sqlite3.Connection:
        try:
            return self._connect()
        except OSError:
            raise
        except Exception as error:
            # Of whatever kind: nothing in a file may keep the emulator from starting.
            if state_file.is_for_now(error):
                if "locked" in str(error):
                    raise
                # On a full disk there is no room for what SQLite shares with other programs.
                return self._connect(alone=True)
            self._move_away(state_file.why(error))
            self._state = State(self._state.key)
            return self._connect()

    def _connect(self, alone: bool = False) -> sqlite3.Connection:
        # Made first, so that it is never readable by others, not even for a moment.
        os.close(open_plain(self._path, os.O_CREAT | os.O_RDWR))
        database = sqlite3.connect(self._path, timeout=START_PATIENCE, check_same_thread=False)
        try:
            if alone:
                database.execute("PRAGMA locking_mode = EXCLUSIVE").fetchall()
            # Nothing is written before it is known for ours.
            self._holds_something = state_file.check_schema(database)
            if not self._holds_something and state_file.is_cut_short(database, self._path):
                raise Damaged("it is cut short")
            if self._holds_something:
                self._state, self._former = state_file.read(database)
                state_file.set_up(database)
                state_file.check_writable(database)
                state_file.let_it_shrink(database)
            else:
                database.execute("PRAGMA auto_vacuum = INCREMENTAL")
                state_file.set_up(database)
                state_file.create(database, self._state.key)
        except BaseException:
            database.close()
            raise
        return database

    def _count(self, database: sqlite3.Connection) -> None:
        """One more save of this run, within its transaction; with the first the state is this run's, and unclean."""
        if not self._begun:
            # Until it is committed the file is the former run's.
            former = self._former.run if self._former and not self._state.stale else ""
            self._write_lock(f"{former} {self._run} 0")
            database.execute("INSERT OR REPLACE INTO meta VALUES ('clean', 0), ('run', ?)", (self._run,))
            if self._state.stale:
                database.execute("DELETE FROM sockets")
                database.execute("DELETE FROM messages")
        database.execute("INSERT OR REPLACE INTO meta VALUES ('saves', ?)", (self._saves + 1,))

    def _begin_anew(self, why: str) -> NoReturn:
        """The file is lost in the middle of a run. Raises `StoreLost` once there is another, else OSError."""
        self._say_that_it_lacks_something()
        if not self._lost:
            self._database.close()
            self._move_away(why)
            self._lost = True
        self._hold_folder()
        self._open(self._state.key)
        self._lost = False
        said = " ".join(self._set_aside)
        self._set_aside.clear()
        raise StoreLost(said)

    def _hold_folder(self) -> None:
        """Make the folder and its lock again where another program has removed them. Raises OSError."""
        path = private_folder(self._path.parent) / "lock"
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(self._lock), path.stat()):
                return
        try:
            lock = self._lock_folder(path)
        except StoreInUse as error:
            raise OSError(str(error)) from error
        os.close(self._lock)
        self._lock = lock

    def _move_away(self, why: str) -> None:
        if not self._path.exists():
            self._set_aside.append(f"The saved state cannot be used: {why}.")
            return
        aside = set_aside(self._path)
        self._holds_something = False
        # With its log beside it SQLite can still open it.
        for suffix in ("-wal", "-journal"):
            with contextlib.suppress(FileNotFoundError):
                self._named(suffix).rename(f"{aside}{suffix}")
        self._named("-shm").unlink(missing_ok=True)
        self._note_aside(aside, why)

    def _note_aside(self, aside: Path | None, why: str) -> None:
        if aside is not None:
            self._set_aside.append(f"The saved state cannot be used: {why}. It is set aside as {aside}.")

    def _named(self, suffix: str) -> Path:
        return self._path.with_name(self._path.name + suffix)

    def _identity(self) -> tuple[int, int] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def _lock_folder(self, path: Path) -> int:
        while True:
            self._note_aside(set_aside_unless_plain(path), "its lock is no file of ours")
            descriptor = open_plain(path, os.O_CREAT | os.O_RDWR)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.path.samestat(os.fstat(descriptor), path.stat()):
                    return descriptor
            except BlockingIOError:
                os.close(descriptor)
                raise StoreInUse(f"another emulator keeps its state in {path.parent}") from None
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)

    def _is_up_to_date(self) -> bool:
        """Whether the file has all that was saved; one of version 0.1.0 cannot tell."""
        if self._former is None:
            return True
        *runs, saves = self._read_lock() or ["0"]
        if self._former.run not in runs:
            return False
        return len(runs) == 2 or self._former.saves >= int(saves)

    def _say_what_it_has(self) -> None:
        """After a save. Not before: a kill in between would have the file lack what was never in it."""
        self._begun = True
        self._saves += 1
        self._write_lock(f"{self._run} {self._saves}")

    def _say_that_it_lacks_something(self) -> None:
        with contextlib.suppress(OSError):
            os.ftruncate(self._lock, 0)

    def _read_lock(self) -> list[str]:
        """One run or two and a number, or nothing."""
        text = os.pread(self._lock, _LOCK_BYTES, 0).decode("ascii", "replace")
        return text.split() if _LOCK_TEXT.fullmatch(text) else []

    def _write_lock(self, text: str) -> None:
        with contextlib.suppress(OSError):
            # Always as long, so that it overwrites what is there and needs no room.
            os.pwrite(self._lock, text.ljust(_LOCK_BYTES - 1).encode() + b"\n", 0)
