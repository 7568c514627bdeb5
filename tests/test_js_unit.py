"""The browser client by itself: its unit tests under Node, its size, and its language."""

from __future__ import annotations

import gzip
import subprocess
from pathlib import Path

from calmjs.parse import es5

from tests.support import parts

SCRIPT = parts.ROOT / "js" / "goog_appengine_channel.js"
UNIT_TESTS = Path(__file__).parent / "js"


def test_unit_tests_under_node():
    files = sorted(str(path) for path in UNIT_TESTS.glob("*.test.js"))
    assert files, f"no unit tests in {UNIT_TESTS}"
    command = [str(parts.need(parts.node)), "--test", *files]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert answer.returncode == 0, f"{answer.stdout}\n{answer.stderr}"


def test_it_is_small():
    script = SCRIPT.read_bytes()
    assert len(script) < 16 * 1024
    assert len(gzip.compress(script, 9)) < 6 * 1024


def test_browsers_of_2011_can_read_it():
    source = SCRIPT.read_text("utf-8")
    assert es5(source).children(), "the script is empty"
    assert source.isascii(), "a page of another encoding would garble the script"
