"""Nothing that the emulator started outlives it, however it ends."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time

import pytest

from appengine_channel_emu.host.process import SupervisedProcess
from tests.support import parts
from tests.support.emulator import EMU, RunningEmulator
from tests.support.parts import ROOT
from tests.support.processes import MARK, kill_emulator_and_supervisors, left_after, marked
from tests.support.waiting import LONG_ENOUGH

FAMILY = """
import os, signal, subprocess, sys, time

DAEMON = "import os, time; os.setsid(); print('daemon', flush=True); time.sleep(60)"
STUBBORN = "import signal, time; signal.signal(15, signal.SIG_IGN); print('stubborn', flush=True); time.sleep(60)"

def app(environ, start_response):
    start_response("200 OK", [])
    return [b""]

for code in (DAEMON, STUBBORN):
    # By way of a process that ends at once: an orphan, as a daemon is.
    starter = "import subprocess, sys; p = subprocess.Popen([sys.executable, '-c', %r], stdout=subprocess.PIPE); " \\
              "p.stdout.readline()" % code
    subprocess.run([sys.executable, "-c", starter], check=True)
"""


@pytest.fixture
def supervised(mark):
    started = []

    def start(code, **arguments):
        read, write = os.pipe()
        with open(write, "wb"):
            process = SupervisedProcess(
                [sys.executable, "-c", code, str(write)],
                folder="/",
                environ=os.environ | {MARK: mark},
                inherited=[write],
                **arguments,
            )
        started.append(process)
        with open(read, "rb") as said:
            assert said.readline() == b"ready\n"
        return process

    yield start
    for process in started:
        process.stop()


READY = "import os, signal, sys, time; "
SAY = "os.write(int(sys.argv[1]), b'ready\\n'); os.close(int(sys.argv[1])); "


def test_a_process_that_heeds_sigterm_ends_at_once(supervised, mark):
    process = supervised(READY + SAY + "time.sleep(60)")
    process.stop()
    assert process.wait() == "was killed by SIGTERM"
    assert not marked(mark)


def test_one_that_ignores_sigterm_is_killed_after_three_seconds(supervised, mark):
    process = supervised(READY + "signal.signal(15, signal.SIG_IGN); " + SAY + "time.sleep(60)")
    started = time.monotonic()
    process.stop()
    assert time.monotonic() - started > 2.9
    assert process.wait() == "was killed by SIGKILL"
    assert not marked(mark)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux has child subreapers")
def test_a_grandchild_that_made_itself_a_daemon_is_ended_too(supervised, mark):
    forks = "pid = os.fork(); pid or (os.setsid(), os.fork() and os._exit(0), signal.signal(15, signal.SIG_IGN)); "
    process = supervised(READY + forks + "pid or (" + SAY.replace("; ", ", ") + "time.sleep(60)); os.wait(); "
                         "time.sleep(60)")  # fmt: skip
    assert len(marked(mark)) == 3
    process.stop()
    assert not marked(mark)


def test_it_says_how_the_process_ended(supervised):
    assert supervised(READY + SAY + "sys.exit(3)").wait() == "exited with status 3"
    assert supervised(READY + SAY + "os.kill(os.getpid(), 11)").wait() == "was killed by SIGSEGV"


def test_a_command_that_does_not_exist_says_so(capfd):
    process = SupervisedProcess(["/no/such/python"], folder="/", environ={})
    assert process.wait() == "exited with status 127"
    assert "cannot run /no/such/python: No such file or directory" in capfd.readouterr().err


def test_the_death_of_the_supervisor_itself_leaves_nothing(supervised, mark):
    process = supervised(READY + SAY + "time.sleep(60)")
    supervisor = next(pid for pid, command in marked(mark).items() if "supervisor.py" in command)
    os.kill(supervisor, signal.SIGKILL)
    process.wait()
    assert not left_after(mark)


def test_a_stop_after_the_death_of_the_supervisor_leaves_nothing(supervised, mark, tmp_path):
    folder = tmp_path / "sockets"
    folder.mkdir()
    process = supervised(READY + SAY + "time.sleep(60)", remove=str(folder))
    supervisor = next(pid for pid, command in marked(mark).items() if "supervisor.py" in command)
    os.kill(supervisor, signal.SIGKILL)
    process.stop()
    assert not left_after(mark)
    assert not folder.exists()


def test_an_emulator_with_thousands_of_connections_has_large_file_numbers(supervised, mark, capfd):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 3000:
        parts.lacking(f"the system allows {hard} open files, too few for this test")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 3000), hard))
    files = [os.open(os.devnull, os.O_RDONLY) for _ in range(1500)]
    try:
        process = supervised(READY + SAY + "time.sleep(60)")
        process.stop()
        assert process.wait() == "was killed by SIGTERM", "the supervisor has failed by itself"
    finally:
        for file in files:
            os.close(file)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert not marked(mark)
    assert "Traceback" not in capfd.readouterr().err


def test_the_folder_it_is_given_is_removed(supervised, tmp_path):
    folder = tmp_path / "sockets"
    folder.mkdir()
    (folder / "app").touch()
    supervised(READY + SAY + "time.sleep(60)", remove=str(folder)).stop()
    assert not folder.exists()


def test_the_end_of_emulator_and_supervisor_is_the_end_of_the_app(tmp_path, mark):
    """Each killed by SIGKILL: nobody is left to end it, but it notices."""
    (tmp_path / "main.py").write_text(
        """
import subprocess

subprocess.Popen(["sleep", "60"])

def app(environ, start_response):
    start_response("200 OK", [])
    return [b""]
"""
    )
    (tmp_path / "tmp").mkdir()
    environ = {MARK: mark, "TMPDIR": str(tmp_path / "tmp")}
    emulator = RunningEmulator("main:app", "--app-dir", str(tmp_path), log=tmp_path / "log", environ=environ)
    emulator.start()
    assert len(marked(mark)) == 4
    kill_emulator_and_supervisors(emulator, mark)
    assert not left_after(mark)
    assert not list((tmp_path / "tmp").iterdir())


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux has child subreapers")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_the_end_of_the_command_is_the_end_of_all(number, tmp_path, mark):
    (tmp_path / "main.py").write_text(FAMILY)
    with (tmp_path / "log").open("w") as log:
        command = [*EMU, "serve", "main:app", "--port", "0"]
        process = subprocess.Popen(
            [*command, "--app-dir", str(tmp_path), "--state-dir", "none"],
            cwd=ROOT,
            env=os.environ | {MARK: mark},
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            start_new_session=True,
        )
    assert process.stdout is not None
    with process.stdout:
        assert process.stdout.readline().startswith("channel-emu: ready at ")
        assert len(marked(mark)) == 5
        # The whole group, as a terminal does for Ctrl-C; a plain kill reaches the command alone.
        (os.killpg if number == signal.SIGINT else os.kill)(process.pid, number)
        status = process.wait(LONG_ENOUGH)
    assert not left_after(mark)
    assert status == (0 if number != signal.SIGKILL else -9)
    assert "Traceback" not in (tmp_path / "log").read_text()
