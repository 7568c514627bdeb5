"""What the pytest plugin costs, in pairs of sessions that take turns, so that a busy machine is unfair to neither.

200 tests that each run a channel from connect to expiry, against 200 empty ones without the plugin (bound: 2 s more);
200 empty tests with the plugin loaded and not used, against the same without it (bound: 20 ms more, of CPU time).

python bench/plugin.py [number of tests [rounds]]
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

WITH = """
import pytest

@pytest.mark.parametrize("number", range({tests}))
def test_a_story(channel_emulator, channel_client, channel_clock, number):
    page = channel_client("anna")
    channel_emulator.send_message("anna", "hello")
    assert page.receive() == "hello"
    channel_clock.advance(7200)
    assert page.error.code == 401
"""

WITHOUT = """
import pytest

@pytest.mark.parametrize("number", range({tests}))
def test_nothing(number):
    assert number >= 0
"""


PLUGIN = "appengine_channel_emu.pytest_plugin"
ROOT = Path(__file__).resolve().parents[1]
LARGEST_COST, LARGEST_COST_UNUSED = 2.0, 0.02


def run(code: str, plugin: bool) -> tuple[float, float]:
    """Seconds of a whole session, from starting Python to its end: on the clock, and of CPU time."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "test_it.py").write_text(code)
        # Named, not found by its entry point: so the source tree is measured, installed or not.
        options = ["-p", "no:channel_emu", *(["-p", PLUGIN] if plugin else [])]
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options, folder]
        started, before = time.perf_counter(), os.times()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=os.environ | {"PYTHONPATH": str(ROOT)})
        after = os.times()
        cpu = after.children_user - before.children_user + after.children_system - before.children_system
        return time.perf_counter() - started, cpu


def main(tests: int = 200, rounds: int = 5) -> None:
    """Print the medians of the pairs' differences; fail where one is past its bound."""
    empty, full = WITHOUT.format(tests=tests), WITH.format(tests=tests)
    rows = [(run(empty, False), run(empty, True), run(full, True)) for _ in range(rounds)]
    for name, column in (("without the plugin", 0), ("with it, unused", 1), ("with an emulator in each", 2)):
        clock, cpu = (statistics.median(row[column][kind] for row in rows) for kind in (0, 1))
        print(f"{tests} tests {name:25} {clock:6.2f} s  (CPU {cpu:5.2f} s)")
    used = statistics.median(row[2][0] - row[0][0] for row in rows)
    unused = statistics.median(row[1][1] - row[0][1] for row in rows)
    print(f"more with an emulator in each: {used:.2f} s (at most {LARGEST_COST:g} s)")
    print(f"more with the plugin unused: {1000 * unused:.0f} ms of CPU (at most {1000 * LARGEST_COST_UNUSED:.0f} ms)")
    if used > LARGEST_COST or unused > LARGEST_COST_UNUSED:
        sys.exit("The plugin costs too much.")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
