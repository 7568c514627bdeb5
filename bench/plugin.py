"""What the pytest plugin costs: 200 tests that each run a channel from connect to expiry, and the same without it.

python bench/plugin.py [number of tests]
"""

from __future__ import annotations

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


def seconds(code: str, *options: str) -> float:
    """The whole session, from starting Python to its end."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "test_it.py").write_text(code)
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options, folder]
        started = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return time.perf_counter() - started


def main(tests: int = 200, rounds: int = 3) -> None:
    """Print the medians of both, measured in turns."""
    pairs = [
        (seconds(WITHOUT.format(tests=tests), "-p", "no:channel_emu"), seconds(WITH.format(tests=tests)))
        for _ in range(rounds)
    ]
    without, used = (sorted(times)[rounds // 2] for times in zip(*pairs, strict=True))
    print(f"{tests} tests without the plugin: {without:.2f} s; with an emulator in each: {used:.2f} s")
    print(f"difference: {used - without:.2f} s")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
