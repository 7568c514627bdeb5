"""No test is lost: those that are collected report, and those that are written are collected."""

from __future__ import annotations

import ast
from collections import Counter

import pytest

from tests.suite.conftest import BY_WORKERS
from tests.support.parts import ROOT

pytestmark = pytest.mark.slow

PROGRAMS = ROOT.glob("tests/**/*.py"), ROOT.glob("sample_app/tests/*.py")
OLD_PYTHON = "tests/legacy_apps/apps"

FINE = "def test_one(): pass\ndef test_two(): pass\n"
HALVES = """
import pytest
@pytest.mark.slow
def test_one(): pass
@pytest.mark.soak
def test_two(): pass
def test_three(): pass
"""
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


def lost(said):
    """What the section of the report has about tests that are lost."""
    section = said.partition(" every test reports ===")[2].partition("\n===")[0]
    return [line.removeprefix("ERROR ") for line in section.splitlines() if line.startswith("ERROR ")]


def test_all_is_well(run):
    status, said = run(test_it=FINE)
    assert (status, lost(said)) == (0, [])
    assert "collected 2, reported 2\n" in said
    assert said.splitlines()[-1].startswith("2 passed")


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
def test_a_test_that_is_lost_fails_the_session(run, conftest, counts, what):
    status, said = run(test_it=FINE, conftest=conftest)
    assert status == 1, said
    assert f"{counts}\n" in said
    (line,) = lost(said)
    assert what in line
    assert " passed" in said.splitlines()[-1]


def test_what_somebody_asks_to_leave_out_is_counted_and_no_failure(run):
    status, said = run("-k", "two", test_it=FINE)
    assert (status, lost(said)) == (0, [])
    assert "collected 1, reported 1, left out 1\n" in said


def test_either_half_of_the_suite_leaves_out_the_other(run):
    for half, counts in (
        ("not slow", "collected 1, reported 1, left out 2"),
        ("slow", "collected 2, reported 2, left out 1"),
    ):
        status, said = run("-m", half, test_it=HALVES)
        assert (status, lost(said)) == (0, []), said
        assert f"{counts}\n" in said


@pytest.mark.parametrize(("half", "left_out"), [("not slow", "test_three"), ("slow", "test_one")])
def test_and_nothing_of_its_own(project, half, left_out):
    conftest = (
        f"def pytest_collection_modifyitems(items):\n    items[:] = [i for i in items if i.name != {left_out!r}]\n"
    )
    status, said = project.run("-m", half, test_it=HALVES + "def test_four(): pass\n", conftest=conftest)
    assert status == 1, said
    assert lost(said) == [f"test_it.py::{left_out}: was left out, and no option asks for it"]


def test_a_file_that_is_slow_throughout_has_its_tests_in_the_other_half(project):
    slow = "import pytest\npytestmark = pytest.mark.slow\ndef test_it(): pass\n"
    status, said = project.run("-m", "not slow", test_it=FINE, test_slow=slow)
    assert (status, lost(said)) == (0, []), said


def test_those_that_fail_are_skipped_or_break_in_a_fixture_have_reported(run):
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
    status, said = run(test_it=source)
    assert (status, lost(said)) == (1, [])
    assert "collected 6, reported 6\n" in said


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
    status, said = project.run(*BY_WORKERS, test_it=CRASH.format(condition="not before.exists()"))
    assert (status, lost(said)) == (1, []), said
    assert "collected 3, reported 3\n" in said


def test_what_a_worker_that_dies_and_is_not_replaced_does_not_come_to_is_named(project):
    status, said = project.run(*BY_WORKERS, "--max-worker-restart", "0", test_it=CRASH.format(condition="True"))
    assert (status, lost(said)) == (1, ["test_it.py::test_after: was collected and never reported"]), said


def test_a_file_without_tests_is_a_failure(run):
    skipped = "import pytest\npytest.skip('no', allow_module_level=True)\ndef test_it(): pass\n"
    status, said = run(test_it=FINE, test_skipped=skipped)
    assert status == 1, said
    assert lost(said) == ["test_skipped.py: no test of this file was collected"]


def test_a_session_that_is_stopped_has_no_books(project):
    status, said = project.run("-x", test_it="def test_one(): assert 0\ndef test_two(): pass\n")
    assert status == 1
    assert "every test reports" not in said


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
