"""A save that fails: nothing is lost without a word, for however long it does (behaviour.md 2)."""

from __future__ import annotations

import contextlib
import resource
import shutil
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from appengine_channel_emu.broker.broker import EmbeddedBroker
from appengine_channel_emu.broker.clock import ManualClock
from appengine_channel_emu.broker.errors import InvalidToken, SocketGone
from appengine_channel_emu.broker.saving import Ledger
from appengine_channel_emu.broker.store import SqliteStore, StoreInUse
from appengine_channel_emu.server import saver
from tests.broker.kept import Emulator, OtherProgram


@pytest.fixture(autouse=True)
def no_patience(monkeypatch):
    monkeypatch.setattr("appengine_channel_emu.broker.state_file.SAVE_PATIENCE", 0.0)
    monkeypatch.setattr(saver, "COMPLAIN_AFTER", 0.0)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "state"


class Locked:
    """The file is locked by another program."""

    def __init__(self, emulator, folder):
        self._other = OtherProgram(folder)

    def end(self):
        self._other.leave()


class Full:
    """There is no room for another page."""

    def __init__(self, emulator, folder):
        self._database = emulator.store._database
        self._database.executescript("PRAGMA incremental_vacuum")
        self._database.execute("PRAGMA max_page_count = 1").fetchall()

    def end(self):
        self._database.execute("PRAGMA max_page_count = 1000000").fetchall()


LONG = "y" * 20_000
TROUBLES = pytest.mark.parametrize("trouble", [Locked, Full])


def restarted(emulator, folder, clock, how="stop"):
    getattr(emulator, how)()
    return Emulator(folder, ManualClock(clock.now()))


@TROUBLES
@pytest.mark.parametrize("how", ["stop", "kill"])
def test_once_it_works_again_everything_is_there(folder, trouble, how):
    first = Emulator(folder, clock := ManualClock())
    token = first.broker.create_channel("bob").token
    socket = first.broker.open(token).socket
    idle = first.broker.open(token).socket
    assert first.save()
    held = trouble(first, folder)
    for number in range(1, 21):
        first.broker.send_message("bob", f"{number} {LONG}")
        assert len(first.texts(socket, number - 1)) == 1
        assert not first.save()
    newer = first.broker.open(first.broker.create_channel("eve").token).socket
    first.broker.send_message("eve", "hello")
    held.end()
    assert first.save()

    second = restarted(first, folder, clock, how)
    for number in range(25):
        second.broker.send_message("bob", f"new {number}")
    assert second.texts(socket, 20) == [f"new {number}" for number in range(25)]
    assert second.texts(idle) == [f"{n} {LONG}" for n in range(1, 21)] + [f"new {number}" for number in range(25)]
    assert second.texts(newer) == ["hello"]
    assert second.events("stale_start") == []
    second.stop()


@TROUBLES
@pytest.mark.parametrize("how", ["stop", "kill"])
def test_if_it_never_does_the_pages_are_told_after_the_restart(folder, trouble, how):
    first = Emulator(folder, clock := ManualClock())
    token = first.broker.create_channel("bob").token
    socket = first.broker.open(token).socket
    first.broker.send_message("bob", "saved")
    first.save()
    held = trouble(first, folder)
    first.broker.send_message("bob", LONG)
    first.texts(socket, 1)
    unsaved = first.broker.create_channel("eve").token
    assert not first.save()
    getattr(first, how)()
    if trouble is Locked:
        held.end()

    # However often it is restarted before a save.
    Emulator(folder, ManualClock(clock.now())).kill()
    second = Emulator(folder, ManualClock(clock.now()))
    with pytest.raises(SocketGone):
        second.broker.poll(socket, 1)
    assert second.broker.send_message("bob", "new").delivered_to == 0
    assert second.broker.open(token).client_id == "bob"
    with pytest.raises(InvalidToken):
        second.broker.open(unsaved)
    second.stop()


def test_an_event_says_what_a_stale_state_costs(folder):
    first = Emulator(folder, clock := ManualClock())
    socket = first.broker.open(first.broker.create_channel("bob").token).socket
    first.save()
    other = OtherProgram(folder)
    first.broker.send_message("bob", "lost")
    first.stop()
    other.leave()
    second = Emulator(folder, ManualClock(clock.now()))
    (told,) = second.events("stale_start")
    assert "pages: 1." in told
    assert second.events("unclean_start") == []
    (closed,) = [event for event in second.broker.events.after(0) if event.kind == "socket_closed"]
    assert (closed.client_id, closed.socket) == ("bob", socket)
    second.stop()


