"""What is due in the machine's own time, on one thread for all of it."""

from __future__ import annotations

import heapq
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

log = logging.getLogger("channel_emu")


class Timer:
    """A call due at a time; `cancel` makes it do nothing."""

    __slots__ = ("action", "args", "due")

    def __init__(self, due: float, action: Callable[..., None], args: tuple[Any, ...] = ()) -> None:
        self.due = due
        self.action: Callable[..., None] | None = action
        self.args = args

    def cancel(self) -> None:
        """Never run it."""
        self.action, self.args = None, ()


class Timers:
    """Pending timers, in due order; those due together run in the order in which they were set."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Timer]] = []
        self._count = 0

    def set(self, due: float, action: Callable[..., None], *args: Any) -> Timer:
        """Call `action` with `args` once the time is `due` (seconds of the clock)."""
        timer = Timer(due, action, args)
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


class TimerThread:
    """Calls actions when they are due, in seconds of `time.monotonic`; every method may be called from any thread.

    Its thread exists only while something is to come, and runs the actions one after another. Each must be quick: one
    that blocks holds up all others, the broker's timers and the deadlines of the app's requests among them. What one
    raises is logged, and nothing else is lost by it. In a process that was forked nothing is to come: what was set
    before is the other process's affair.
    """

    def __init__(self) -> None:
        self._stopped = False
        self._begin()

    def now(self) -> float:
        """Seconds, from whatever moment on."""
        return time.monotonic()

    def at(self, due: float, action: Callable[[], None]) -> None:
        """Call `action`, which must be quick, when `now()` is `due`; never, once this has been stopped."""
        self._set(due, action)

    def repeat(self, action: Callable[[], None], pause: Callable[[], float]) -> None:
        """Call `action` at once, and again `pause()` seconds after each call of it, whatever that raises."""

        def call() -> None:
            try:
                action()
            finally:
                self.at(self.now() + pause(), call)

        self.at(self.now(), call)

    @contextmanager
    def limit(self, seconds: float | None, action: Callable[[], None]) -> Iterator[None]:
        """Call `action`, which must be quick, if the block takes longer than `seconds` (None: no limit).

        It is never called, and no call of it goes on, once the block has been left.
        """
        if seconds is None:
            yield
            return
        calling = threading.Lock()
        left = False

        def overrun() -> None:
            with calling:
                if not left:
                    action()

        timer = self._set(self.now() + seconds, overrun)
        try:
            yield
        finally:
            with calling:
                left = True
            timer.cancel()

    def stop(self) -> None:
        """End its thread, after the action that runs; what is not due yet is never called."""
        self._notice_fork()
        with self._changed:
            self._stopped = True
            thread = self._thread
            self._changed.notify()
        if thread is not None:
            thread.join()

    def _begin(self) -> None:
        self._process = os.getpid()
        self._timers = Timers()
        # Reentrant: a call may come from a signal's handler, or from what the garbage collector ends.
        self._changed = threading.Condition(threading.RLock())
        self._thread: threading.Thread | None = None

    def _notice_fork(self) -> None:
        if self._process != os.getpid():
            # The thread was not copied, and may have held the lock.
            self._begin()

    def _set(self, due: float, action: Callable[[], None]) -> Timer:
        self._notice_fork()
        with self._changed:
            if self._stopped:
                return Timer(due, action)
            earliest = self._timers.next_due()
            # What a test patches for all threads, such as Condition.wait, may have ended it.
            if self._thread is None or not self._thread.is_alive():
                # First: where the system has no thread left, nothing has been set.
                thread = threading.Thread(target=self._run, name="timer", daemon=True)
                thread.start()
                self._thread = thread
            elif earliest is None or due < earliest:
                self._changed.notify()
            return self._timers.set(due, action)

    def _run(self) -> None:
        while (timer := self._next()) is not None:
            # It may be cancelled at this very moment.
            action = timer.action
            try:
                if action is not None:
                    action()
            except BaseException:
                # Without this thread nothing else that is due would be called.
                log.exception("A timer failed.")

    def _next(self) -> Timer | None:
        """The next timer, once it is due; None when the thread is to end."""
        with self._changed:
            while not self._stopped and (due := self._timers.next_due()) is not None:
                timer = self._timers.pop_due(self.now())
                if timer is not None:
                    return timer
                self._changed.wait(min(max(0.0, due - self.now()), threading.TIMEOUT_MAX))
            self._thread = None
        return None
