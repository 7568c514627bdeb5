"""State in an SQLite file, so that tokens, sockets and unread messages outlive a restart (behaviour.md 2)."""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import stat
import time
from pathlib import Path

from appengine_channel_emu.broker.state import Changes, SavedSocket, SavedToken, State
from appengine_channel_emu.broker.token import new_key

SCHEMA_VERSION = 1

_SCHEMA = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value BLOB NOT NULL);
CREATE TABLE tokens (token TEXT PRIMARY KEY, client_id TEXT NOT NULL, expires REAL NOT NULL);
CREATE TABLE sockets (id TEXT PRIMARY KEY, token TEXT NOT NULL, old_wire INTEGER NOT NULL,
                      attached INTEGER NOT NULL, acknowledged INTEGER NOT NULL, unsettled INTEGER);
CREATE TABLE messages (socket TEXT NOT NULL, number INTEGER NOT NULL, text TEXT NOT NULL,
                       PRIMARY KEY (socket, number)) WITHOUT ROWID;
CREATE TABLE told (client_id TEXT PRIMARY KEY);
"""

log = logging.getLogger("channel_emu.store")


class StoreInUse(Exception):
    """Another emulator uses this folder."""


class SqliteStore:
    """A `Store` in `folder`, made with mode 0700 when it is not there.

    A file that cannot be read, or that a newer version wrote, is set aside with a warning. Raises `StoreInUse` when
    another process has the folder, OSError when the folder cannot be used.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        _check_owner(folder)
        self._lock = _lock_folder(folder)
        self._path = folder / "state.sqlite3"
        self._database = self._open()

    def load(self) -> State:
        """See `Store`; from here on the state counts as unclean until `close`."""
        try:
            state = self._read()
        except sqlite3.Error as error:
            self._set_aside(str(error))
            state = self._read()
        with self._database as database:
            database.execute("INSERT OR REPLACE INTO meta VALUES ('clean', 0)")
        return state

    def save(self, changes: Changes) -> None:
        """See `Store`."""
        try:
            with self._database as database:
                _write(database, changes)
        except sqlite3.Error as error:
            raise OSError(f"the state cannot be saved: {error}") from error

    def close(self) -> None:
        """See `Store`."""
        with contextlib.suppress(sqlite3.Error), self._database as database:
            database.execute("INSERT OR REPLACE INTO meta VALUES ('clean', 1)")
        self._database.close()
        os.close(self._lock)

    def _open(self) -> sqlite3.Connection:
        try:
            return _connect(self._path)
        except (sqlite3.Error, _NewerSchema) as error:
            self._set_aside(str(error))
            return self._database

    def _set_aside(self, why: str) -> None:
        with contextlib.suppress(AttributeError):
            self._database.close()
        aside = self._path.with_name(f"{self._path.name}.unreadable-{time.time_ns()}")
        log.warning("The saved state cannot be used (%s); it is set aside as %s.", why, aside.name)
        self._path.rename(aside)
        for suffix in ("-wal", "-shm"):
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)
        self._database = _connect(self._path)

    def _read(self) -> State:
        rows = self._database.execute
        meta = dict(rows("SELECT name, value FROM meta"))
        state = State(key=meta["key"], clean=bool(meta["clean"]))
        state.tokens = [SavedToken(*row) for row in rows("SELECT token, client_id, expires FROM tokens")]
        state.told = [row[0] for row in rows("SELECT client_id FROM told")]
        messages: dict[str, list[tuple[int, str]]] = {}
        for socket, number, text in rows("SELECT socket, number, text FROM messages ORDER BY socket, number"):
            messages.setdefault(socket, []).append((number, text))
        for id, token, old_wire, attached, acknowledged, unsettled in rows("SELECT * FROM sockets"):
            texts = [text for number, text in messages.get(id, []) if number > acknowledged]
            state.sockets.append(
                SavedSocket(id, token, bool(old_wire), bool(attached), acknowledged, unsettled, acknowledged, texts)
            )
        return state


class _NewerSchema(Exception):
    pass


def _connect(path: Path) -> sqlite3.Connection:
    # Made first, so that it is never readable by others, not even for a moment.
    os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
    path.chmod(0o600)
    database = sqlite3.connect(path, check_same_thread=False)
    try:
        # A crash of this process loses nothing that was written; only one of the machine can.
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = OFF")
        version = database.execute("PRAGMA user_version").fetchone()[0]
        if version == 0:
            with database:
                database.executescript(_SCHEMA)
                database.execute("INSERT INTO meta VALUES ('key', ?), ('clean', 1)", (new_key(),))
                database.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        elif version != SCHEMA_VERSION:
            raise _NewerSchema(f"its schema is version {version}, this emulator's is {SCHEMA_VERSION}")
    except BaseException:
        database.close()
        raise
    return database


def _check_owner(folder: Path) -> None:
    """Another user could put links in the place of our files; raises PermissionError."""
    state = folder.stat()
    if state.st_uid != os.geteuid() or state.st_mode & stat.S_IWOTH:
        raise PermissionError(f"other users of this machine can change {folder}; choose another --state-dir")


def _lock_folder(folder: Path) -> int:
    import fcntl

    descriptor = os.open(folder / "lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise StoreInUse(f"another emulator keeps its state in {folder}") from None
    return descriptor


def _write(database: sqlite3.Connection, changes: Changes) -> None:
    many = database.executemany
    many("INSERT OR REPLACE INTO tokens VALUES (?, ?, ?)", ((t.token, t.client_id, t.expires) for t in changes.tokens))
    many("DELETE FROM tokens WHERE token = ?", ((token,) for token in changes.tokens_gone))
    many(
        "INSERT OR REPLACE INTO sockets VALUES (?, ?, ?, ?, ?, ?)",
        ((s.id, s.token, s.old_wire, s.attached, s.acknowledged, s.unsettled) for s in changes.sockets),
    )
    many("DELETE FROM messages WHERE socket = ? AND number <= ?", ((s.id, s.acknowledged) for s in changes.sockets))
    many(
        "INSERT OR REPLACE INTO messages VALUES (?, ?, ?)",
        (
            (s.id, number, text)
            for s in changes.sockets
            for number, text in enumerate(s.messages, start=s.messages_after + 1)
        ),
    )
    many("DELETE FROM sockets WHERE id = ?", ((id,) for id in changes.sockets_gone))
    many("DELETE FROM messages WHERE socket = ?", ((id,) for id in changes.sockets_gone))
    many("INSERT OR REPLACE INTO told VALUES (?)", ((client_id,) for client_id, told in changes.told.items() if told))
    many("DELETE FROM told WHERE client_id = ?", ((client_id,) for client_id, told in changes.told.items() if not told))
