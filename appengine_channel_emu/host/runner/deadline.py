"""Ends handlers that run for too long (behaviour.md 6, rule 2), as App Engine did: by an exception in their thread.

An exception set from outside reaches Python code alone; what blocks in C notices it when it returns. On the main thread
a signal interrupts such calls as well.

Nothing here takes a lock while a handler runs: the exception could strike between taking and holding it.
"""

from __future__ import annotations

import ctypes
import itertools
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

SLICE_SECONDS = 0.05
"""How long a `time.sleep` of a handler lasts before it looks whether its time is up."""

_sleep = time.sleep


class Limit:
    """One run of a handler: on `thread`, until `at` (monotonic, seconds)."""

    def __init__(self, at: float, overrun: Callable[[], object]) -> None:
        self.at = at
        self.overrun = overrun
        self.thread = threading.get_ident()
        # In this order, each set once: its time is up; the exception has been sent; it is past all exceptions.
        self.up = False
        self.sent = False
        self.over = False


class Deadlines:
    """Raises `error` in the thread of each handler that runs for longer than `seconds` (None: never).

    `error` is to be set before the first `run`.
    """

    error: type[BaseException]

    def __init__(self, seconds: float | None) -> None:
        self._seconds = seconds
        self._numbers = itertools.count()
        self._running: dict[int, Limit] = {}
        self._local = threading.local()
        if seconds is not None:
            threading.Thread(target=self._watch, args=(seconds,), name="deadline", daemon=True).start()

    def run(self, work: Callable[[], None], overrun: Callable[[], object]) -> None:
        """Runs `work`. When its time is up, `overrun` is called from another thread, just before the exception.

        Raises what `work` raises, the deadline's exception among others. It never strikes after `run` has been left.
        """
        if self._seconds is None:
            work()
            return
        number, limit = next(self._numbers), Limit(time.monotonic() + self._seconds, overrun)
        self._local.limit = limit
        try:
            try:
                self._running[number] = limit
                work()
            finally:
                self._end(number, limit)
        except BaseException:
            # Again: what struck may have struck while it was being ended. It strikes only once.
            self._end(number, limit)
            raise

    def make_sleep_wake(self) -> None:
        """Replaces `time.sleep` by one that notices the exception."""

        def sleep(seconds: Any, /) -> None:
            limit = getattr(self._local, "limit", None)
            if limit is None or limit.over or not isinstance(seconds, (int, float)) or not seconds > SLICE_SECONDS:
                _sleep(seconds)
                return
            end = time.monotonic() + seconds
            while (remaining := end - time.monotonic()) > 0:
                _sleep(min(remaining, SLICE_SECONDS))

        sleep.__doc__ = _sleep.__doc__
        time.sleep = sleep

    def _end(self, number: int, limit: Limit) -> None:
        if not limit.over and self._running.pop(number, None) is None:
            # The watching thread has taken it, and is about to send the exception or has done so.
            try:
                while not limit.sent:
                    _sleep(0.0005)
                self._take_back(limit)
            except self.error:
                pass
        limit.over = True

    def _watch(self, seconds: float) -> None:
        while True:
            number, limit = next(iter(list(self._running.items())), (0, None))
            now = time.monotonic()
            if limit is None:
                # Whatever starts from here on has all of its time before it.
                _sleep(seconds)
            elif limit.at > now:
                _sleep(limit.at - now)
            elif self._running.pop(number, None) is not None:
                limit.overrun()
                limit.up = True
                self._send(limit)
                limit.sent = True

    def _send(self, limit: Limit) -> None:
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(limit.thread), ctypes.py_object(self.error))

    def _take_back(self, limit: Limit) -> None:
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(limit.thread), None)


class MainThreadDeadlines(Deadlines):
    """The same for handlers on the main thread, by a signal. To be made on the main thread."""

    SIGNAL = signal.SIGXCPU

    def __init__(self, seconds: float | None) -> None:
        signal.signal(self.SIGNAL, self._on_signal)
        super().__init__(seconds)

    def make_sleep_wake(self) -> None:
        """Nothing to do: the signal wakes the original."""

    def _send(self, limit: Limit) -> None:
        signal.pthread_kill(limit.thread, self.SIGNAL)

    def _take_back(self, limit: Limit) -> None:
        """Nothing to do: a signal that comes late is ignored."""

    def _on_signal(self, *unused: object) -> None:
        limit = getattr(self._local, "limit", None)
        if limit is not None and limit.up and not limit.over:
            limit.over = True
            raise self.error
