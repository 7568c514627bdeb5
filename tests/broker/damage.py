"""State files that were damaged, each in the way that its seed says."""

from __future__ import annotations

import contextlib
import random
import sqlite3
from collections.abc import Callable
from pathlib import Path

from appengine_channel_emu.broker.clock import ManualClock
from tests.broker.kept import Emulator

PAGE = 4096
CLIENTS = 12
MESSAGES = 4

_NAMES = ["lock", *(f"state.sqlite3{suffix}" for suffix in ("", "-wal", "-journal"))]

Files = dict[str, bytes]
"""The files of a state folder by their names."""


def make_state(folder: Path, clock: ManualClock) -> tuple[Files, Files, dict[str, str]]:
    """The files after a stop and after a kill, and the client id of each socket in them."""
    emulator = Emulator(folder, clock)
    sockets = {}
    for number in range(CLIENTS):
        client_id = f"client {number}"
        token = emulator.broker.create_channel(client_id).token
        sockets[emulator.broker.open(token).socket] = client_id
        for count in range(MESSAGES):
            emulator.broker.send_message(client_id, f"message {count} " + "long " * (300 * (number % 3)))
        emulator.save()
    emulator.broker.control.expire(emulator.broker.open(emulator.broker.create_channel("gone").token).socket)
    emulator.save()
    killed = _files(folder)
    emulator.stop()
    return _files(folder), killed, sockets


def _files(folder: Path) -> Files:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "state.sqlite3-shm"}


def lay_out(files: Files, folder: Path) -> None:
    """Write them into a new folder."""
    folder.mkdir(mode=0o700)
    for name, content in files.items():
        (folder / name).write_bytes(content)


def damage(files: Files, folder: Path, seed: int) -> str:
    """Lay `files` out in `folder` with something wrong with them, and return what that is called."""
    chance = random.Random(seed)
    way = chance.choice(_BYTES if chance.random() < 0.6 else _ROWS)
    if way in _ROWS:
        lay_out(files, folder)
        with contextlib.suppress(sqlite3.Error):
            _edit(folder / "state.sqlite3", lambda database: way(database, chance))
    else:
        name = chance.choice(_NAMES) if chance.random() < 0.3 else "state.sqlite3"
        lay_out(files | {name: bytes(way(bytearray(files.get(name, b"")), chance))}, folder)
    return way.__name__


def _edit(path: Path, change: Callable[[sqlite3.Connection], None]) -> None:
    database = sqlite3.connect(path)
    try:
        change(database)
        database.commit()
    finally:
        database.close()


def _flip_bits(content: bytearray, chance: random.Random) -> bytearray:
    for _ in range(chance.choice([1, 1, 2, 5, 40]) if content else 0):
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    return content


def _flip_header(content: bytearray, chance: random.Random) -> bytearray:
    if content:
        content[chance.randrange(min(len(content), 100))] = chance.randrange(256)
    return content


def _cut_short(content: bytearray, chance: random.Random) -> bytearray:
    return content[: chance.randrange(len(content) + 1)]


def _blank_a_page(content: bytearray, chance: random.Random) -> bytearray:
    start = chance.randrange(len(content) // PAGE + 1) * PAGE
    content[start : start + PAGE] = chance.choice([b"\0", b"\xff"]) * len(content[start : start + PAGE])
    return content


def _repeat_a_page(content: bytearray, chance: random.Random) -> bytearray:
    pages = len(content) // PAGE
    if pages:
        source, target = chance.randrange(pages) * PAGE, chance.randrange(pages) * PAGE
        content[target : target + PAGE] = content[source : source + PAGE]
    return content


def _append(content: bytearray, chance: random.Random) -> bytearray:
    return content + chance.randbytes(chance.choice([1, 100, PAGE]))


def _replace_all(content: bytearray, chance: random.Random) -> bytearray:
    return bytearray(chance.choice([b"", b"\0" * PAGE, b"{}", chance.randbytes(3 * PAGE)]))


_COLUMNS = {
    "meta": ["name", "value"],
    "tokens": ["token", "client_id", "expires"],
    "sockets": ["id", "token", "old_wire", "attached", "acknowledged", "unsettled"],
    "messages": ["socket", "number", "text"],
    "told": ["client_id"],
}
_VALUES = [
    "NULL", "0", "1", "-1", "5", "1e300", "-1e300", "9e999", "9223372036854775807", "-9223372036854775808", "0.5",
    "''", "'abc'", "'x''y'", "x''", "x'00ff'", "x'fffe'", "CAST(x'ff' AS TEXT)", "CAST(x'eda080' AS TEXT)",
    "zeroblob(100000)", "printf('%.*c', 300, 'x')", "char(0)", "'\U0001f600'",
]  # fmt: skip


def _a_cell(database: sqlite3.Connection, chance: random.Random) -> None:
    table = chance.choice(sorted(_COLUMNS))
    column = chance.choice(_COLUMNS[table])
    key = _COLUMNS[table][0]
    keys = [row[0] for row in database.execute(f"SELECT {key} FROM {table}")] or [None]
    database.execute(f"UPDATE {table} SET {column} = {chance.choice(_VALUES)} WHERE {key} = ?", (chance.choice(keys),))


def _a_column(database: sqlite3.Connection, chance: random.Random) -> None:
    table = chance.choice(sorted(_COLUMNS))
    database.execute(f"UPDATE {table} SET {chance.choice(_COLUMNS[table])} = {chance.choice(_VALUES)}")


def _a_row_less(database: sqlite3.Connection, chance: random.Random) -> None:
    table = chance.choice(["meta", "sockets", "messages"])
    key = _COLUMNS[table][0]
    rows = database.execute(f"SELECT {', '.join(_COLUMNS[table][:2])} FROM {table}").fetchall()
    # Of the last message of a socket nobody could say that it was ever there.
    rows = [row for row in rows if row[1] != MESSAGES]
    first, second = chance.choice(rows)
    database.execute(f"DELETE FROM {table} WHERE {key} = ? AND {_COLUMNS[table][1]} = ?", (first, second))


def _a_row_more(database: sqlite3.Connection, chance: random.Random) -> None:
    table = chance.choice(sorted(_COLUMNS))
    values = ", ".join(chance.choice(_VALUES) for _ in _COLUMNS[table])
    database.execute(f"INSERT INTO {table} VALUES ({values})")


def _the_schema(database: sqlite3.Connection, chance: random.Random) -> None:
    table = chance.choice(sorted(_COLUMNS))
    database.execute(
        chance.choice(
            [
                f"DROP TABLE {table}",
                f"ALTER TABLE {table} ADD COLUMN more",
                f"ALTER TABLE {table} RENAME TO other",
                f"CREATE TRIGGER t AFTER INSERT ON {table} BEGIN SELECT raise(abort, 'no'); END",
                "CREATE TABLE other (id)",
                f"CREATE VIEW other AS SELECT * FROM {table}",
                f"PRAGMA user_version = {chance.choice([0, 2, 99, -1])}",
            ]
        )
    )


_BYTES = [_flip_bits, _flip_bits, _flip_header, _cut_short, _blank_a_page, _repeat_a_page, _append, _replace_all]
_ROWS = [_a_cell, _a_cell, _a_column, _a_row_less, _a_row_more, _the_schema]
