"""The scripts in bench/ say what they are before they run anything."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.parts import ROOT
from tests.support.waiting import LONG_ENOUGH

BENCH = ROOT / "bench"
SCRIPTS = sorted(file.name for file in BENCH.glob("*.py") if '__name__ == "__main__"' in file.read_text("utf-8"))
STARTED_BY_OTHERS = {"raw_server.py", "asgi_server.py"}

# All in one process, which imports what they share once.
ASK = """
import os, runpy, subprocess, sys
def no_process(*arguments, **options):
    raise AssertionError("it starts something")
subprocess.Popen.__init__ = no_process
sys.path.insert(0, os.path.dirname(sys.argv[1]))
for script in list(sys.argv[1:]):
    sys.argv[:] = [script, "--help"]
    print("script", script, flush=True)
    try:
        runpy.run_path(script, run_name="__main__")
    except SystemExit as end:
        print("ended", end.code, flush=True)
"""


@pytest.fixture(scope="module")
def answers():
    """What each says, by its name."""
    command = [sys.executable, "-c", ASK, *(str(BENCH / name) for name in SCRIPTS)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=LONG_ENOUGH, check=False)
    assert done.returncode == 0, done.stderr
    parts = done.stdout.split(f"script {BENCH}/")[1:]
    return dict(part.split("\n", 1) for part in parts)


@pytest.mark.parametrize("name", SCRIPTS)
def test_help_describes_and_runs_nothing(answers, name):
    text = answers[name]
    assert text.startswith("usage: "), text
    assert text.endswith("ended 0\n"), text
    documented = (BENCH / name).read_text("utf-8").split('"""')[1].splitlines()[0]
    assert documented in text
    assert name in STARTED_BY_OTHERS or "\nIt takes about " in text


def test_make_bench_calls_them_all():
    makefile = (ROOT / "Makefile").read_text("utf-8")
    assert {name for name in SCRIPTS if f"bench/{name}" not in makefile} - STARTED_BY_OTHERS == set()


def test_the_guide_lists_them_all():
    guide = (ROOT / "docs" / "benchmarks.md").read_text("utf-8")
    assert {name for name in SCRIPTS if f"`bench/{name}`" not in guide} - STARTED_BY_OTHERS == set()
