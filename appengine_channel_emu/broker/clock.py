"""The one time everything of the broker's asks, so that a test can move it."""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable
from threading import Lock
from typing import Protocol

LONGEST_SILENCE = 0.5
"""Seconds between two looks at a clock: more go by only while the process does not run."""


class Follower(Protocol):
    """Something with timers, told to run them as a clock is advanced."""

    def next_due(self) -> float | None:
        """When its earliest timer is due, in seconds of the clock."""

    def run_due(self) -> None:
        """Run every timer that is due."""


class Scheduler(Protocol):
    """Time that passes by itself, whatever a test does to the broker's clock: for what waits on browsers.

    Calls back exactly rather than often; from any thread, and outside every lock of the broker's.
    """

    def now(self) -> float:
        """Seconds, from whatever moment on."""

    def at(self, due: float, action: Callable[[], None]) -> None:
        """Call `action`, which must be quick, when `now()` is `due`."""


class Clock:
    """Seconds since the epoch that never step back; `advance` moves them on, through every timer on the way."""

    def __init__(self) -> None:
        self._followers: list[Follower] = []

    def now(self) -> float:
        """Seconds since the epoch."""
        raise NotImplementedError

    def uptime(self) -> float:
        """`now`, less the seconds in which this process stood still: stopped, or suspended with its machine.

        What pages are given time for is measured in it (behaviour.md 2); a moment such as a token's expiry is not.
        """
        raise NotImplementedError

    def _move(self, seconds: float) -> None:
        raise NotImplementedError

    @property
    def frozen(self) -> bool:
        """Whether it stands still by itself."""
        raise NotImplementedError

    def freeze(self, frozen: bool) -> None:
        """Let it stand still, or go on from where it stands."""
        raise NotImplementedError

    def follow(self, follower: Follower) -> None:
        """Let `follower` run its timers, in due order, whenever this clock is advanced."""
        self._followers.append(follower)

    def advance(self, seconds: float) -> None:
        """Move on by `seconds`, stopping at every timer that falls due on the way.

        Raises ValueError for a negative number: time here never goes back.
        """
        if not seconds >= 0:
            raise ValueError(f"a clock is advanced by 0 seconds or more, not by {seconds}")
        target = self.now() + seconds
        while True:
            dues = [due for follower in self._followers if (due := follower.next_due()) is not None]
            due = min(dues, default=target)
            if due >= target:
                break
            self._move(max(0.0, due - self.now()))
            self._run_followers()
        self._move(max(0.0, target - self.now()))
        self._run_followers()

    def _run_followers(self) -> None:
        for follower in self._followers:
            follower.run_due()


def _elapsed() -> Callable[[], float]:
    """The machine's seconds since some moment, whatever the wall clock is set to, with those of its sleep."""
    # Linux stops CLOCK_MONOTONIC in a sleep and has another; macOS goes on with it, and `time.monotonic` does not.
    for name in ("CLOCK_BOOTTIME", "CLOCK_MONOTONIC"):
        if hasattr(time, name):
            with contextlib.suppress(OSError):
                time.clock_gettime(getattr(time, name))
                return functools.partial(time.clock_gettime, getattr(time, name))
    return time.monotonic


class SystemClock(Clock):
    """The machine's time. A step of the wall clock after the start, either way, changes nothing here.

    Somebody has to ask for `uptime` several times a second: what lies between two questions, beyond half a second,
    is time in which the process stood still.
    """

    def __init__(self, elapsed: Callable[[], float] | None = None) -> None:
        super().__init__()
        self._elapsed = elapsed or _elapsed()
        self._asked_at = self._elapsed()
        self._offset = time.time() - self._asked_at
        self._stood_still = 0.0
        self._stands_at: float | None = None
        self._lock = Lock()

    def now(self) -> float:
        stands_at = self._stands_at
        return self._elapsed() + self._offset if stands_at is None else stands_at

    def uptime(self) -> float:
        # One reading serves for both, under the lock: the process may be stopped between any two lines.
        with self._lock:
            elapsed, stands_at = self._look(), self._stands_at
            return (elapsed + self._offset if stands_at is None else stands_at) - self._stood_still

    def _look(self) -> float:
        elapsed = self._elapsed()
        silence = elapsed - self._asked_at - LONGEST_SILENCE
        if silence > 0 and self._stands_at is None:
            self._stood_still += silence
        self._asked_at = elapsed
        return elapsed

    @property
    def frozen(self) -> bool:
        return self._stands_at is not None

    def freeze(self, frozen: bool) -> None:
        with self._lock:
            now = self.now()
            self._offset = now - self._look()
            self._stands_at = now if frozen else None

    def _move(self, seconds: float) -> None:
        with self._lock:
            if self._stands_at is None:
                self._offset += seconds
            else:
                self._stands_at += seconds


class ManualClock(Clock):
    """Stands still until it is advanced."""

    def __init__(self, start: float = 1_300_000_000.0) -> None:
        super().__init__()
        self._now = start

    def now(self) -> float:
        return self._now

    def uptime(self) -> float:
        return self._now

    @property
    def frozen(self) -> bool:
        return True

    def freeze(self, frozen: bool) -> None:
        """It always stands still: raises ValueError when it is to go by itself."""
        if not frozen:
            raise ValueError("This clock is moved by its test alone; it does not go by itself.")

    def _move(self, seconds: float) -> None:
        self._now += seconds
