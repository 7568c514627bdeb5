"""Calls in some milliseconds' time, on one thread of their own."""

from __future__ import annotations

import threading

import pytest

from appengine_channel_emu.server.later import LaterThread
from tests.support.waiting import LONG_ENOUGH


@pytest.fixture
def later():
    later = LaterThread()
    later.start()
    yield later
    later.stop()


def test_what_is_due_sooner_than_the_rest_is_called_sooner(later):
    called = threading.Event()
    later.at(later.now() + 60, lambda: None)
    later.at(later.now() + 0.01, called.set)
    assert called.wait(LONG_ENOUGH)


def test_a_call_that_fails_takes_no_other_with_it(later, caplog):
    called = threading.Event()
    later.at(later.now(), lambda: 1 / 0)
    later.at(later.now(), called.set)
    assert called.wait(LONG_ENOUGH)
    assert "A timer failed" in caplog.text


def test_nothing_is_called_before_it_is_due(later):
    seen, called = [], threading.Event()
    due = later.now() + 0.05
    later.at(due, lambda: (seen.append(later.now()), called.set()))
    assert called.wait(LONG_ENOUGH)
    assert seen[0] >= due
