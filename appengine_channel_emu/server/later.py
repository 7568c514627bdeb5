"""Calls in some milliseconds' time, on one thread of their own."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from appengine_channel_emu.broker.timers import Timers

log = logging.getLogger("channel_emu")


class LaterThread:
    """The `broker.later.Later` of a running server, in the machine's own time."""

    def __init__(self) -> None:
        self._timers = Timers()
        self._changed = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="later", daemon=True)

    def start(self) -> None:
        """Start its thread."""
        self._thread.start()

    def stop(self) -> None:
        """End its thread; what is not due yet is never called."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join()

    def now(self) -> float:
        """See `Later`."""
        return time.monotonic()

    def at(self, due: float, action: Callable[[], None]) -> None:
        """See `Later`."""
        with self._changed:
            earliest = self._timers.next_due()
            self._timers.set(due, action)
            if earliest is None or due < earliest:
                self._changed.notify()

    def _run(self) -> None:
        while (action := self._next()) is not None:
            try:
                action()
            except Exception:
                # What else is due must not be lost by it.
                log.exception("A timer failed.")

    def _next(self) -> Callable[[], None] | None:
        """The next action, once it is due; None when this is to stop."""
        with self._changed:
            while not self._stopping:
                timer = self._timers.pop_due(time.monotonic())
                if timer is not None:
                    return timer.action
                due = self._timers.next_due()
                self._changed.wait(None if due is None else max(0.0, due - time.monotonic()))
        return None
