"""A child process that cannot outlive the emulator, and how soon one that crashes is started again."""

from __future__ import annotations

import contextlib
import functools
import os
import platform
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from appengine_channel_emu.environment import child_environ

_SUPERVISOR = Path(__file__).with_name("supervisor.py")
_STOP_SECONDS = 5.0

STEADY_SECONDS = 10.0
"""What lived this long did not crash at its start."""

LONGEST_PAUSE = 8.0
"""Seconds between two starts of what crashes again and again."""

VERSION_SECONDS = 5.0
_VERSION = "import sys; sys.stdout.write('.'.join(str(number) for number in sys.version_info[:3]))"


@functools.lru_cache
def python_version(python: str) -> str:
    """The version of the interpreter at `python`, with its path where it is not the one that runs us."""
    if python == sys.executable:
        return platform.python_version()
    try:
        # Not with what steers ours, such as PYTHONHOME.
        asked = subprocess.run(
            [python, "-E", "-c", _VERSION],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=VERSION_SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return python
    return f"{asked.stdout} at {python}"


class SupervisedProcess:
    """A command that runs under `supervisor.py`.

    It has a session of its own, so a Ctrl-C at the terminal does not reach it, no standard input, and writes both its
    outputs to our standard error, if no other file is given.

    command:   program and arguments.
    folder:    its current folder.
    environ:   its whole environment, but for `no_proxy`, to which this machine is added.
    inherited: file descriptors it shall keep; ours are not closed.
    remove:    a folder that the supervisor deletes when the process has ended.
    output:    a file descriptor that takes both its outputs, instead of our standard error.

    Raises OSError if the supervisor cannot be started. A command that cannot be run ends with status 127.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        folder: str,
        environ: Mapping[str, str],
        inherited: Sequence[int] = (),
        remove: str | None = None,
        output: int | None = None,
    ) -> None:
        self._lifeline, theirs = socket.socketpair()
        self._stopping = threading.Lock()
        self._remove = remove
        fds = ",".join(map(str, inherited)) or "-"
        with theirs:
            self._supervisor = subprocess.Popen(
                [sys.executable, "-I", "-S", str(_SUPERVISOR), str(theirs.fileno()), fds, remove or "-", *command],
                cwd=folder,
                env=child_environ(environ),
                stdin=subprocess.DEVNULL,
                stdout=2 if output is None else output,
                stderr=output,
                pass_fds=[theirs.fileno(), *inherited],
                start_new_session=True,
            )

    def wait(self) -> str:
        """Waits for the end and says how it ended, as in "exited with status 3" or "was killed by SIGSEGV"."""
        status = self._supervisor.wait()
        if status < 0:  # The supervisor itself was killed: what it guarded is ours to end.
            self._kill_orphans()
            status = 128 - status
        if status > 128:
            with contextlib.suppress(ValueError):
                return f"was killed by {signal.Signals(status - 128).name}"
        return f"exited with status {status}"

    def stop(self) -> None:
        """Ends the process and all it started: SIGTERM, and SIGKILL 3 seconds later. May be called again."""
        with self._stopping:
            with contextlib.suppress(OSError):
                self._lifeline.shutdown(socket.SHUT_WR)
            try:
                self._supervisor.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._supervisor.kill()
            if self._supervisor.wait() < 0:
                self._kill_orphans()
            self._lifeline.close()

    def _kill_orphans(self) -> None:
        """Kills the process's group, which only the supervisor knew until now, and removes what it would have."""
        with contextlib.suppress(OSError, ValueError):
            self._lifeline.setblocking(False)
            group = int(self._lifeline.recv(32))
            os.killpg(group, signal.SIGKILL)
        if self._remove is not None:
            shutil.rmtree(self._remove, ignore_errors=True)


class CrashPause:
    """What passes before something that has crashed is started again: nothing at first, then more each time."""

    def __init__(self) -> None:
        self._crashes = 0
        self._last = 0.0

    def crashed(self, started_at: float, ended_at: float) -> None:
        """One more run has ended; both in seconds of `time.monotonic`."""
        self._crashes = 1 if ended_at - started_at >= STEADY_SECONDS else self._crashes + 1
        self._last = ended_at

    def forget(self) -> None:
        """What is started next is another program."""
        self._crashes = 0

    @property
    def is_over(self) -> bool:
        """Whether it may be started now."""
        pause = min(LONGEST_PAUSE, 0.25 * 2 ** (self._crashes - 1)) if self._crashes > 1 else 0.0
        return time.monotonic() >= self._last + pause
