"""Emulators find each other by files in a folder that nobody else can write to."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest

from appengine_channel_emu.running_here import Announcement, EmulatorHere, running_here
from tests.support.parts import ROOT
from tests.support.processes import running_command

ONE = EmulatorHere("127.0.0.1:8080", "main:app", os.getpid())
OTHER = EmulatorHere("[::1]:8081", "", os.getpid())


@pytest.fixture
def runtime(tmp_path, monkeypatch):
    """The runtime folder of a user, who has a state folder and a temporary one beside it."""
    for variable, name in (("XDG_RUNTIME_DIR", "run"), ("XDG_STATE_HOME", "state"), ("TMPDIR", "tmp")):
        (tmp_path / name).mkdir(mode=0o700)
        monkeypatch.setenv(variable, str(tmp_path / name))
    return tmp_path / "run"


def files(folder):
    return [path for path in folder.rglob("*") if path.is_file()]


def test_they_are_found_until_they_withdraw(runtime):
    assert running_here() == []
    first, second = Announcement(OTHER), Announcement(ONE)
    assert running_here() == [ONE, OTHER]
    first.withdraw()
    first.withdraw()
    assert running_here() == [ONE]
    second.withdraw()
    assert (running_here(), files(runtime)) == ([], [])


def test_nobody_else_can_read_or_change_what_is_written(runtime):
    announcement = Announcement(ONE)
    [file] = files(runtime)
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    announcement.withdraw()


KILLED = f"""
import sys; sys.path.insert(0, {str(ROOT)!r})
from appengine_channel_emu.running_here import Announcement, EmulatorHere
kept = Announcement(EmulatorHere("127.0.0.1:1", "", 1))
print("announced", flush=True)
input()
"""


def test_one_that_was_killed_is_not_found_and_its_file_goes(runtime):
    command = [sys.executable, "-c", KILLED]
    with running_command(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == "announced\n"
        assert [each.address for each in running_here()] == ["127.0.0.1:1"]
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert len(files(runtime)) == 1
        assert (running_here(), files(runtime)) == ([], [])


def test_a_new_one_removes_what_killed_ones_have_left(runtime):
    folder = runtime / "channel-emu"
    Announcement(ONE).withdraw()
    said = {"address": "127.0.0.1:1", "app": "", "pid": 1}
    announcement = Announcement(ONE)
    machine = json.loads(files(runtime)[0].read_text())["machine"]
    (folder / "left.json").write_text(json.dumps(said | {"machine": machine}))
    other = Announcement(OTHER)
    assert len(files(runtime)) == 2
    announcement.withdraw()
    other.withdraw()


def test_those_of_another_machine_or_container_are_neither_found_nor_removed(runtime):
    Announcement(ONE).withdraw()
    theirs = runtime / "channel-emu" / "theirs.json"
    theirs.write_text(json.dumps({"address": "127.0.0.1:1", "app": "", "pid": 1, "machine": "another"}))
    assert running_here() == []
    assert theirs.exists()


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"address": 1}', '{"address": "evil.test:80", "app": ""}'])
def test_what_is_no_announcement_is_passed_over(runtime, text):
    announcement = Announcement(ONE)
    (runtime / "channel-emu" / "other.json").write_text(text)
    assert running_here() == [ONE]
    announcement.withdraw()


def test_a_link_and_a_named_pipe_are_passed_over(runtime, tmp_path):
    announcement = Announcement(ONE)
    [file] = files(runtime)
    (file.parent / "link.json").symlink_to(file)
    os.mkfifo(file.parent / "pipe.json")
    assert running_here() == [ONE]
    announcement.withdraw()


def test_a_folder_that_others_can_write_to_is_neither_used_nor_believed(runtime, tmp_path):
    folder = runtime / "channel-emu"
    folder.mkdir()
    folder.chmod(0o777)
    announcement = Announcement(ONE)
    assert (running_here(), files(tmp_path)) == ([], [])
    announcement.withdraw()


def test_a_runtime_folder_of_another_user_is_not_used(runtime, tmp_path, monkeypatch):
    """As `su` leaves it in the environment."""
    runtime.chmod(0o777)
    announcement = Announcement(ONE)
    [file] = files(tmp_path)
    if not os.path.exists(f"/run/user/{os.geteuid()}"):
        assert file.is_relative_to(tmp_path / "state")
    assert running_here() == [ONE]
    announcement.withdraw()


def test_without_home_and_runtime_folder_it_is_the_temporary_one(runtime, tmp_path, monkeypatch):
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    monkeypatch.setattr("appengine_channel_emu.running_here._is_ours", lambda folder: False)
    monkeypatch.setattr("appengine_channel_emu.running_here.base_folder", lambda variable, below: None)
    announcement = Announcement(ONE)
    assert [file.parent for file in files(tmp_path)] == [tmp_path / "tmp" / f"channel-emu-{os.geteuid()}"]
    assert running_here() == [ONE]
    announcement.withdraw()
    # A link there may be anybody's.
    made = tmp_path / "tmp" / f"channel-emu-{os.geteuid()}"
    made.rename(tmp_path / "elsewhere")
    made.symlink_to(tmp_path / "elsewhere")
    announcement = Announcement(ONE)
    assert (running_here(), files(tmp_path)) == ([], [])
    announcement.withdraw()


def test_the_name_of_an_app_may_be_long_and_odd(runtime):
    announcement = Announcement(ONE._replace(app="\U0001f600\udcff\n" * 2000))
    [found] = running_here()
    assert found.app.startswith("\U0001f600\udcff\n")
    announcement.withdraw()


def test_a_home_that_we_may_not_look_into_stops_nothing(runtime, tmp_path, monkeypatch):
    def refused(*arguments, **options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("os.stat", refused)
    announcement = Announcement(ONE)
    assert running_here() == []
    announcement.withdraw()
    monkeypatch.undo()


def test_a_full_disk_stops_nothing(runtime, monkeypatch):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.write", full)
    announcement = Announcement(ONE)
    monkeypatch.undo()
    announcement.withdraw()
    assert files(runtime) == []
