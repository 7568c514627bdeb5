"""Nothing in the state folder keeps the emulator from starting, or costs a message unnoticed (behaviour.md 2)."""

from __future__ import annotations

import collections
import os
import sqlite3

import pytest

from appengine_channel_emu.broker.clock import ManualClock
from appengine_channel_emu.broker.errors import EmulatorError, InvalidToken
from appengine_channel_emu.broker.store import SqliteStore
from tests.broker import damage
from tests.broker.kept import Emulator, OtherProgram

SEEDS = 2_000 if os.environ.get("SOAK") else 400


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "state"


@pytest.fixture(scope="module")
def states(tmp_path_factory):
    return damage.make_state(tmp_path_factory.mktemp("whole") / "state", ManualClock())


def use(emulator, clock, sockets):
    """Everything that could stumble over what was loaded; how many of `sockets` are still there, whole."""
    emulator.broker.run_due()
    there = 0
    for socket in sockets:
        try:
            assert len(emulator.texts(socket)) == damage.MESSAGES
            there += 1
        except EmulatorError:
            pass
    why = [emulator.events(kind) for kind in ("state_set_aside", "stale_start", "socket_closed")]
    assert there == len(sockets) or any(why), "sockets are lost without a word"
    token = emulator.broker.create_channel("new").token
    new = emulator.broker.open(token).socket
    for client_id in ("new", *sockets.values()):
        emulator.broker.send_message(client_id, "more")
    assert emulator.texts(new) == ["more"]
    emulator.broker.control.channels()
    clock.advance(3 * 3600)
    assert emulator.save(), emulator.events("store_failed")
    return there


@pytest.mark.soak
def test_damage_of_any_kind(tmp_path, states):
    stopped, killed, sockets = states
    fates = collections.Counter()
    for seed in range(SEEDS):
        folder = tmp_path / str(seed)
        way = damage.damage(killed if seed % 3 == 0 else stopped, folder, seed)
        try:
            emulator = Emulator(folder, clock := ManualClock())
            there = use(emulator, clock, sockets)
            emulator.stop()
        except Exception as error:
            raise AssertionError(f"seed {seed}: {way}") from error
        aside = list(folder.glob("*.unreadable-*"))
        assert not there or not emulator.events("state_set_aside"), f"seed {seed}: {way}"
        said = "".join(emulator.events("state_set_aside"))
        assert len(aside) == said.count("set aside as"), f"seed {seed}: {way}"
        fates["whole" if there == len(sockets) else "told" if not there else "partly told"] += 1
    # Damage that leaves everything in place is as good as none, and so is some of a row.
    assert fates["told"] > SEEDS / 3, fates
    assert fates["whole"] > SEEDS / 10, fates


EDITS = {
    "no key": "DELETE FROM meta WHERE name = 'key'",
    "no mark": "DELETE FROM meta WHERE name = 'clean'",
    "the key a text": "UPDATE meta SET value = 'abc' WHERE name = 'key'",
    "the key another": "UPDATE meta SET value = randomblob(32) WHERE name = 'key'",
    "the mark a text": "UPDATE meta SET value = 'x' WHERE name = 'clean'",
    "an expiry a text": "UPDATE tokens SET expires = 'abc'",
    "an expiry without end": "UPDATE tokens SET expires = 9e999",
    "an expiry prolonged": "UPDATE tokens SET expires = expires + 3600",
    "a token of nobody's": "UPDATE tokens SET token = 'abc' WHERE rowid = 1",
    "a token in bytes": "UPDATE tokens SET token = x'00ff' WHERE rowid = 1",
    "a token nearly ours": "UPDATE tokens SET token = substr(token, 1, 4) || "
    "CASE substr(token, 5, 1) WHEN 'x' THEN 'y' ELSE 'x' END || substr(token, 6) WHERE rowid = 1",
    "a client id in bytes": "UPDATE tokens SET client_id = x'ff'",
    "a client id too long": "UPDATE tokens SET client_id = printf('%.*c', 257, 'x')",
    "a client id not in UTF-8": "UPDATE tokens SET client_id = CAST(x'6162ff' AS TEXT)",
    "a negative number": "UPDATE sockets SET acknowledged = -5",
    "a number a text": "UPDATE sockets SET acknowledged = 'z'",
    "a number out of range": "UPDATE sockets SET acknowledged = 9223372036854775807",
    "the unsettled a text": "UPDATE sockets SET unsettled = 'q'",
    "attached a text": "UPDATE sockets SET attached = 'x'",
    "a socket id too short": "UPDATE sockets SET id = 'x' WHERE rowid = 1",
    "a message in bytes": "UPDATE messages SET text = x'fffe'",
    "a message of nothing": "UPDATE messages SET text = ''",
    "a gap": "DELETE FROM messages WHERE number = 3",
    "the first missing": "DELETE FROM messages WHERE number = 1",
    "messages without a socket": "DELETE FROM sockets WHERE rowid = 1",
    "a socket of another token": "UPDATE sockets SET token = 'abc' WHERE rowid = 1",
    "told bytes": "INSERT INTO told VALUES (x'41')",
    "told nobody": "INSERT INTO told VALUES (NULL)",
    "a table missing": "DROP TABLE sockets",
    "a column more": "ALTER TABLE sockets ADD COLUMN foo",
    "a view for a table": "DROP TABLE told; CREATE VIEW told AS SELECT client_id FROM tokens",
    "a trigger": "CREATE TRIGGER t AFTER INSERT ON tokens BEGIN SELECT raise(abort, 'no'); END",
    "no version": "PRAGMA user_version = 0",
    "a newer version": "PRAGMA user_version = 99",
    "a negative version": "PRAGMA user_version = -1",
    "another program's": "DROP TABLE meta; DROP TABLE tokens; DROP TABLE sockets; DROP TABLE messages; "
    "DROP TABLE told; CREATE TABLE notes (text); PRAGMA user_version = 0",
}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
def test_what_is_not_as_we_write_it_is_set_aside_whole(folder, states, edit):
    stopped, _, sockets = states
    damage.lay_out(stopped, folder)
    database = sqlite3.connect(folder / "state.sqlite3")
    database.executescript(edit)
    database.close()
    damaged = (folder / "state.sqlite3").read_bytes()
    emulator = Emulator(folder, clock := ManualClock())
    (aside,) = folder.glob("state.sqlite3.unreadable-*")
    assert aside.read_bytes() == damaged
    (told,) = emulator.events("state_set_aside")
    assert str(aside) in told
    assert use(emulator, clock, sockets) == 0
    emulator.stop()
    again = Emulator(folder, ManualClock())
    assert again.events("state_set_aside") == []
    again.stop()


