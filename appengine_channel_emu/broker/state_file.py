"""The SQLite file that state is kept in: its tables, how rows are written, and a reader that trusts none of them.

Whatever is in the file was written by an emulator that is gone, on a disk that may be faulty, and may have been
changed since. What does not look exactly like what we write is damaged, and then the whole file is: a socket whose
messages have a gap, for one, would lose some and nobody would know.
"""

from __future__ import annotations

import contextlib
import re
import sqlite3
from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

from appengine_channel_emu.broker.errors import MAXIMUM_MESSAGE_LENGTH, EmulatorError, check_client_id
from appengine_channel_emu.broker.saving import Changes, SavedSocket, SavedToken, State
from appengine_channel_emu.broker.tokens import KEY_BYTES, TokenMint, written_expiry

SCHEMA_VERSION = 1
"""Any change of the tables needs another. `old_wire`: whether a socket is on the SDK's own wire; `told`: the client ids
that the app takes for connected."""

SCHEMA = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value BLOB NOT NULL);
CREATE TABLE tokens (token TEXT PRIMARY KEY, client_id TEXT NOT NULL, expires REAL NOT NULL);
CREATE TABLE sockets (id TEXT PRIMARY KEY, token TEXT NOT NULL, old_wire INTEGER NOT NULL,
                      attached INTEGER NOT NULL, acknowledged INTEGER NOT NULL, unsettled INTEGER);
CREATE TABLE messages (socket TEXT NOT NULL, number INTEGER NOT NULL, text TEXT NOT NULL,
                       PRIMARY KEY (socket, number)) WITHOUT ROWID;
CREATE TABLE told (client_id TEXT PRIMARY KEY);
"""

HIGHEST_NUMBER = 10**15
"""Of a message: no page can say a higher one (15 digits)."""

LONGEST_TEXT = 3 * MAXIMUM_MESSAGE_LENGTH
"""Bytes: each that is not UTF-8 became U+FFFD, which has three."""

SAVE_PATIENCE = 0.25
"""Seconds that a save waits for another program that has the file locked; it is tried again."""

SPARE_PAGES = 256
"""Pages of 4 KiB that the file may keep for what comes next."""

SQLITE_FAULTS = (sqlite3.Error, UnicodeDecodeError)
"""The latter comes of SQLite's own text about a name that is damaged."""

_FOR_NOW = (
    "database is locked",
    "database table is locked",
    "database or disk is full",
    "disk I/O error",
    "unable to open database file",
    "attempt to write a readonly database",
    "locking protocol",
    "out of memory",
    "access permission denied",
    "interrupted",
)
"""How SQLite's texts begin for what is no fault of the file. (Its codes are known from Python 3.11 on.)"""

_DAMAGE = ("database disk image is malformed", "file is not a database")

_INCREMENTAL = 2
_SOCKET_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{21}\Z")


class SavedBy(NamedTuple):
    """Which run wrote the state, and in how many saves. Version 0.1.0 does not say."""

    run: str
    saves: int


class Damaged(Exception):
    """The file is not as an emulator of this version leaves it; the text says in what, without any content of it."""


def create(database: sqlite3.Connection, key: bytes) -> None:
    """Make the tables in an empty file, all or nothing."""
    with database:
        database.execute("BEGIN IMMEDIATE")
        for statement in SCHEMA.split(";"):
            database.execute(statement)
        database.execute("INSERT INTO meta VALUES ('key', ?), ('clean', 1)", (key,))
        database.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def check_schema(database: sqlite3.Connection) -> bool:
    """Whether there is anything in the file; raises `Damaged` when it is not what we put there."""
    version = database.execute("PRAGMA user_version").fetchone()[0]
    found = _schema(database)
    if version == 0 and not found:
        return False
    if version > SCHEMA_VERSION:
        raise Damaged(f"a newer emulator wrote it: its schema is version {version}, this one's is {SCHEMA_VERSION}")
    ours = sqlite3.connect(":memory:")
    ours.executescript(SCHEMA)
    expected = _schema(ours)
    ours.close()
    if version != SCHEMA_VERSION or found != expected:
        raise Damaged("it has other tables than an emulator's")
    for (problem,) in database.execute("PRAGMA integrity_check(1)"):
        if problem != "ok":
            raise Damaged("SQLite finds it inconsistent")
    return True


def _schema(database: sqlite3.Connection) -> set[tuple[str, ...]]:
    # Names that begin so are SQLite's own: ANALYZE leaves a table, each primary key an index.
    rows = database.execute(
        "SELECT type, name, tbl_name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite^_%' ESCAPE '^'"
    )
    return {tuple(" ".join(str(value).split()) for value in row) for row in rows}


def read(database: sqlite3.Connection) -> tuple[State, SavedBy | None]:
    """All of it, and who wrote it, where that is said; raises `Damaged` or sqlite3.Error."""
    meta = dict(database.execute("SELECT name, value FROM meta"))
    key, clean, run = meta.get("key"), meta.get("clean"), meta.get("run")
    _expect(type(key) is bytes and len(key) == KEY_BYTES, "its key is damaged")
    _expect(type(clean) is int and clean in (0, 1), "it does not say whether it is whole")
    saves = meta.get("saves", 0)
    _expect((run is None or type(run) is str) and _is_number(saves), "it does not say which run wrote it")
    state = State(key=key, clean=bool(clean))  # type: ignore[arg-type]  # `_expect` has seen to it
    state.tokens = _tokens(database, TokenMint(state.key))
    state.connected = [_client_id(row[0]) for row in database.execute("SELECT client_id FROM told")]
    state.sockets = _sockets(database)
    if clean:
        # In one that is not, a socket may have been saved before its token, or be left after it.
        tokens = {token.token for token in state.tokens}
        _expect(all(socket.token in tokens for socket in state.sockets), "the token of a socket is missing")
    return state, SavedBy(run, saves) if run else None


