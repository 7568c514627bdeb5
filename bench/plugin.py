"""What the pytest plugin costs, in pairs of sessions that take turns, so that a busy machine is unfair to neither.

    python bench/plugin.py [--tests 200] [--rounds 5]

200 tests that each run a channel from connect to expiry, against 200 empty ones without the plugin (bound: 2 s more
of CPU time, which is what the clock shows where nothing else runs). A session that does not use the plugin pays for its
import, which is measured in fresh interpreters (bound: 20 ms).
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from command_line import parser

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


IMPORT = """
import pytest, time
started = time.process_time()
import appengine_channel_emu.pytest_plugin
print(time.process_time() - started)
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


def import_seconds() -> float:
    """CPU seconds that the plugin's import takes, pytest's own apart."""
    environ = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", IMPORT], check=True, capture_output=True, text=True, env=environ)
    return float(done.stdout)


def main() -> int:
    """Print the medians of the pairs and of their difference; 1 where one is past its bound."""
    made = parser(__doc__, "about a minute")
    made.add_argument("--tests", type=int, default=200, help="in each session")
    made.add_argument("--rounds", type=int, default=5)
    options = made.parse_args()
    tests, rounds = options.tests, options.rounds
    pairs = [(run(WITHOUT.format(tests=tests), False), run(WITH.format(tests=tests), True)) for _ in range(rounds)]
    for name, side in (("without the plugin", 0), ("with an emulator in each", 1)):
        clock, cpu = (statistics.median(pair[side][kind] for pair in pairs) for kind in (0, 1))
        print(f"{tests} tests {name:24} {clock:6.2f} s  (CPU {cpu:5.2f} s)")
    more, more_cpu = (statistics.median(used[kind] - without[kind] for without, used in pairs) for kind in (0, 1))
    unused = statistics.median(import_seconds() for _ in range(rounds))
    print(f"an emulator in each costs {more:.2f} s more (CPU {more_cpu:.2f} s, at most {LARGEST_COST:g} s)")
    print(f"unused, the plugin costs {1000 * unused:.1f} ms (at most {1000 * LARGEST_COST_UNUSED:.0f} ms)")
    return int(more_cpu > LARGEST_COST or unused > LARGEST_COST_UNUSED)


if __name__ == "__main__":
    sys.exit(main())
