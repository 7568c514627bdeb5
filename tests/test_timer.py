"""Calls that are due in the machine's time, on one thread of their own."""

from __future__ import annotations

import os
import threading

import pytest

from appengine_channel_emu.broker.broker import EmbeddedBroker
from appengine_channel_emu.broker.clock import SystemClock
from appengine_channel_emu.server.service import run_broker_timers
from appengine_channel_emu.timer import TimerThread
from tests.support.waiting import LONG_ENOUGH, until


@pytest.fixture
def timer():
    timer = TimerThread()
    yield timer
    timer.stop()


def test_what_is_due_sooner_than_the_rest_is_called_sooner(timer):
    called = threading.Event()
    timer.at(timer.now() + 60, lambda: None)
    timer.at(timer.now() + 0.01, called.set)
    assert called.wait(LONG_ENOUGH)


def test_a_call_that_fails_takes_no_other_with_it(timer, caplog):
    called = threading.Event()
    timer.at(timer.now(), lambda: 1 / 0)
    timer.at(timer.now(), called.set)
    assert called.wait(LONG_ENOUGH)
    assert "A timer failed" in caplog.text


def test_nothing_is_called_before_it_is_due(timer):
    seen, called = [], threading.Event()
    due = timer.now() + 0.05
    timer.at(due, lambda: (seen.append(timer.now()), called.set()))
    assert called.wait(LONG_ENOUGH)
    assert seen[0] >= due


def test_its_thread_is_there_while_something_is_to_come(timer):
    for _ in range(3):
        called = threading.Event()
        timer.at(timer.now() + 0.01, called.set)
        assert called.wait(LONG_ENOUGH)
        until(lambda: timer._thread is None)


def test_what_is_repeated_goes_on_whatever_it_raises(timer, caplog):
    called = threading.Semaphore(0)
    timer.repeat(lambda: called.release() or 1 / 0, lambda: 0.001)
    for _ in range(5):
        assert called.acquire(timeout=LONG_ENOUGH)
    assert "A timer failed" in caplog.text


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, GeneratorExit])
def test_its_thread_ends_by_nothing_that_is_raised(timer, caplog, error):
    called = threading.Event()

    def fail():
        raise error

    timer.at(timer.now(), fail)
    timer.at(timer.now() + 0.01, called.set)
    assert called.wait(LONG_ENOUGH)
    assert "A timer failed" in caplog.text


def test_where_no_thread_can_be_started_nothing_is_set_and_the_next_call_tries_again(timer, monkeypatch):
    def fail(thread):
        raise RuntimeError("can't start new thread")

    called, too_late = threading.Event(), threading.Event()
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", fail)
        with pytest.raises(RuntimeError, match="new thread"):
            timer.at(timer.now(), too_late.set)
    timer.at(timer.now() + 0.01, called.set)
    assert called.wait(LONG_ENOUGH)
    assert not too_late.is_set()


def test_what_is_due_beyond_what_the_system_can_wait_for_holds_up_nothing(timer, caplog):
    called = threading.Event()
    timer.at(timer.now() + 2 * threading.TIMEOUT_MAX, lambda: None)
    timer.at(timer.now() + 0.01, called.set)
    assert called.wait(LONG_ENOUGH)
    assert timer._thread.is_alive()


def test_a_thread_that_something_has_ended_is_replaced(timer, monkeypatch):
    """A test of somebody's that has every Condition.wait fail: it strikes this thread when it next waits."""
    ended, called = threading.Event(), threading.Event()
    monkeypatch.setattr(threading, "excepthook", lambda details: ended.set())
    waited = threading.Condition.wait

    def fail(condition, timeout=None):
        if threading.current_thread() is timer._thread:
            raise AssertionError("nothing has to be waited for")
        return waited(condition, timeout)

    with monkeypatch.context() as patched:
        patched.setattr(threading.Condition, "wait", fail)
        timer.at(timer.now() + 60, lambda: None)
        assert ended.wait(LONG_ENOUGH)
    timer._thread.join()
    timer.at(timer.now(), called.set)
    assert called.wait(LONG_ENOUGH)


def test_a_call_may_come_while_another_is_under_way(timer):
    """As from a signal's handler."""
    with timer._changed:
        timer.at(timer.now() + 60, lambda: None)
    assert timer._thread is not None


def test_a_forked_process_has_a_thread_of_its_own_and_nothing_to_come(timer):
    parent, called, held, forked = os.getpid(), threading.Event(), threading.Event(), threading.Event()
    timer.at(timer.now() + 0.2, lambda: called.set() if os.getpid() == parent else os._exit(1))

    def hold():
        """As a thread may that the child does not have."""
        with timer._changed:
            held.set()
            forked.wait(LONG_ENOUGH)

    threading.Thread(target=hold).start()
    assert held.wait(LONG_ENOUGH)
    child = os.fork()
    if not child:
        threading.Timer(10, os._exit, (2,)).start()
        ended = threading.Event()
        timer.at(timer.now() + 0.3, ended.set)
        ended.wait()
        timer.stop()
        os._exit(0)
    forked.set()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert called.wait(LONG_ENOUGH)


def test_nothing_is_called_after_the_stop(timer):
    called = threading.Event()
    timer.at(timer.now() + 0.05, called.set)
    timer.stop()
    timer.at(timer.now(), called.set)
    assert not called.wait(0.1)


class TestLimit:
    def test_it_is_called_while_the_block_goes_on(self, timer):
        called = threading.Event()
        with timer.limit(0.01, called.set):
            assert called.wait(LONG_ENOUGH)

    def test_it_is_not_called_once_the_block_has_been_left(self, timer):
        called, over = threading.Event(), threading.Event()
        with timer.limit(0.02, called.set):
            pass
        timer.at(timer.now() + 0.05, over.set)
        assert over.wait(LONG_ENOUGH)
        assert not called.is_set()

    def test_the_block_is_not_left_while_it_is_being_called(self, timer):
        begun, ended = threading.Event(), []

        def slow():
            begun.set()
            threading.Event().wait(0.05)
            ended.append(True)

        with timer.limit(0.0, slow):
            assert begun.wait(LONG_ENOUGH)
        assert ended

    def test_none_is_no_limit(self, timer):
        with timer.limit(None, lambda: 1 / 0):
            pass
        assert timer._thread is None

    def test_each_of_many_has_its_own(self, timer):
        called = []
        with timer.limit(60, lambda: called.append("long")):
            over = threading.Event()
            with timer.limit(0.01, lambda: (called.append("short"), over.set())):
                assert over.wait(LONG_ENOUGH)
        assert called == ["short"]


def test_a_timer_of_the_brokers_that_fails_stops_no_other(timer, caplog):
    broker, ran = EmbeddedBroker(SystemClock()), threading.Event()

    def fail():
        raise ValueError("a mistake of ours")

    with broker._turn:
        broker._turn.timers.set(broker.clock.now(), fail)
        broker._turn.timers.set(broker.clock.now() + 0.01, ran.set)
    run_broker_timers(broker, timer)
    assert ran.wait(15)
    assert "a mistake of ours" in caplog.text