def test_the_app_is_told_of_clients_that_a_stale_state_still_has(folder):
    """It took them for connected, and nobody else would tell it that they are not."""
    first = Emulator(folder, clock := ManualClock())
    first.broker.open(first.broker.create_channel("bob").token)
    channel = first.broker._sockets.channels["bob"]
    channel.presence_sent = True
    first.broker._dirty.presence(channel)
    first.save()
    other = OtherProgram(folder)
    first.broker.send_message("bob", "lost")
    first.stop()
    other.leave()

    told = []
    store = SqliteStore(folder)
    EmbeddedBroker(clock, post_presence=lambda *each: told.append(each), state=store.load(), keep_changes=True)
    clock.advance(1)
    assert told == []
    clock.advance(2)
    assert told == [("bob", False)]
    store.close(False)


def test_it_is_said_once_when_it_fails_and_once_when_it_works(folder):
    emulator = Emulator(folder, ManualClock())
    for _ in range(2):
        other = OtherProgram(folder)
        for _ in range(3):
            emulator.broker.create_channel("bob")
            assert not emulator.save()
        other.leave()
        for _ in range(3):
            emulator.broker.create_channel("bob")
            assert emulator.save()
    failed, works = emulator.events("store_failed"), emulator.events("store_works")
    assert (len(failed), len(works)) == (2, 2)
    assert "state.sqlite3 cannot be written: database is locked" in failed[0]
    emulator.stop()


def test_a_moment_of_it_is_not_worth_a_word(folder, monkeypatch):
    monkeypatch.setattr(saver, "COMPLAIN_AFTER", 60.0)
    emulator = Emulator(folder, ManualClock())
    other = OtherProgram(folder)
    emulator.broker.create_channel("bob")
    assert not emulator.save()
    other.leave()
    assert emulator.save()
    assert emulator.events("store_failed") == emulator.events("store_works") == []
    emulator.stop()


def test_what_comes_and_goes_meanwhile_takes_no_memory(folder):
    emulator = Emulator(folder, clock := ManualClock())
    lasting = emulator.broker.create_channel("lasting", 1440).token
    emulator.save()
    other = OtherProgram(folder)
    for number in range(50):
        token = emulator.broker.create_channel(f"client {number}", 1).token
        emulator.broker.open(token)
        emulator.broker.send_message(f"client {number}", LONG)
        assert not emulator.save()
        clock.advance(60)
    ledgers = emulator.broker._dirty
    kept = [len(each) for ledger in (ledgers._tokens, ledgers._sockets) for each in vars(ledger).values()]
    assert sum(kept) == 1, kept
    other.leave()
    assert emulator.save()
    again = restarted(emulator, folder, clock)
    assert again.broker.open(lasting).client_id == "lasting"
    again.stop()


def test_a_stop_does_not_call_the_state_clean_when_the_last_save_has_failed(folder):
    emulator = Emulator(folder, ManualClock())
    emulator.save()
    other = OtherProgram(folder)
    emulator.broker.create_channel("bob")
    emulator.stop()
    other.leave()
    store = SqliteStore(folder)
    state = store.load()
    assert not state.clean
    assert state.stale
    store.close(True)
    assert SqliteStore(folder).load().clean


@contextlib.contextmanager
def no_room():
    """No file of this process may grow."""
    former = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, former[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, former)


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_a_state_is_taken_up_on_a_full_disk(folder, how):
    first = Emulator(folder, clock := ManualClock())
    token = first.broker.create_channel("bob").token
    socket = first.broker.open(token).socket
    first.broker.send_message("bob", "one")
    first.save()
    getattr(first, how)()
    with no_room():
        second = Emulator(folder, ManualClock(clock.now()))
        assert second.texts(socket) == ["one"]
        second.broker.send_message("bob", "two")
        assert not second.save()
    assert second.save()
    third = restarted(second, folder, clock, "kill")
    assert third.texts(socket) == ["one", "two"]
    assert third.broker.open(token).client_id == "bob"
    assert third.events("stale_start") == third.events("state_set_aside") == []
    third.stop()


