"""How many presence posts are on their way at a time."""

from __future__ import annotations

import itertools
import threading

import pytest

from appengine_channel_emu.web.channel.presence import PostThreads
from tests.support.waiting import LONG_ENOUGH, eventually


class Clock:
    """Stands still until it is moved, and knows how often it was asked."""

    def __init__(self):
        self.time = 0.0
        self.asked = 0

    def __call__(self):
        self.asked += 1
        return self.time

    def let_somebody_look(self):
        """Return when the threads have looked at the time again, and again."""
        before = self.asked
        eventually(lambda: self.asked, lambda asked: asked >= before + 10)


class Posts:
    """Pieces of work that last until they are let go; `begun` has their names."""

    def __init__(self):
        self.begun = []
        self._held = {}
        self.done = threading.Semaphore(0)

    def held(self, name):
        self._held[name] = threading.Event()

        def work():
            self.begun.append(name)
            assert self._held[name].wait(LONG_ENOUGH)
            self.done.release()

        return work

    def let_go(self, *names):
        for name in names or list(self._held):
            self._held[name].set()


@pytest.fixture
def posts():
    posts = Posts()
    yield posts
    posts.let_go()


def test_few_at_a_time_while_the_app_is_quick(posts):
    clock = Clock()
    threads = PostThreads(most=32, few=2, now=clock)
    for number in range(10):
        threads.submit(posts.held(number))
    eventually(lambda: len(posts.begun), lambda count: count == 2)
    clock.let_somebody_look()
    assert sorted(posts.begun) == [0, 1]
    posts.let_go(0)
    eventually(lambda: len(posts.begun), lambda count: count == 3)
    clock.let_somebody_look()
    assert sorted(posts.begun) == [0, 1, 2]
    posts.let_go()
    for _ in range(10):
        assert posts.done.acquire(timeout=LONG_ENOUGH)


def test_slow_ones_delay_no_other_until_there_are_most(posts):
    threads = PostThreads(most=32)
    for number in range(31):
        threads.submit(posts.held(number))
    for _ in range(50):
        quick = threading.Event()
        threads.submit(quick.set)
        assert quick.wait(LONG_ENOUGH)
    assert len(posts.begun) == 31


def test_never_more_than_most(posts):
    clock = itertools.count()  # Every piece of work has taken a second as soon as somebody looks.
    threads = PostThreads(most=4, few=1, now=lambda: float(next(clock)))
    for number in range(6):
        threads.submit(posts.held(number))
    eventually(lambda: len(posts.begun), lambda count: count == 4)
    posts.let_go(*posts.begun)
    for _ in range(4):
        assert posts.done.acquire(timeout=LONG_ENOUGH)
    eventually(lambda: len(posts.begun), lambda count: count == 6)


def test_they_begin_in_the_order_in_which_they_came():
    threads = PostThreads(most=1)
    begun, last = [], threading.Event()
    for number in range(100):
        threads.submit(lambda number=number: begun.append(number))
    threads.submit(last.set)
    assert last.wait(LONG_ENOUGH)
    assert begun == list(range(100))


def test_one_that_fails_is_said_and_costs_no_thread(caplog):
    threads = PostThreads(most=1)
    after = threading.Event()
    threads.submit(lambda: 1 / 0)
    threads.submit(after.set)
    assert after.wait(LONG_ENOUGH)
    assert "ZeroDivisionError" in caplog.text


def test_threads_are_kept_for_the_next_post(posts):
    threads = PostThreads(most=32)
    names = set()
    for _ in range(50):
        done = threading.Event()
        threads.submit(lambda done=done: (names.add(threading.get_ident()), done.set()))
        assert done.wait(LONG_ENOUGH)
    # One that has just ended may not be back yet when the next post comes.
    assert len(names) <= 4
