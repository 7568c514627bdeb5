"""Which processes are left: those whose environment carries a mark that a test has chosen."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.support.emulator import RunningEmulator
from tests.support.waiting import LONG_ENOUGH

MARK = "TEST_PROCESS_MARK"

_PROC = Path("/proc")


@contextlib.contextmanager
def running_command(command: Sequence[str], **options: Any) -> Iterator[subprocess.Popen[str]]:
    """`command`, with `options` of Popen's. It is killed at the end if it still runs, whatever the test came to."""
    with subprocess.Popen(command, text=True, **options) as process:
        try:
            yield process
        finally:
            process.kill()


def default_signals() -> None:
    """For `preexec_fn`: a run of tests in the background has these ignored, and so would all that it starts."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def marked(mark: str) -> dict[int, str]:
    """Process id and command line of everything that was started with `MARK=mark` in its environment."""
    return started_with(lambda variables: f"{MARK}={mark}" in variables)


def started_below(folder: Path) -> dict[int, str]:
    """The same, of everything for which `folder`, or one in it, is the temporary folder."""
    whole, parts = f"TMPDIR={folder}", f"TMPDIR={folder}/"
    return started_with(lambda variables: any(each == whole or each.startswith(parts) for each in variables))


def started_with(wanted: Callable[[list[str]], bool]) -> dict[int, str]:
    """Process id and command line of everything that runs with an environment (`NAME=value` each) as `wanted`."""
    every = _from_proc() if (_PROC / "self").exists() else _from_ps()
    return {pid: command for pid, command, variables in every if wanted(variables)}


def _from_proc() -> Iterator[tuple[int, str, list[str]]]:
    """Id, command line and environment of each process that is ours to see. What has ended has neither any more."""
    for folder in _PROC.iterdir():
        with contextlib.suppress(OSError):
            if folder.name.isdecimal() and (environment := (folder / "environ").read_bytes()):
                command = (folder / "cmdline").read_bytes().rstrip(b"\0").replace(b"\0", b" ")
                yield int(folder.name), os.fsdecode(command), os.fsdecode(environment).split("\0")


def _from_ps() -> Iterator[tuple[int, str, list[str]]]:
    """The same where there is no /proc."""
    # Twice: only the second listing says where a command line ends and its environment begins.
    with_environment, alone = _listing("axeww", "args="), _listing("axww", "stat=,args=")
    for pid, line in with_environment.items():
        state, _, command = alone.get(pid, "Z").partition(" ")
        if not state.startswith("Z"):
            yield pid, command.strip(), line.split()


def _listing(which: str, columns: str) -> dict[int, str]:
    listing = subprocess.run(["ps", which, "-o", f"pid=,{columns}"], capture_output=True, text=True, check=True)
    lines = [line.split(None, 1) for line in listing.stdout.splitlines()]
    return {int(line[0]): line[1] for line in lines if len(line) == 2}


def left_after(mark: str, seconds: float = LONG_ENOUGH) -> dict[int, str]:
    """What is still there after at most `seconds`; returns as soon as there is nothing."""
    give_up = time.monotonic() + seconds
    while (found := marked(mark)) and time.monotonic() < give_up:
        time.sleep(0.05)
    return found


def kill_emulator_and_supervisors(emulator: RunningEmulator, mark: str) -> None:
    """At one blow: none of them can do anything about the others' end."""
    guards = [pid for pid, command in marked(mark).items() if "supervisor.py" in command]
    assert guards
    assert emulator.pid
    everyone = [emulator.pid, *guards]
    for pid in everyone:
        os.kill(pid, signal.SIGSTOP)
    for pid in everyone:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    emulator.kill(signal.SIGKILL)
