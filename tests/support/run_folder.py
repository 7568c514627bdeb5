"""A pytest plugin: one temporary folder for a run, and neither folder nor process left when it ends, by Ctrl-C too.

The folder is `TMPDIR` of everything that the tests start, which is also how it is known what they have started. A
process that outlives the tests is killed, and fails the session. To look at what a test has written to `tmp_path`, give
pytest `--basetemp=FOLDER`.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.support.processes import started_below

FOLDERS = ("TMPDIR", "XDG_RUNTIME_DIR")
"""The second is where emulators say that they run: none of the tests' is to be found by the verbs of who runs them."""

ENDING_SECONDS = 10.0
"""As long may a process take that was told to end."""


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Before pytest looks where temporary folders go. Workers of pytest-xdist get theirs from their controller."""
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(RunFolder(config), "run-folder")


class RunFolder:
    """The folder of one run; made at once."""

    def __init__(self, config: pytest.Config) -> None:
        self._before = {variable: os.environ.get(variable) for variable in FOLDERS}
        self._left: list[str] = []
        # Short: paths of Unix sockets have room for 107 bytes.
        self._folder = Path(tempfile.mkdtemp(prefix="emu-"))
        self._use(dict.fromkeys(FOLDERS, str(self._folder)))
        if not config.option.basetemp:
            config.option.basetemp = str(self._folder / "t")

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """The fixtures have ended what they started, and the workers have gone."""
        if exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
            self._left = self._wait_and_kill(ENDING_SECONDS)
            if self._left:
                session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self._left:
            terminalreporter.write_sep("=", "processes that outlived the tests, and were killed")
            for command in self._left:
                terminalreporter.write_line(f"ERROR {command}", red=True)

    @pytest.hookimpl(trylast=True)
    def pytest_unconfigure(self) -> None:
        """Whatever the session came to."""
        with _without_interrupts():
            self._wait_and_kill(0)
            shutil.rmtree(self._folder, ignore_errors=True)
        self._use(self._before)

    def _wait_and_kill(self, seconds: float) -> list[str]:
        """The command lines of what did not end in so many seconds."""
        give_up = time.monotonic() + seconds
        while (left := started_below(self._folder)) and time.monotonic() < give_up:
            time.sleep(0.05)
        commands = sorted(left.values())
        while left:
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            left = started_below(self._folder)
        return commands

    def _use(self, folders: Mapping[str, str | None]) -> None:
        for variable, value in folders.items():
            os.environ.pop(variable, None)
            if value is not None:
                os.environ[variable] = value
        tempfile.tempdir = None


@contextlib.contextmanager
def _without_interrupts() -> Iterator[None]:
    """Ctrl-C again: we are at it."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