def _tokens(database: sqlite3.Connection, mint: TokenMint) -> list[SavedToken]:
    tokens = []
    for token, client_id, expires in database.execute("SELECT token, client_id, expires FROM tokens"):
        _expect(type(token) is str and mint.made(token), "a token is damaged")
        # It is what the token says, or 0 for one that was timed out by hand.
        _expect(type(expires) is float and expires in (0.0, written_expiry(token)), "a token's expiry is damaged")
        tokens.append(SavedToken(token, _client_id(client_id), expires))
    return tokens


def _sockets(database: sqlite3.Connection) -> list[SavedSocket]:
    messages: defaultdict[Any, list[tuple[int, str]]] = defaultdict(list)
    for socket, number, text in database.execute("SELECT socket, number, text FROM messages ORDER BY socket, number"):
        _expect(_is_number(number), "a message's number is damaged")
        _expect(type(text) is str and 0 < len(text.encode()) <= LONGEST_TEXT, "a message is damaged")
        messages[socket].append((number, text))
    sockets = []
    for id, token, sdk_wire, attached, acknowledged, unsettled in database.execute("SELECT * FROM sockets"):
        _expect(type(id) is str and _SOCKET_ID.match(id) is not None, "a socket's id is damaged")
        _expect(type(token) is str and len(token) <= 256, "a socket's token is damaged")
        _expect(sdk_wire in (0, 1) and attached in (0, 1), "a socket is damaged")
        _expect(_is_number(acknowledged) and (unsettled is None or _is_number(unsettled)), "a socket is damaged")
        numbered = messages.pop(id, [])
        follow = range(acknowledged + 1, acknowledged + 1 + len(numbered))
        _expect([number for number, _ in numbered] == list(follow), "messages of a socket are missing")
        texts = [text for _, text in numbered]
        sockets.append(
            SavedSocket(id, token, bool(sdk_wire), bool(attached), acknowledged, unsettled, acknowledged, texts)
        )
    _expect(not messages, "messages are left of a socket that is missing")
    return sockets


def _expect(holds: bool, otherwise: str) -> None:
    if not holds:
        raise Damaged(otherwise)


def _is_number(value: object) -> bool:
    return type(value) is int and 0 <= value <= HIGHEST_NUMBER


def _client_id(value: object) -> str:
    with contextlib.suppress(EmulatorError):
        if isinstance(value, str):
            return check_client_id(value)
    raise Damaged("a client id is damaged")


def write(database: sqlite3.Connection, changes: Changes) -> None:
    """Change the rows, within a transaction of the caller's."""
    many = database.executemany
    many("DELETE FROM tokens WHERE token = ?", ((token,) for token in changes.tokens_gone))
    many("INSERT OR REPLACE INTO tokens VALUES (?, ?, ?)", ((t.token, t.client_id, t.expires) for t in changes.tokens))
    many(
        "INSERT OR REPLACE INTO sockets VALUES (?, ?, ?, ?, ?, ?)",
        ((s.id, s.token, s.sdk_wire, s.attached, s.acknowledged, s.unsettled) for s in changes.sockets),
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
    many("DELETE FROM told WHERE client_id = ?", ((client_id,) for client_id in changes.connected_gone))
    many("INSERT OR REPLACE INTO told VALUES (?)", ((client_id,) for client_id in changes.connected))


def set_up(database: sqlite3.Connection) -> None:
    # A crash of this process loses nothing that was written; only one of the machine can.
    database.execute("PRAGMA journal_mode = WAL").fetchall()
    database.execute("PRAGMA synchronous = OFF")
    database.execute(f"PRAGMA journal_size_limit = {SPARE_PAGES * 4096}").fetchall()
    database.execute(f"PRAGMA busy_timeout = {round(SAVE_PATIENCE * 1000)}").fetchall()


def is_cut_short(database: sqlite3.Connection, path: Path) -> bool:
    """Whether SQLite takes for empty what is no whole page."""
    return bool(database.execute("PRAGMA page_count").fetchone()[0] == 0 and path.stat().st_size > 0)


def check_writable(database: sqlite3.Connection) -> None:
    """Raises `Damaged` if the file itself says that nobody may write to it; its mode and folder allow it."""
    try:
        database.execute("BEGIN IMMEDIATE")
        database.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    except sqlite3.OperationalError as error:
        if "readonly" in str(error):
            raise Damaged("it cannot be written to") from error
    finally:
        database.rollback()


def let_it_shrink(database: sqlite3.Connection) -> None:
    """A file of version 0.1.0 is rewritten once, so that it can."""
    if database.execute("PRAGMA auto_vacuum").fetchone()[0] != _INCREMENTAL:
        with contextlib.suppress(sqlite3.Error):
            database.execute("PRAGMA auto_vacuum = INCREMENTAL")
            database.execute("VACUUM")


def is_for_now(error: Exception) -> bool:
    return isinstance(error, sqlite3.Error) and str(error).startswith(_FOR_NOW)


def why(error: Exception) -> str:
    """Without any content of the file, which SQLite's own texts may quote."""
    text = str(error)
    if isinstance(error, Damaged):
        return text
    return text if text in _DAMAGE else "SQLite cannot read it"