@pytest.mark.parametrize("found", [None, b"", b"somebody's notes"])
def test_a_first_state_is_begun_once_there_is_room(folder, found):
    folder.mkdir(mode=0o700)
    if found is not None:
        (folder / "state.sqlite3").write_bytes(found)
    with no_room():
        first = Emulator(folder, clock := ManualClock())
        token = first.broker.create_channel("bob").token
        for _ in range(3):
            assert not first.save()
        first.broker.create_channel("eve")
    assert first.save()
    assert len(first.events("store_works")) == 1
    assert len(list(folder.glob("*.unreadable-*"))) == bool(found)
    second = restarted(first, folder, clock, "kill")
    assert second.broker.open(token).client_id == "bob"
    assert second.events("stale_start") == []
    second.stop()


def test_a_start_and_a_stop_without_any_room_are_no_error(folder):
    with no_room():
        first = Emulator(folder, ManualClock())
        first.broker.create_channel("bob")
        first.stop()
    Emulator(folder, ManualClock()).stop()


def remove(store, path):
    path.unlink()


def replace(store, path):
    path.unlink()
    path.write_bytes(b"somebody's notes")


def damage(store, path):
    store._database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    with path.open("r+b") as file:
        file.write(b"no database" * 5000)
    # Else it would not read what is there before the next start.
    store._database.execute("PRAGMA shrink_memory").fetchall()


def remove_folder(store, path):
    shutil.rmtree(path.parent)


@pytest.mark.parametrize("loss", [remove, replace, damage, remove_folder])
def test_a_file_that_is_lost_while_the_emulator_runs_is_made_anew(folder, loss):
    first = Emulator(folder, clock := ManualClock())
    token = first.broker.create_channel("bob").token
    socket = first.broker.open(token).socket
    first.broker.send_message("bob", "one")
    first.broker.poll(socket, 1)
    first.broker.send_message("bob", "two")
    expired = first.broker.create_channel("eve").token
    first.broker.control.expire(first.broker.open(expired).socket)
    first.save()
    loss(first.store, folder / "state.sqlite3")
    first.broker.send_message("bob", "three")
    assert first.save()
    assert len(first.events("state_set_aside")) == 1

    second = restarted(first, folder, clock, "kill")
    assert second.texts(socket, 1) == ["two", "three"]
    assert second.broker.open(token).client_id == "bob"
    assert second.events("stale_start") == []
    second.stop()


def test_a_folder_that_is_made_anew_is_in_use(folder):
    emulator = Emulator(folder, ManualClock())
    shutil.rmtree(folder)
    emulator.broker.create_channel("bob")
    assert emulator.save()
    assert folder.stat().st_mode & 0o777 == 0o700
    with pytest.raises(StoreInUse):
        SqliteStore(folder)
    emulator.stop()


def test_a_folder_that_something_has_taken_the_place_of_is_a_save_that_fails(folder):
    emulator = Emulator(folder, ManualClock())
    emulator.save()
    shutil.rmtree(folder)
    folder.write_text("somebody's notes")
    for _ in range(3):
        emulator.broker.create_channel("bob")
        assert not emulator.save()
    assert len(emulator.events("store_failed")) == 1
    assert folder.read_text() == "somebody's notes"
    folder.unlink()
    assert emulator.save()
    assert [path.name for path in folder.glob("*.unreadable-*")] == []
    emulator.stop()


def test_an_older_state_that_was_put_back_costs_no_page_a_message_unawares(folder):
    first = Emulator(folder, clock := ManualClock())
    socket = first.broker.open(first.broker.create_channel("bob").token).socket
    first.stop()
    older = (folder / "state.sqlite3").read_bytes()
    for _ in range(2):
        first = Emulator(folder, ManualClock(clock.now()))
        first.stop()
    (folder / "state.sqlite3").write_bytes(older)
    second = Emulator(folder, ManualClock(clock.now()))
    with pytest.raises(SocketGone):
        second.broker.poll(socket, 0)
    assert second.events("stale_start")
    second.stop()


@pytest.mark.parametrize("kept", [0.3, 0.6, 0.9])
def test_a_log_that_was_cut_off_costs_no_page_a_message_unawares(folder, kept):
    """SQLite takes up what is left of it, which is an older state."""
    first = Emulator(folder, clock := ManualClock())
    socket = first.broker.open(first.broker.create_channel("bob").token).socket
    for number in range(20):
        first.broker.send_message("bob", f"{number} {LONG}")
        first.save()
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    first.kill()
    log = files["state.sqlite3-wal"]
    damaged = folder.with_name("damaged")
    damaged.mkdir(mode=0o700)
    for name, content in (files | {"state.sqlite3-wal": log[: int(len(log) * kept)]}).items():
        (damaged / name).write_bytes(content)
    second = Emulator(damaged, ManualClock(clock.now()))
    with pytest.raises(SocketGone):
        second.broker.poll(socket, 0)
    assert second.events("stale_start")
    second.stop()


