"""The scripts in bench/ say what they are before they run anything."""

from __future__ import annotations

import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import pytest

from tests.support.parts import ROOT
from tests.support.waiting import LONG_ENOUGH

pytestmark = pytest.mark.slow

BENCH = ROOT / "bench"
SVG = "{http://www.w3.org/2000/svg}"
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


def run(name, *arguments):
    command = [sys.executable, str(BENCH / name), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=LONG_ENOUGH, check=False)
    # 1 is a bar missed, which so few pages do not tell of.
    assert done.returncode in (0, 1), done.stderr
    return done


def test_every_peer_is_measured_in_turn(tmp_path):
    chart = tmp_path / "peers.svg"
    few = ["--pages", "40", "--pages-with-posts", "20", "--sends", "20", "--rounds", "2", "--settle", "0.1"]
    done = run("peers.py", *few, "--no-dev-server", "--chart", str(chart))
    peers = ["channel-emu", "uvicorn, httptools", "uvicorn, h11", "bare asyncio"]
    assert [line.partition(": ")[2] for line in done.stderr.splitlines()] == [f"{name} ..." for name in peers * 2]
    lines = done.stdout.splitlines()
    assert lines[0] == "medians of 2 rounds"
    figures = [line[46:].split() for line in lines[2:10]]
    assert all(float(each.replace(",", "")) > 0 for row in figures[:-1] for each in row)
    verdicts = [line[:4] for line in lines[10:]]
    assert len(verdicts) == 5
    assert set(verdicts) <= {"ok  ", "MISS"}
    assert done.returncode == int("MISS" in verdicts)
    drawn = ElementTree.parse(chart).getroot()
    assert len([each for each in drawn.iter(f"{SVG}rect") if each.get("class") in ("bar", "ours")]) >= 5 * len(peers)
    assert drawn.get("aria-label").startswith("What a message costs")


def test_many_pages_each_get_a_message():
    done = run("many_pages.py", "--pages", "60", "--hold", "1")
    assert done.returncode == 0, done.stdout
    assert "60 open after" in done.stdout
    rows = {line[5:67].strip(): line for line in done.stdout.splitlines() if line.startswith("ok ")}
    assert " 60.000 " in rows["pages that got their message, once"]
    assert " 31.000 " in rows["of them streams"]


def test_more_pages_than_files_is_said_before_anything_is_opened():
    done = subprocess.run(
        [sys.executable, str(BENCH / "many_pages.py"), "--pages", "100000000"],
        capture_output=True, text=True, cwd=ROOT, timeout=LONG_ENOUGH, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert "100,000,000 pages want more files than are allowed here" in done.stderr
    assert "ulimit -Hn 100000500" in done.stderr
