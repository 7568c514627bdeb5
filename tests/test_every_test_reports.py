"""No test is lost: those that are collected report, and those that are written are collected."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections import Counter

import pytest

from tests.support.parts import ROOT

PROGRAMS = ROOT.glob("tests/**/*.py"), ROOT.glob("sample_app/tests/*.py")
OLD_PYTHON = "tests/legacy_apps/apps"

WAYS = {"here": (), "by workers": ("-p", "xdist", "-n", "2", "--dist", "loadfile")}
FINE = "def test_one(): pass\ndef test_two(): pass\n"
SAME_ID = """
import pytest
def pytest_pycollect_makeitem(collector, name, obj):
    if name == "test_two":
        return pytest.Function.from_parent(collector, name="test_one", callobj=obj)
"""
SILENT = "def pytest_collection_modifyitems(items):\n    del items[0]\n"
SAID = """
def pytest_collection_modifyitems(items, config):
    config.hook.pytest_deselected(items=items[:1])
    del items[0]
"""
UNHEARD = """
import pytest
@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item):
    return True if "two" in item.name else None
"""


@pytest.fixture
def project(tmp_path):
    """Runs a project of its own with the plugin, with the files that are given: exit status, what was said, the books.

    The first is a file of tests.
    """

    def run(*arguments, **files):
        (tmp_path / "pytest.ini").write_text("[pytest]\ntestpaths = .\n")
        for name, text in files.items():
            (tmp_path / f"{name}.py").write_text(text)
        plugins = ("-p", "tests.support.accounting", "-p", "pytest_rerunfailures")
        command = [sys.executable, "-m", "pytest", "-q", *plugins, *arguments]
        environ = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
        environ |= {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            command, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=60, check=False
        )
        books = json.loads((tmp_path / ".pytest_cache/v/accounting/lost").read_text())
        return done.returncode, done.stdout + done.stderr, books

    return run


@pytest.mark.parametrize("way", WAYS)
def test_all_is_well(project, way):
    status, said, books = project(*WAYS[way], test_it=FINE)
    assert (status, books) == (0, [])
    assert "collected 2, reported 2\n" in said
    assert said.splitlines()[-1].startswith("2 passed")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("conftest", "counts", "what"),
    [
        (SAME_ID, "collected 2, reported 1", "2 tests share this id"),
        (UNHEARD, "collected 2, reported 1", "test_it.py::test_two: was collected and never reported"),
        (SILENT, "collected 1, reported 1, left out 1", "test_it.py::test_one: was left out, and no option asks"),
        (SAID, "collected 1, reported 1, left out 1", "test_it.py::test_one: was left out, and no option asks"),
    ],
    ids=["one id twice", "never reported", "taken out without a word", "deselected by a hook"],
)
def test_a_test_that_is_lost_fails_the_session(project, conftest, counts, what, way):
    status, said, books = project(*WAYS[way], test_it=FINE, conftest=conftest)
    assert status == 1, said
    assert f"{counts}\n" in said
    assert what in said
    assert len(books) == 1
    assert what in books[0]
    assert " passed" in said.splitlines()[-1]


@pytest.mark.parametrize("way", WAYS)
def test_what_somebody_asks_to_leave_out_is_counted_and_no_failure(project, way):
    status, said, books = project(*WAYS[way], "-k", "two", test_it=FINE)
    assert (status, books) == (0, [])
    assert "collected 1, reported 1, left out 1\n" in said


@pytest.mark.parametrize("way", WAYS)
def test_those_that_fail_are_skipped_or_break_in_a_fixture_have_reported(project, way):
    source = """
import pytest
@pytest.fixture
def broken(): raise OSError
@pytest.fixture
def ends_badly():
    yield
    raise OSError
def test_failing(): assert 0
def test_skipped(): pytest.skip("no")
@pytest.mark.skip
def test_never_begun(): pass
def test_without_its_fixture(broken): pass
def test_that_ends_badly(ends_badly): pass
@pytest.mark.xfail
def test_expected(): assert 0
"""
    status, said, books = project(*WAYS[way], test_it=source)
    assert (status, books) == (1, [])
    assert "collected 6, reported 6\n" in said


@pytest.mark.parametrize("way", WAYS)
def test_one_that_is_run_again_has_reported_once(project, way):
    source = "tries = []\ndef test_flaky():\n    tries.append(1)\n    assert len(tries) == 2\n"
    status, said, books = project(*WAYS[way], "--reruns", "1", test_it=source)
    assert (status, books) == (0, []), said
    assert "collected 1, reported 1\n" in said


CRASH = """
import os, pathlib
def test_before(): pass
def test_crash():
    before = pathlib.Path("crashes")
    if {condition}:
        before.touch()
        os._exit(1)
def test_after(): pass
"""


def test_a_worker_that_dies_once_takes_no_test_with_it(project):
    status, said, books = project(*WAYS["by workers"], test_it=CRASH.format(condition="not before.exists()"))
    assert (status, books) == (1, []), said
    assert "collected 3, reported 3\n" in said


def test_what_a_worker_that_dies_again_and_again_does_not_come_to_is_named(project):
    arguments = ("--max-worker-restart", "1")
    status, said, books = project(*WAYS["by workers"], *arguments, test_it=CRASH.format(condition="True"))
    assert (status, books) == (1, ["test_it.py::test_after: was collected and never reported"]), said


@pytest.mark.parametrize("way", WAYS)
def test_a_file_without_tests_is_a_failure(project, way):
    skipped = "import pytest\npytest.skip('no', allow_module_level=True)\ndef test_it(): pass\n"
    status, said, books = project(*WAYS[way], test_it=FINE, test_skipped=skipped)
    assert status == 1, said
    assert books == ["test_skipped.py: no test of this file was collected"]


def test_a_session_that_is_stopped_keeps_no_clean_books(project):
    status, _, books = project("-x", test_it="def test_one(): assert 0\ndef test_two(): pass\n")
    assert status == 1
    assert books == ["the session did not come to its end"]


# What is written


def definitions(body, where=""):
    """The names of the functions and classes, with those of classes inside."""
    for each in body:
        if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield f"{where}{each.name}"
        if isinstance(each, ast.ClassDef):
            yield from definitions(each.body, f"{where}{each.name}.")


def test_no_test_is_hidden_by_a_later_one_of_its_name():
    """Ruff does not look at all of these files."""
    hidden, seen = [], 0
    for path in (path for paths in PROGRAMS for path in paths):
        name = path.relative_to(ROOT).as_posix()
        if not name.startswith(OLD_PYTHON):
            counts = Counter(definitions(ast.parse(path.read_text("utf-8")).body))
            hidden += [f"{name}: {each}" for each, count in counts.items() if count > 1]
            seen += len(counts)
    assert not hidden
    assert seen > 1000
