"""What outlives a restart (behaviour.md 2)."""

from __future__ import annotations

import os
import sqlite3
import stat

import pytest

from appengine_channel_emu.broker.clock import ManualClock
from appengine_channel_emu.broker.errors import InvalidToken, TokenTimedOut
from appengine_channel_emu.broker.store import SqliteStore, StoreInUse
from tests.broker.kept import Emulator


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "state"


def texts(broker, socket, after=0):
    return [message.text for message in broker.take(broker.poll(socket, after)).messages]


def test_tokens_sockets_and_messages_outlive_a_restart(folder):
    clock = ManualClock()
    first = Emulator(folder, clock)
    token = first.broker.create_channel("bob").token
    socket = first.broker.open(token).socket
    for text in ("one", "two", "three"):
        first.broker.send_message("bob", text)
    first.broker.take(first.broker.poll(socket, 1))
    first.stop()

    second = Emulator(folder, ManualClock(clock.now()))
    assert second.broker.send_message("bob", "four").delivered_to == 1
    assert texts(second.broker, socket, 1) == ["two", "three", "four"]
    assert second.broker.open(token).client_id == "bob"
    assert not [event for event in second.broker.events.after(0) if event.kind == "unclean_start"]
    second.stop()


def test_a_queue_of_the_sdk_wire_outlives_a_restart(folder):
    clock = ManualClock()
    first = Emulator(folder, clock)
    token = first.broker.create_channel("bob").token
    first.broker.connect(token)
    first.broker.send_message("bob", "one")
    first.stop()
    second = Emulator(folder, ManualClock(clock.now()))
    assert second.broker.poll_one(token).text == "one"
    assert second.broker.poll_one(token) is None
    second.stop()


@pytest.mark.parametrize("travelled", [0, 600])
def test_a_token_that_was_timed_out_by_hand_stays_so_over_restarts(folder, travelled):
    clock = ManualClock()
    start = clock.now()
    first = Emulator(folder, clock)
    token = first.broker.create_channel("bob").token
    first.broker.open(token)
    first.broker.control.travel(travelled)
    first.broker.control.expire(first.broker.control.sockets_of("bob")[0])
    first.stop()
    for _ in range(2):
        # A start's clock is the machine's, wherever the former had been moved to.
        again = Emulator(folder, ManualClock(start))
        for _ in range(2):
            with pytest.raises(TokenTimedOut):
                again.broker.open(token)
            again.broker.run_due()
        assert again.broker.send_message("bob", "x").delivered_to == 0
        again.stop()
    last = Emulator(folder, clock := ManualClock(start))
    clock.advance(7200)
    last.stop()
    assert SqliteStore(folder).load().tokens == []


def test_a_reset_forgets_such_tokens_too(folder):
    first = Emulator(folder, ManualClock())
    token = first.broker.create_channel("bob").token
    first.broker.control.expire(first.broker.open(token).socket)
    first.broker.control.reset()
    first.stop()
    again = Emulator(folder, ManualClock())
    with pytest.raises(InvalidToken):
        again.broker.open(token)
    again.stop()


def test_after_a_kill_an_event_says_so(folder):
    first = Emulator(folder, ManualClock())
    first.save()
    first.kill()
    second = Emulator(folder, ManualClock())
    (event,) = [event for event in second.broker.events.after(0) if event.kind == "unclean_start"]
    assert "may be lost" in event.text
    second.stop()


def test_what_it_keeps_is_private(folder):
    Emulator(folder, ManualClock()).stop()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in folder.iterdir())


def test_its_files_are_private_in_a_folder_that_was_there(folder):
    folder.mkdir(mode=0o755)
    (folder / "state.sqlite3").touch(0o644)
    Emulator(folder, ManualClock()).stop()
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in folder.iterdir())


def test_two_emulators_do_not_share_a_folder(folder):
    first = Emulator(folder, ManualClock())
    with pytest.raises(StoreInUse):
        SqliteStore(folder)
    first.stop()
    Emulator(folder, ManualClock()).stop()


def test_a_folder_is_free_at_once_though_a_copy_of_its_lock_lives(folder):
    """As one does in a process that is just being started."""
    emulator = Emulator(folder, ManualClock())
    copy = os.dup(emulator.store._lock)
    try:
        emulator.stop()
        Emulator(folder, ManualClock()).stop()
    finally:
        os.close(copy)


def test_a_message_that_was_acknowledged_in_time_is_never_written(folder):
    emulator = Emulator(folder, ManualClock())
    socket = emulator.broker.open(emulator.broker.create_channel("bob").token).socket
    emulator.broker.send_message("bob", "a fleeting thing")
    emulator.broker.take(emulator.broker.poll(socket, 1))
    emulator.stop()
    assert not any(b"a fleeting thing" in path.read_bytes() for path in folder.iterdir())


def older(database):
    """As version 0.1.0 made it, whose file never shrank."""
    database.executescript("PRAGMA journal_mode = DELETE; PRAGMA auto_vacuum = NONE; VACUUM; PRAGMA journal_mode = WAL")
    assert database.execute("PRAGMA auto_vacuum").fetchone() == (0,)


@pytest.mark.parametrize("change", [lambda database: None, older])
def test_the_file_shrinks_when_what_it_held_has_gone(folder, change):
    first = Emulator(folder, clock := ManualClock())
    sockets = [first.broker.open(first.broker.create_channel("bob").token).socket for _ in range(10)]
    for number in range(50):
        first.broker.send_message("bob", f"{number} " + 30_000 * "x")
    first.stop()
    database = sqlite3.connect(folder / "state.sqlite3")
    change(database)
    database.close()
    assert (folder / "state.sqlite3").stat().st_size > 15_000_000

    second = Emulator(folder, ManualClock(clock.now()))
    for socket in sockets:
        assert second.texts(socket)
        second.broker.poll(socket, 50)
    # Some of it at a time, also while nothing changes.
    for _ in range(20):
        assert second.save()
    assert sum(path.stat().st_size for path in folder.iterdir()) < 2_000_000
    assert not second.store._untidy
    second.kill()
