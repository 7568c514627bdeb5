"""An app in the SDK when something fails, such as a dev server that hangs: a clear word each, no process left."""

from __future__ import annotations

import resource
import signal
import socket
import subprocess
import time

import pytest

from appengine_channel_emu.cli import main
from appengine_channel_emu.host.errors import CannotStart
from appengine_channel_emu.host.origins import dev_server, dev_server_process
from appengine_channel_emu.host.process import CrashPause
from tests.host.conftest import visit
from tests.legacy_apps import fake_sdk
from tests.legacy_apps.conftest import page_at
from tests.support import parts
from tests.support.emulator import EMU, RunningEmulator
from tests.support.legacy import APPS, emulated
from tests.support.processes import MARK, left_after, marked
from tests.support.waiting import LONG_ENOUGH, eventually, until

pytestmark = pytest.mark.slow

APP = APPS / "own_channel"


@pytest.fixture
def temporary(tmp_path, monkeypatch, mark):
    """Where temporary files go; all that the test starts carries the mark."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setenv(MARK, mark)
    return folder


@pytest.fixture
def signals():
    """As they are, whatever `channel-emu serve` makes of them in this process."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


def options(tmp_path, behaviour):
    """Of `channel-emu serve`, for a dev server that behaves so."""
    sdk = fake_sdk.fake_sdk(tmp_path / "sdk", behaviour)
    return [str(APP), "--sdk", str(sdk), "--python", str(parts.need(parts.python27))]


def test_a_dev_server_that_hangs_at_its_start(tmp_path, temporary, mark, monkeypatch, capsys, signals):
    monkeypatch.setattr(dev_server_process, "START_SECONDS", 0.5)
    arguments = options(tmp_path, fake_sdk.HANGS_AT_START)
    assert main(["serve", *arguments, "--port", "0", "--state-dir", "none"]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert "channel-emu: dev_appserver.py took no request within 0.5 seconds, and was ended." in said.err
    assert not left_after(mark)
    assert not list(temporary.glob("channel-emu-*"))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_emulator_whose_dev_server_hangs_at_its_start_can_be_stopped(number, tmp_path, temporary, mark):
    command = [*EMU, "serve", *options(tmp_path, fake_sdk.HANGS_AT_START)]
    process = subprocess.Popen(
        [*command, "--port", "0", "--state-dir", "none"],
        cwd=parts.ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    for line in process.stderr:
        if "waiting for nothing" in line:
            break
    process.send_signal(number)
    # Three seconds are the dev server's own.
    out, err = process.communicate(timeout=LONG_ENOUGH)
    assert (process.returncode, out) == (0, "")
    assert "Traceback" not in err
    assert not left_after(mark)
    assert not list(temporary.glob("channel-emu-*"))


def test_a_dev_server_that_hangs_at_its_stop(tmp_path, temporary, mark, http):
    emulator = RunningEmulator(*options(tmp_path, fake_sdk.HANGS_AT_STOP), log=tmp_path / "log")
    emulator.start()
    assert http.request("GET", emulator.url).data == b"fake"
    assert len(marked(mark)) >= 4
    assert emulator.stop() == 0
    assert not marked(mark)
    assert not list(temporary.glob("channel-emu-*"))


def test_a_dev_server_that_takes_requests_and_answers_none(tmp_path, temporary, mark, monkeypatch):
    monkeypatch.setattr(dev_server, "QUEUE_SECONDS", 0.2)
    backend = fake_sdk.backend_for(tmp_path, fake_sdk.ANSWERS_NOTHING, deadline=0.3)
    try:
        backend.start()
        page = visit(backend)
        assert page.status == 503
        assert "took no notice of this request" in page.text
    finally:
        backend.stop()
    assert not left_after(mark)


def test_a_dev_server_that_ends_again_and_again(tmp_path, temporary, mark):
    backend = fake_sdk.backend_for(tmp_path, fake_sdk.ENDS_SOON)

    def ask_after(seconds):
        """What a visitor gets who comes so long after it has ended."""
        until(lambda: backend._origin._process.ended)
        backend._origin._process.ended_at = time.monotonic() - seconds
        return visit(backend)

    try:
        backend.start()
        # Each time the visitor's own connection is lost, unless nothing was started.
        assert ask_after(0).status == 502
        page = ask_after(-LONG_ENOUGH)
        assert page.status == 503
        assert "again and again" in page.text
        backend._origin._pause = CrashPause()
        # The pause is over by the time that somebody notices.
        assert [ask_after(LONG_ENOUGH).status for _ in range(4)] == [502] * 4
    finally:
        backend.stop()
    assert not left_after(mark)


def test_a_dev_server_whose_port_is_taken_after_all(tmp_path, temporary, mark, monkeypatch):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        monkeypatch.setattr(dev_server_process, "free_ports", lambda: (taken.getsockname()[1], 1, 2))
        with pytest.raises(CannotStart) as raised:
            fake_sdk.backend_for(tmp_path, fake_sdk.LISTENS).start()
    assert "exited with status 1 before it took a request" in str(raised.value)
    assert "Address already in use" in str(raised.value)
    assert not left_after(mark)


def test_the_admin_server_is_where_the_user_wants_it(tmp_path, notes, notes_admin_port, http):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(AssertionError, match=f"--admin_port {port}: something else listens there"):
            emulated(APP, tmp_path / "log", "--", "--admin_port", str(port)).start()
    admin = f"http://127.0.0.1:{notes_admin_port}"
    assert f"admin server (datastore, task queues, memcache): {admin}" in notes.log.read_text()
    eventually(lambda: page_at(http, f"{admin}/memcache"), lambda page: "Memcache Viewer" in page)


def test_where_the_dev_server_listens_is_not_the_users_affair(tmp_path):
    with pytest.raises(AssertionError, match="Give --port in front of the --"):
        emulated(APP, tmp_path / "log", "--", "--port=8080").start()


@pytest.mark.parametrize("place", ["state", "temporary"])
def test_a_folder_that_cannot_be_written(place, tmp_path, monkeypatch, capsys, signals):
    """A file in its place: there nobody can write, not even root."""
    (tmp_path / "sdk").touch()
    if place == "temporary":
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "sdk"))
    state = {"state": str(tmp_path), "temporary": "none"}[place]
    arguments = [str(APP), "--sdk", str(parts.need(parts.sdk)), "--python", str(parts.need(parts.python27))]
    assert main(["serve", *arguments, "--port", "0", "--state-dir", state]) == 1
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("channel-emu: ")
    assert str(tmp_path / "sdk") in said


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="only Linux can limit another process")
def test_a_disk_that_is_full(tmp_path, http, mark):
    """No file of the dev server's may grow; once there is room again all is as before."""
    with emulated(APPS / "webapp2_ndb", tmp_path / "log", environ={MARK: mark}) as emulator:
        assert http.request("POST", f"{emulator.url}/add", fields={"text": "before"}).status == 200
        servers = [pid for pid, command in marked(mark).items() if "python2.7" in command.split()[0]]
        assert servers
        for pid in servers:
            _, most = resource.prlimit(pid, resource.RLIMIT_FSIZE)
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, most))
        assert http.request("POST", f"{emulator.url}/add", fields={"text": "in vain"}).status == 500
        assert emulator.send("nobody", "the emulator goes on") == 0
        for pid in servers:
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (most, most))
        assert http.request("POST", f"{emulator.url}/add", fields={"text": "after"}).status == 200
        page = http.request("GET", emulator.url).data.decode()
        assert "<li>before</li>" in page
        assert "<li>after</li>" in page
    assert not left_after(mark)