def test_a_kill_between_a_save_and_its_note_is_no_loss(folder, monkeypatch):
    first = Emulator(folder, clock := ManualClock())
    socket = first.broker.open(first.broker.create_channel("bob").token).socket
    first.save()
    first.broker.send_message("bob", "one")
    monkeypatch.setattr(first.store, "_say_what_it_has", lambda: None)
    first.save()
    second = restarted(first, folder, clock, "kill")
    assert second.texts(socket) == ["one"]
    assert second.events("stale_start") == []
    second.stop()


def test_a_page_that_knows_more_than_a_clean_state_is_told(folder):
    """Version 0.1.0 called a state clean that lacked what it could not save."""
    first = Emulator(folder, clock := ManualClock())
    sockets = [first.broker.open(first.broker.create_channel("bob").token).socket for _ in range(2)]
    first.stop()
    second = Emulator(folder, ManualClock(clock.now()))
    for number in range(25):
        second.broker.send_message("bob", f"new {number}")
    with pytest.raises(SocketGone):
        second.broker.poll(sockets[0], 20)
    (told,) = second.events("socket_closed")
    assert "not the last one" in told
    assert len(second.texts(sockets[1])) == 25
    second.stop()


@pytest.mark.parametrize(("count", "size"), [(900, 1), (100, 30_000)])
def test_a_batch_is_bounded_and_no_message_of_it_is_left_out(folder, count, size):
    emulator = Emulator(folder, clock := ManualClock())
    sockets = [emulator.broker.open(emulator.broker.create_channel("bob").token).socket for _ in range(5)]
    sent = [f"{number} ".ljust(size, "x") for number in range(count)]
    for text in sent:
        emulator.broker.send_message("bob", text)
    batches = []
    while changes := emulator.broker.take_changes():
        batches.append([text for socket in changes.sockets for text in socket.messages])
        emulator.store.save(changes)
    assert max(map(len, batches)) <= 2000
    assert max(sum(map(len, batch)) for batch in batches) < 4_300_000
    assert sum(map(len, batches)) == 5 * count
    again = restarted(emulator, folder, clock)
    for socket in sockets:
        got = []
        while messages := again.texts(socket, len(got)):
            got += messages
        assert got == sent
    again.stop()


class Copy:
    """What there is, what a store has of it, and the ledger between them."""

    def __init__(self) -> None:
        self.ledger: Ledger[tuple[str, int]] = Ledger()
        self.there: dict[str, int] = {}
        self.stored: dict[str, int] = {}
        self.count = 0

    def change(self, key: str) -> None:
        self.count += 1
        self.there[key] = self.count
        self.ledger.change(key, (key, self.count))

    def remove(self, key: str) -> None:
        self.there.pop(key, None)
        self.ledger.remove(key)

    def take(self) -> tuple[list[str], list[tuple[str, int]]]:
        return self.ledger.take_gone(), list(self.ledger.take_changed())

    def save(self, key: str) -> None:
        gone, changed = self.take()
        assert set(gone) <= set(self.stored), "the store is asked for what it never had"
        for each in gone:
            del self.stored[each]
        self.stored.update(changed)

    def _fail(self, *meanwhile: Callable[[], None]) -> None:
        self.take()
        for each in meanwhile:
            each()
        self.ledger.give_back()

    def fail(self, key: str) -> None:
        self._fail()

    def fail_while_it_changes(self, key: str) -> None:
        self._fail(lambda: self.change(key))

    def fail_while_it_goes(self, key: str) -> None:
        self._fail(lambda: self.remove(key))

    def fail_while_it_comes_and_goes(self, key: str) -> None:
        self._fail(lambda: self.change(key), lambda: self.remove(key))

    def fail_while_it_goes_and_comes(self, key: str) -> None:
        self._fail(lambda: self.remove(key), lambda: self.change(key))

    def lose_all(self, key: str) -> None:
        self.stored.clear()
        self.ledger.forget_stored()
        for each in list(self.there):
            self.change(each)


STEPS = [name for name in vars(Copy) if name[0] != "_" and name != "take"]


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.sampled_from(STEPS), st.sampled_from("abc")), max_size=40))
def test_a_ledger_gives_the_store_just_what_it_lacks(steps):
    copy = Copy()
    for step, key in steps:
        getattr(copy, step)(key)
    copy.save("")
    assert copy.stored == copy.there
    assert copy.take() == ([], [])
