"""Which processes are left: those whose environment carries a mark that a test has chosen."""

from __future__ import annotations

import subprocess
import time

MARK = "TEST_PROCESS_MARK"


def marked(mark: str) -> dict[int, str]:
    """Process id and command line of everything that was started with `MARK=mark` in its environment."""
    listing = subprocess.run(["ps", "axeww", "-o", "pid=,stat=,args="], capture_output=True, text=True, check=True)
    found = {}
    for line in listing.stdout.splitlines():
        pid, state, command = line.split(None, 2)
        if f"{MARK}={mark}" in command.split() and not state.startswith("Z"):
            found[int(pid)] = command.split(f"{MARK}=")[0]
    return found


def left_after(mark: str, seconds: float) -> dict[int, str]:
    """What is still there after at most `seconds`; returns as soon as there is nothing."""
    give_up = time.monotonic() + seconds
    while (found := marked(mark)) and time.monotonic() < give_up:
        time.sleep(0.05)
    return found
