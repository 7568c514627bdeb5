"""What starting costs: seconds to the ready line, and resident memory once it is there.

    python bench/start.py [module:callable folder]

Prints medians of five starts, of the emulator alone or with the app, and exits with 1 when one is over its bar.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

from command_line import parser

STARTS = 5
MEBIBYTE = 1024


def descendants(process_id: int) -> list[int]:
    """The processes that this one has started, and theirs."""
    found = []
    for task in Path(f"/proc/{process_id}/task").iterdir():
        for child in (task / "children").read_text().split():
            found += [int(child), *descendants(int(child))]
    return found


def resident(process_id: int) -> float:
    """Resident memory in MiB."""
    lines = Path(f"/proc/{process_id}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / MEBIBYTE


def start(arguments: list[str]) -> tuple[float, float, float]:
    """One start: seconds, MiB of the emulator, MiB of all that it started."""
    command = [sys.executable, "-m", "appengine_channel_emu", "serve", "--port", "0", "--state-dir", "none", *arguments]
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        seconds = time.perf_counter() - began
        assert line.startswith(b"channel-emu: ready"), line
        others = [resident(child) for child in descendants(process.pid)]
        return seconds, resident(process.pid), max(others, default=0.0)
    finally:
        process.terminate()
        process.wait()


def main() -> int:
    """Measure and print."""
    made = parser(__doc__, "about five seconds")
    made.add_argument("app", nargs="*", metavar="module:callable folder", help="the app to start with it")
    arguments = made.parse_args().app
    if len(arguments) not in (0, 2):
        made.error("an app is given by module:callable and its folder")
    app = [arguments[0], "--app-dir", arguments[1]] if arguments else []
    seconds, memory, instance = (
        statistics.median(column) for column in zip(*(start(app) for _ in range(STARTS)), strict=True)
    )
    bar = 1.0 if app else 0.5
    print(f"ready after {seconds:.3f} s (bar {bar} s), emulator {memory:.1f} MiB (bar 60)", end="")
    print(f", app's process {instance:.1f} MiB (bar 60)" if app else "")
    return int(seconds > bar or memory > 60 or instance > 60)


if __name__ == "__main__":
    sys.exit(main())