def test_a_file_that_nobody_may_write_to_by_its_own_word_is_set_aside(folder, states):
    """By a byte of its head, which SQLite looks at when something is written for the first time."""
    damage.lay_out(states[0], folder)
    with (folder / "state.sqlite3").open("r+b") as file:
        file.seek(18)
        file.write(b"\x0e")
    emulator = Emulator(folder, clock := ManualClock())
    assert len(emulator.events("state_set_aside")) == 1
    assert use(emulator, clock, states[2]) == 0
    emulator.stop()


def test_it_names_no_content_of_the_file(folder, states):
    damage.lay_out(states[0], folder)
    database = sqlite3.connect(folder / "state.sqlite3")
    database.execute("UPDATE messages SET text = CAST(x'736563726574ff' AS TEXT)")
    database.commit()
    database.close()
    emulator = Emulator(folder, ManualClock())
    (told,) = emulator.events("state_set_aside")
    assert "secret" not in told
    emulator.stop()


def test_what_sqlites_own_tools_leave_is_no_damage(folder, states):
    damage.lay_out(states[0], folder)
    database = sqlite3.connect(folder / "state.sqlite3")
    database.execute("PRAGMA journal_mode = DELETE")
    database.execute("ANALYZE")
    database.execute("VACUUM")
    database.commit()
    database.close()
    emulator = Emulator(folder, clock := ManualClock())
    assert use(emulator, clock, states[2]) == len(states[2])
    emulator.stop()


def a_folder(path):
    path.mkdir()
    (path / "within").touch()


def a_socket(path):
    import socket

    with socket.socket(socket.AF_UNIX) as sock:
        # Its full name may be too long for one.
        descriptor = os.open(path.parent, os.O_RDONLY)
        sock.bind(f"/proc/self/fd/{descriptor}/{path.name}" if os.path.exists("/proc/self/fd") else str(path))
        os.close(descriptor)


def a_link(path):
    path.symlink_to(path.with_name("somewhere else"))


def a_link_to_itself(path):
    path.symlink_to(path)


THINGS = {
    "a pipe": os.mkfifo,
    "a folder": a_folder,
    "a socket": a_socket,
    "a link": a_link,
    "a link to itself": a_link_to_itself,
}


@pytest.mark.parametrize(
    "name", ["state.sqlite3", "state.sqlite3-wal", "state.sqlite3-shm", "state.sqlite3-journal", "lock"]
)
@pytest.mark.parametrize("thing", THINGS.values(), ids=THINGS)
def test_a_thing_in_the_place_of_a_file_is_moved_out_of_the_way(folder, states, name, thing):
    stopped, _, sockets = states
    damage.lay_out({each: content for each, content in stopped.items() if each != name}, folder)
    thing(folder / name)
    emulator = Emulator(folder, clock := ManualClock())
    assert list(folder.glob(f"{name}.unreadable-*"))
    assert len(emulator.events("state_set_aside")) == 1
    # Without the lock nobody knows whether the state is up to date.
    assert use(emulator, clock, sockets) == (0 if name in ("state.sqlite3", "lock") else len(sockets))
    emulator.stop()
    assert not (folder / "somewhere else").exists()


def test_what_sqlite_left_beside_a_damaged_file_stays_beside_it(folder):
    """And is never taken for that of the new one."""
    damage.lay_out({"state.sqlite3": b"no database" * 5000, "state.sqlite3-journal": bytes(512)}, folder)
    Emulator(folder, ManualClock()).stop()
    assert len(list(folder.glob("state.sqlite3.unreadable-*-journal"))) == 1
    assert not (folder / "state.sqlite3-journal").exists()


