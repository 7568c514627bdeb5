"""Calls back when time is up."""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Watchdog:
    """One thread that watches any number of limits. It exists only while there are some."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._due: list[tuple[float, int]] = []
        self._callbacks: dict[int, Callable[[], None]] = {}
        self._numbers = itertools.count()
        self._running = False

    @contextmanager
    def limit(self, seconds: float | None, on_overrun: Callable[[], None]) -> Iterator[None]:
        """Calls `on_overrun` from another thread if the block takes longer than `seconds` (None: no limit).

        `on_overrun` must be quick and must not raise. It is never called once the block has been left.
        """
        if seconds is None:
            yield
            return
        number = self._watch(seconds, on_overrun)
        try:
            yield
        finally:
            with self._changed:
                self._callbacks.pop(number, None)

    def _watch(self, seconds: float, on_overrun: Callable[[], None]) -> int:
        with self._changed:
            number = next(self._numbers)
            self._callbacks[number] = on_overrun
            heapq.heappush(self._due, (time.monotonic() + seconds, number))
            if not self._running:
                self._running = True
                threading.Thread(target=self._run, name="watchdog", daemon=True).start()
            elif self._due[0][1] == number:
                self._changed.notify()
        return number

    def _run(self) -> None:
        with self._changed:
            while self._due:
                at, number = self._due[0]
                remaining = at - time.monotonic()
                if number not in self._callbacks:
                    heapq.heappop(self._due)
                elif remaining > 0:
                    self._changed.wait(remaining)
                else:
                    heapq.heappop(self._due)
                    self._callbacks.pop(number)()
            self._running = False
