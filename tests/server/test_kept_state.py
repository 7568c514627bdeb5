"""The command with a state folder: full disks, files in use, damage, and standstills of a real process."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import resource
import signal
import sqlite3
import time

import pytest

from appengine_channel_emu.broker.clock import ManualClock
from tests.broker import damage
from tests.broker.kept import OtherProgram
from tests.support import parts
from tests.support.emulator import RunningEmulator
from tests.support.waiting import LONG_ENOUGH, eventually

STARTS = 50 if os.environ.get("SOAK") else 3


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "state"


@pytest.fixture
def emulator(tmp_path, folder):
    with RunningEmulator(log=tmp_path / "log", state_dir=folder) as running:
        yield running
    assert "Traceback" not in (tmp_path / "log").read_text()


def opened(emulator, client_id="bob"):
    token = emulator.create_channel(client_id)
    return emulator.get_json(f"/_ah/channel/open?channel={token}")["socket"]


def kept_sockets(folder):
    with contextlib.closing(sqlite3.connect(folder / "state.sqlite3")) as database:
        return {row[0] for row in database.execute("SELECT id FROM sockets")}


def poll(emulator, socket, after=0):
    """The status, and the messages."""
    connection = http.client.HTTPConnection("127.0.0.1", emulator.port, timeout=LONG_ENOUGH)
    connection.request("GET", f"/_ah/channel/poll?socket={socket}&after={after}&wait=0")
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, json.loads(body)["messages"] if answer.status == 200 else body.decode()


class NoRoom:
    """Files of the process may not grow any more, as on a full disk."""

    def __init__(self, emulator, folder):
        self._pid = emulator.pid
        self._former = resource.prlimit(self._pid, resource.RLIMIT_FSIZE)
        largest = max(path.stat().st_size for path in folder.iterdir())
        resource.prlimit(self._pid, resource.RLIMIT_FSIZE, (largest, self._former[1]))

    def end(self):
        resource.prlimit(self._pid, resource.RLIMIT_FSIZE, self._former)


class InUse:
    """Another program has the file locked."""

    def __init__(self, emulator, folder):
        self._other = OtherProgram(folder)

    def end(self):
        self._other.leave()


@pytest.mark.slow
@pytest.mark.parametrize("problem", [NoRoom, InUse])
def test_saves_that_fail_for_a_while(emulator, folder, problem):
    if problem is NoRoom and not hasattr(resource, "prlimit"):
        parts.lacking("this system has no prlimit")
    socket = opened(emulator)
    emulator.send("bob", "0")
    held = problem(emulator, folder)
    for number in range(1, 21):
        emulator.send("bob", f"{number} " + 20_000 * "y")
        assert poll(emulator, socket, number)[0] == 200
    emulator.send("bob", "unread")
    (failed,) = eventually(lambda: emulator.events("store_failed"), len)
    held.end()
    eventually(lambda: emulator.events("store_works"), len)
    emulator.stop()
    said = emulator.log.read_text()
    assert said.count(failed["text"]) == 1
    assert said.count("The state is saved again") == 1

    emulator.start()
    for number in range(25):
        emulator.send("bob", f"new {number}")
    assert poll(emulator, socket, 21) == (200, ["unread"] + [f"new {number}" for number in range(25)])


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_saves_that_fail_until_the_end(emulator, folder, how):
    socket = opened(emulator)
    idle = opened(emulator, "eve")
    # They are saved at once, but not before the answer.
    eventually(lambda: kept_sockets(folder), lambda kept: kept == {socket, idle})
    other = OtherProgram(folder)
    emulator.send("bob", "one")
    poll(emulator, socket, 0)
    eventually(lambda: emulator.events("store_failed"), len)
    emulator.kill(how)
    other.leave()
    emulator.start()
    assert len(emulator.events("stale_start")) == 1
    emulator.send("bob", "two")
    assert poll(emulator, socket, 1) == (410, "Socket+gone.")
    assert poll(emulator, idle) == (410, "Socket+gone.")


@pytest.mark.soak
def test_it_starts_whatever_is_in_the_folder(tmp_path):
    stopped, killed, sockets = damage.make_state(tmp_path / "whole", ManualClock(time.time()))
    for seed in range(STARTS):
        folder = tmp_path / str(seed)
        way = damage.damage(killed if seed % 2 else stopped, folder, seed)
        with RunningEmulator(log=tmp_path / "log", state_dir=folder) as running:
            for socket in sockets:
                status, got = poll(running, socket)
                assert status in (401, 410) or len(got) == damage.MESSAGES, f"seed {seed}: {way}"
            set_aside = [event["text"] for event in running.events("state_set_aside")]
        assert all(text in (tmp_path / "log").read_text() for text in set_aside)
        assert "Traceback" not in (tmp_path / "log").read_text(), f"seed {seed}: {way}"


def test_a_folder_that_others_can_write_to_is_not_used_and_that_is_said_once(tmp_path, folder):
    folder.mkdir()
    folder.chmod(0o777)
    os.mkfifo(folder / "login.key")
    os.mkfifo(folder / "lock")
    (tmp_path / "app.yaml").write_text("runtime: python39\nhandlers:\n- url: /.*\n  script: auto\n")
    (tmp_path / "main.py").write_text("def app(environ, start_response): ...\n")
    with RunningEmulator(str(tmp_path / "app.yaml"), log=tmp_path / "log", state_dir=folder) as running:
        opened(running)
    said = (tmp_path / "log").read_text()
    assert said.count("Nothing is kept over a restart: everybody on this machine can write to") == 1
    assert sorted(path.name for path in folder.iterdir()) == ["lock", "login.key"]


def test_a_folder_that_cannot_be_made_is_said_in_words(tmp_path):
    (tmp_path / "file").write_text("")
    folder = tmp_path / "file" / "state"
    with RunningEmulator(log=tmp_path / "log", state_dir=folder) as running:
        opened(running)
    why = f"{folder} cannot be used (Not a directory); choose another --state-dir."
    assert f"Nothing is kept over a restart: {why}" in (tmp_path / "log").read_text()


@pytest.mark.slow
def test_a_process_that_was_stopped_has_lost_no_page(tmp_path):
    """SIGSTOP, and SIGCONT after more than the resume window; its page asked meanwhile.

    With a clock of ours: tests/broker/test_standstill.py.
    """
    with RunningEmulator("--resume-window", "1", log=tmp_path / "log") as running:
        parked, between, asked = opened(running), opened(running), opened(running)
        connections = {}
        for socket in (parked, asked):
            connections[socket] = http.client.HTTPConnection("127.0.0.1", running.port, timeout=LONG_ENOUGH)
            connections[socket].connect()
        request = "/_ah/channel/poll?socket={}&after=0&wait={}"
        connections[parked].request("GET", request.format(parked, 1))
        os.kill(running.pid, signal.SIGSTOP)
        try:
            connections[asked].request("GET", request.format(asked, 0))
            time.sleep(7)  # 5 s attached, and the window
        finally:
            os.kill(running.pid, signal.SIGCONT)
        for connection in connections.values():
            assert connection.getresponse().read() == b'{"messages":[],"next":0}\n'
            connection.close()
        for socket in (parked, between, asked):
            assert poll(running, socket) == (200, [])