@pytest.mark.parametrize("rest", [None, b"", b"S", b"SQLite format 3\0"])
def test_a_state_of_which_nothing_is_left_is_no_first_start(folder, states, rest):
    stopped, _, sockets = states
    damage.lay_out(stopped, folder)
    (folder / "state.sqlite3").unlink()
    if rest is not None:
        (folder / "state.sqlite3").write_bytes(rest)
    emulator = Emulator(folder, clock := ManualClock())
    assert len(emulator.events("state_set_aside")) == 1
    assert use(emulator, clock, sockets) == 0
    emulator.stop()


def test_a_first_start_is_no_loss(folder):
    for _ in range(2):
        emulator = Emulator(folder, ManualClock())
        assert emulator.broker.events.after(0) == []
        emulator.stop()


@pytest.mark.parametrize("mode", [0o400, 0o000, 0o644])
def test_a_file_of_ours_with_another_mode(folder, states, mode):
    damage.lay_out(states[0], folder)
    for name in states[0]:
        (folder / name).chmod(mode)
    emulator = Emulator(folder, clock := ManualClock())
    assert use(emulator, clock, states[2]) == len(states[2])
    emulator.stop()


def test_a_healthy_file_that_is_in_use_is_left_alone(folder, states, monkeypatch):
    monkeypatch.setattr("appengine_channel_emu.broker.store.START_PATIENCE", 0.0)
    monkeypatch.setattr("appengine_channel_emu.broker.state_file.SAVE_PATIENCE", 0.0)
    damage.lay_out(states[0], folder)
    other = sqlite3.connect(folder / "state.sqlite3", isolation_level=None)
    other.execute("PRAGMA locking_mode = EXCLUSIVE")
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(OSError, match="database is locked"):
        SqliteStore(folder)
    other.close()
    assert list(folder.glob("*.unreadable-*")) == []
    emulator = Emulator(folder, clock := ManualClock())
    assert use(emulator, clock, states[2]) == len(states[2])
    emulator.stop()


def test_a_healthy_file_that_cannot_be_written_to_yet_is_used(folder, states, monkeypatch):
    monkeypatch.setattr("appengine_channel_emu.broker.state_file.SAVE_PATIENCE", 0.0)
    damage.lay_out(states[0], folder)
    other = OtherProgram(folder)
    emulator = Emulator(folder, clock := ManualClock())
    emulator.broker.create_channel("bob")
    assert not emulator.save()
    other.leave()
    assert use(emulator, clock, states[2]) == len(states[2])
    emulator.kill()
    again = Emulator(folder, ManualClock())
    assert again.events("stale_start") == []
    again.stop()


# As version 0.1.0 wrote them.
OLD_SCHEMA = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value BLOB NOT NULL);
CREATE TABLE tokens (token TEXT PRIMARY KEY, client_id TEXT NOT NULL, expires REAL NOT NULL);
CREATE TABLE sockets (id TEXT PRIMARY KEY, token TEXT NOT NULL, old_wire INTEGER NOT NULL,
                      attached INTEGER NOT NULL, acknowledged INTEGER NOT NULL, unsettled INTEGER);
CREATE TABLE messages (socket TEXT NOT NULL, number INTEGER NOT NULL, text TEXT NOT NULL,
                       PRIMARY KEY (socket, number)) WITHOUT ROWID;
CREATE TABLE told (client_id TEXT PRIMARY KEY);
PRAGMA user_version = 1;
PRAGMA journal_mode = WAL;
"""


def test_the_state_of_version_0_1_0_is_taken_up(folder, states):
    stopped, _, sockets = states
    damage.lay_out(stopped, folder)
    newer = sqlite3.connect(folder / "state.sqlite3")
    rows = {table: newer.execute(f"SELECT * FROM {table}").fetchall() for table in damage._COLUMNS}
    newer.close()
    for path in folder.iterdir():
        path.unlink()
    older = sqlite3.connect(folder / "state.sqlite3")
    older.executescript(OLD_SCHEMA)
    for table, columns in damage._COLUMNS.items():
        kept = [row for row in rows[table] if row[0] != "run"]
        older.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' * len(columns))})", kept)
    older.commit()
    older.close()
    (folder / "lock").touch()
    emulator = Emulator(folder, clock := ManualClock())
    assert use(emulator, clock, sockets) == len(sockets)
    assert emulator.events("stale_start") == emulator.events("unclean_start") == []
    emulator.stop()


def test_tokens_of_a_file_that_was_set_aside_are_invalid(folder):
    first = Emulator(folder, ManualClock())
    token = first.broker.create_channel("bob").token
    first.stop()
    (folder / "state.sqlite3").write_bytes(b"no database at all" * 100)
    second = Emulator(folder, ManualClock())
    with pytest.raises(InvalidToken):
        second.broker.open(token)
    second.stop()
