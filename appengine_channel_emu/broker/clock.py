"""The one time everything of the broker's asks, so that a test can move it."""

from __future__ import annotations

import time
from threading import Lock
from typing import Protocol


class Follower(Protocol):
    """Something with timers, told to run them as a clock is advanced."""

    def next_due(self) -> float | None:
        """When its earliest timer is due, in seconds of the clock."""

    def run_due(self) -> None:
        """Run every timer that is due."""


class Clock:
    """Seconds since the epoch that never step back; `advance` moves them on, through every timer on the way."""

    def __init__(self) -> None:
        self._followers: list[Follower] = []

    def now(self) -> float:
        """Seconds since the epoch."""
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


class SystemClock(Clock):
    """The machine's time. A step of the wall clock after the start, either way, changes nothing here."""

    def __init__(self) -> None:
        super().__init__()
        self._offset = time.time() - time.monotonic()
        self._stands_at: float | None = None
        self._lock = Lock()

    def now(self) -> float:
        stands_at = self._stands_at
        return time.monotonic() + self._offset if stands_at is None else stands_at

    @property
    def frozen(self) -> bool:
        return self._stands_at is not None

    def freeze(self, frozen: bool) -> None:
        with self._lock:
            now = self.now()
            self._offset = now - time.monotonic()
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

    @property
    def frozen(self) -> bool:
        return True

    def freeze(self, frozen: bool) -> None:
        """It always stands still: raises ValueError when it is to go by itself."""
        if not frozen:
            raise ValueError("This clock is moved by its test alone; it does not go by itself.")

    def _move(self, seconds: float) -> None:
        self._now += seconds
