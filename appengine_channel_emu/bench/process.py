"""A server in a process of its own, and what it uses of the machine (Linux: proc(5))."""

from __future__ import annotations

import contextlib
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

READY = "ready at http"
STOP_SECONDS = 15


class EmulatorDidNotStart(Exception):
    """The server came to nothing; it has said why on standard error."""


class ServerProcess:
    """`command`, which prints a ready line with its URL at the end; a context manager that starts and ends it.

    It runs in a folder of its own and without our `CHANNEL_EMU_` variables, so that nothing of the user's project
    configures it. Raises `EmulatorDidNotStart`.
    """

    def __init__(self, command: Sequence[str]) -> None:
        self._command = list(command)
        self._stack = contextlib.ExitStack()
        self.url = ""
        self.process_id = 0

    def __enter__(self) -> ServerProcess:
        with contextlib.ExitStack() as stack:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="channel-emu-bench-"))
            process = subprocess.Popen(
                self._command, stdout=subprocess.PIPE, cwd=folder, env=_environment(), stderr=sys.stderr, text=True
            )
            stack.callback(_end, process)
            assert process.stdout is not None
            line = process.stdout.readline()
            if READY not in line:
                raise EmulatorDidNotStart("the server did not start")
            self.url, self.process_id = line.split()[-1], process.pid
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stack.close()

    def cpu(self) -> float:
        """Seconds of CPU so far."""
        return time.clock_gettime(~self.process_id << 3 | 2)  # As clock_getcpuclockid(3) has it: proc(5) counts 10 ms.

    def memory(self) -> float:
        """Resident KiB."""
        lines = self._proc("status").splitlines()
        return float(next(line for line in lines if line.startswith("VmRSS")).split()[1])

    def threads(self) -> int:
        """How many there are."""
        return len(list(Path(f"/proc/{self.process_id}/task").iterdir()))

    def descriptors(self) -> int:
        """Open files and connections."""
        return len(os.listdir(f"/proc/{self.process_id}/fd"))

    def _proc(self, name: str) -> str:
        return Path(f"/proc/{self.process_id}/{name}").read_text()


def emulator(*arguments: str) -> ServerProcess:
    """An emulator without an app on a free port, which keeps nothing; `arguments` are those of `channel-emu serve`."""
    command = [sys.executable, "-m", "appengine_channel_emu", "serve", "--port", "0", "--state-dir", "none"]
    return ServerProcess([*command, *arguments])


def can_be_watched() -> bool:
    """Whether this system tells what a process uses in the way that `ServerProcess` reads."""
    return Path("/proc/self/status").exists()


def allow_connections(count: int) -> bool:
    """Let this process have so many connections; whether the system allows it."""
    wanted = count + 200
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return soft == resource.RLIM_INFINITY or soft >= wanted


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CHANNEL_EMU_")}
    # The package may have been found in the folder that we run in.
    paths = [str(Path(__file__).parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])]
    return kept | {"PYTHONPATH": os.pathsep.join(paths)}


def _end(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()
