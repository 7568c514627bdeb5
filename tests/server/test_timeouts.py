"""Timeouts of polls and streams: each is looked at once its time has come, whatever becomes of the others."""

from __future__ import annotations

import time

from appengine_channel_emu.server.timeouts import Timeouts


class Due:
    def __init__(self, seconds=-1.0, fails=False):
        self.deadline = time.monotonic() + seconds
        self.fails = fails
        self.times = 0

    def expire(self):
        self.times += 1
        if self.fails:
            raise ValueError("played")


def test_what_is_due_expires_once_and_nothing_else_does():
    timeouts, due, removed, later = Timeouts(), Due(), Due(), Due(3600)
    for each in (due, removed, later):
        timeouts.add(each)
    timeouts.remove(removed)
    timeouts.expire_due()
    timeouts.expire_due()
    assert [each.times for each in (due, removed, later)] == [1, 0, 0]
    assert len(timeouts) == 1


def test_one_that_fails_leaves_the_others_their_turn(caplog):
    """A stream whose turn is lost has no heartbeat any more, and a poll no end."""
    timeouts, all_of_them = Timeouts(), [Due(fails=number % 2 == 0) for number in range(6)]
    for each in all_of_them:
        timeouts.add(each)
    timeouts.expire_due()
    assert [each.times for each in all_of_them] == [1] * 6
    assert "ValueError: played" in caplog.text
