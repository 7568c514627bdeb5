"""The suite's markers: only an unsteady test runs twice, it says why, and there are few of them."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.slow

SOURCE = """
import pytest
tries = []

@pytest.mark.unsteady("the moon is full")
def test_unsteady():
    tries.append(1)
    assert len(tries) == 2

@pytest.mark.unsteady("the moon is new")
def test_lucky(): pass

def test_steady():
    tries.append(1)
    assert len(tries) in (2, 4)
"""


def test_an_unsteady_test_may_fail_once_and_is_named(run):
    status, said = run("-k", "not steady or unsteady", test_it=SOURCE)
    assert status == 0, said
    assert "collected 2, reported 2, left out 1\n" in said
    assert "test_it.py::test_unsteady: the moon is full HAS RUN TWICE\n" in said
    assert "test_it.py::test_lucky: the moon is new\n" in said
    assert "1 rerun" in said.splitlines()[-1]


def test_any_other_fails_at_once(project):
    status, said = project.run("-k", "test_steady", test_it=SOURCE)
    assert status == 1
    assert "rerun" not in said


def test_one_that_fails_twice_has_failed(project):
    status, said = project.run("-k", "test_unsteady", test_it=SOURCE.replace("== 2", "== 3"))
    assert status == 1
    assert "1 failed" in said
    assert "HAS RUN TWICE" in said


def test_it_says_why(project):
    status, said = project.run(test_it="import pytest\n@pytest.mark.unsteady\ndef test_it(): pass\n")
    assert status == 1
    assert 'say why: @pytest.mark.unsteady("reason")' in said


def test_there_are_at_most_ten(project):
    source = """
import pytest
@pytest.mark.unsteady("so")
@pytest.mark.parametrize("number", range({}))
def test_it(number): pass
"""
    assert project.run(test_it=source.format(10))[0] == 0
    status, said = project.run(test_it=source.format(11))
    assert status == 1
    assert "11 tests are marked unsteady, 10 may be" in said


def test_soaks_are_slow(project):
    source = "import pytest\n@pytest.mark.soak\ndef test_soak(): pass\ndef test_short(): pass\n"
    assert "1 passed, 1 deselected" in project.run("-m", "slow", test_it=source)[1]
    assert "1 passed, 1 deselected" in project.run("-m", "not slow", test_it=source)[1]
