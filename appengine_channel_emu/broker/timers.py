"""Timers in one heap: setting, cancelling and running one costs the same with ten and with a million."""

from __future__ import annotations

import heapq
from collections.abc import Callable


class Timer:
    """A call due at a time; `cancel` makes it do nothing."""

    __slots__ = ("action", "due")

    def __init__(self, due: float, action: Callable[[], None]) -> None:
        self.due = due
        self.action: Callable[[], None] | None = action

    def cancel(self) -> None:
        """Never run it."""
        self.action = None


class Timers:
    """Pending timers, in due order; those due together run in the order in which they were set."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Timer]] = []
        self._count = 0

    def set(self, due: float, action: Callable[[], None]) -> Timer:
        """Call `action` once the time is `due` (seconds of the clock)."""
        timer = Timer(due, action)
        self._count += 1
        heapq.heappush(self._heap, (due, self._count, timer))
        return timer

    def next_due(self) -> float | None:
        """The due time of the earliest timer that was not cancelled."""
        heap = self._heap
        while heap and heap[0][2].action is None:
            heapq.heappop(heap)
        return heap[0][0] if heap else None

    def pop_due(self, now: float) -> Timer | None:
        """Take the earliest timer that is due at `now`."""
        due = self.next_due()
        if due is None or due > now:
            return None
        return heapq.heappop(self._heap)[2]
