"""Which folder state is kept in, on a machine with other users (behaviour.md 2, 11)."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from appengine_channel_emu.broker.clock import ManualClock
from appengine_channel_emu.broker.store import SqliteStore
from appengine_channel_emu.private_files import open_plain, private_folder
from tests.broker.kept import Emulator


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "state"


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def belongs_to_another(monkeypatch, *paths):
    """To whoever asks. Giving it away for good takes root."""
    names = {os.fspath(path) for path in paths}
    for each in ("stat", "lstat"):
        ask = getattr(os, each)

        def answer(path, *args, _ask=ask, **options):
            found = _ask(path, *args, **options)
            if isinstance(path, str | os.PathLike) and os.fspath(path) in names:
                return os.stat_result([*found[:4], found.st_uid + 1, *found[5:10]])
            return found

        monkeypatch.setattr(os, each, answer)
    # Python 3.10's paths keep the functions that were there when pathlib was imported.
    monkeypatch.setattr(
        Path, "stat", lambda path, *, follow_symlinks=True: os.stat(path, follow_symlinks=follow_symlinks)
    )
    monkeypatch.setattr(Path, "lstat", lambda path: os.lstat(path))


def test_one_that_is_missing_is_made_with_all_above_it_for_its_user_alone(tmp_path):
    former = os.umask(0)
    try:
        assert private_folder(tmp_path / "a" / "b" / "c") == tmp_path / "a" / "b" / "c"
    finally:
        os.umask(former)
    assert [mode(tmp_path / each) for each in ("a", "a/b", "a/b/c")] == [0o700] * 3


@pytest.mark.parametrize("bits", [0o700, 0o755, 0o750, 0o711])
def test_one_that_only_we_can_write_to_is_used(folder, bits):
    folder.mkdir()
    folder.chmod(bits)
    assert private_folder(folder) == folder
    assert mode(folder) == bits


@pytest.mark.parametrize("bits", [0o777, 0o1777, 0o702])
def test_one_that_everybody_can_write_to_is_not_used(folder, bits):
    folder.mkdir()
    folder.chmod(bits)
    with pytest.raises(PermissionError, match=r"everybody .* --state-dir"):
        private_folder(folder)
    assert list(folder.iterdir()) == []


def test_one_of_somebody_else_is_not_used(folder, monkeypatch):
    folder.mkdir(mode=0o755)
    belongs_to_another(monkeypatch, folder)
    with pytest.raises(PermissionError, match=r"another user .* --state-dir"):
        private_folder(folder)
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("bits", [0o770, 0o775, 0o2775])
def test_in_one_that_our_group_can_write_to_a_private_one_is_made(folder, bits):
    folder.mkdir()
    folder.chmod(bits)
    for _ in range(2):
        assert private_folder(folder) == folder / "private"
    assert mode(folder / "private") & 0o777 == 0o700
    emulator = Emulator(folder, ManualClock())
    emulator.stop()
    assert [path.name for path in folder.iterdir()] == ["private"]


def a_link(path):
    path.with_name("elsewhere").mkdir(mode=0o700)
    path.symlink_to(path.with_name("elsewhere"))


def a_file(path):
    path.touch(0o600)


def writable(path):
    path.mkdir()
    path.chmod(0o770)


@pytest.mark.parametrize("planted", [a_link, a_file, os.mkfifo, writable])
def test_what_somebody_of_the_group_put_in_its_place_is_not_used(folder, planted):
    folder.mkdir()
    folder.chmod(0o770)
    planted(folder / "private")
    before = sorted(folder.rglob("*"))
    with pytest.raises(PermissionError, match="--state-dir"):
        private_folder(folder)
    assert sorted(folder.rglob("*")) == before


def test_a_private_one_of_somebody_elses_is_not_used(folder, monkeypatch):
    folder.mkdir()
    folder.chmod(0o770)
    (folder / "private").mkdir(mode=0o700)
    belongs_to_another(monkeypatch, folder / "private")
    with pytest.raises(PermissionError, match="another user"):
        private_folder(folder)


def test_a_file_of_somebody_elses_in_it_is_moved_out_of_the_way(folder, monkeypatch):
    """As one is that was left by a run as root."""
    Emulator(folder, ManualClock()).stop()
    belongs_to_another(monkeypatch, folder / "state.sqlite3")
    emulator = Emulator(folder, ManualClock())
    (told,) = emulator.events("state_set_aside")
    assert "no file of ours" in told
    emulator.stop()


def test_what_cannot_be_moved_out_of_the_way_is_an_error_that_says_so(folder, monkeypatch):
    """As in a folder that became read-only: nothing is kept then."""
    folder.mkdir(mode=0o700)
    (folder / "state.sqlite3").mkdir()

    def refuse(path, target):
        raise OSError(30, "Read-only file system", str(path))

    monkeypatch.setattr("pathlib.Path.rename", refuse)
    with pytest.raises(OSError, match="Read-only"):
        SqliteStore(folder)


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.mkdir(), lambda path: path.symlink_to("/dev/zero")])
def test_opening_what_is_no_plain_file_is_an_error_at_once(folder, make):
    make(folder)
    with pytest.raises(OSError, match=r"plain file|links|directory"):
        open_plain(folder, os.O_RDONLY)
