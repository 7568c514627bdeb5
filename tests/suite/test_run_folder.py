"""A run leaves no folder and no process behind, by Ctrl-C neither."""

from __future__ import annotations

import os
import signal
import subprocess

import pytest

from tests.suite.conftest import BY_WORKERS
from tests.support.processes import MARK, left_after, marked, running_command
from tests.support.waiting import LONG_ENOUGH, until

pytestmark = pytest.mark.slow

# A process that has just begun has no environment yet, by which it could be known.
STARTS = """
import os, subprocess, time
def test_starts(tmp_path):
    process = subprocess.Popen(["sleep", "1000"], start_new_session=True)
    environment = "/proc/%d/environ" % process.pid
    while os.path.exists(environment) and not open(environment).read():
        time.sleep(0.01)
    {}
"""


SHORT = """
from tests.support import run_folder
run_folder.ENDING_SECONDS = 0.5
"""


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """Where the project's run makes its folder."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    return folder


def test_a_process_that_outlives_the_tests_is_killed_and_fails_the_run(run, temporary):
    status, said = run(test_it=STARTS.format("process.returncode = 0"), conftest=SHORT)
    assert status == 1, said
    assert "1 passed" in said
    assert "ERROR sleep 1000\n" in said.partition("processes that outlived the tests, and were killed")[2]
    assert not list(temporary.iterdir())


def test_everything_temporary_is_in_one_folder(run, temporary):
    source = """
import os, pathlib, subprocess, sys, tempfile
def test_it(tmp_path):
    folder = pathlib.Path(os.environ["TMPDIR"])
    assert folder.parent == pathlib.Path({!r})
    assert folder in tmp_path.parents
    assert pathlib.Path(tempfile.mkdtemp()).parent == folder
    code = "import tempfile; print(tempfile.mkdtemp())"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip()
    assert pathlib.Path(other).parent == folder
"""
    status, said = run(test_it=source.format(str(temporary)))
    assert status == 0, said
    assert not list(temporary.iterdir())


def test_a_folder_that_is_asked_for_is_kept(project):
    source = "def test_it(tmp_path): (tmp_path / 'kept').touch()\n"
    assert project.run(f"--basetemp={project.folder / 'mine'}", test_it=source)[0] == 0
    assert list((project.folder / "mine").rglob("kept"))


def test_ctrl_c(project, temporary):
    """As a terminal sends it: to every process of its group."""
    project.write(test_it=STARTS.format("time.sleep(1000)") + "def test_other(): test_starts(None)\n")
    command, mark = project.command(*BY_WORKERS, "-n", "2"), str(project.folder)
    environ = project.environ() | {MARK: mark}
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    with running_command(
        command, cwd=project.folder, env=environ, **streams, start_new_session=True, preexec_fn=heed_interrupts
    ) as run:
        until(lambda: list(marked(mark).values()).count("sleep 1000") == 2)
        os.killpg(run.pid, signal.SIGINT)
        said, _ = run.communicate(timeout=LONG_ENOUGH)
    assert run.returncode == 2, said
    assert not left_after(mark, 0)
    assert not list(temporary.iterdir())


def heed_interrupts() -> None:
    """Also where these tests themselves run in a shell's background."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
