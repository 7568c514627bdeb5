"""A one-shot signal that can be asked, waited for by callback, and never blocks."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock


class Signal:
    """Off until `set`; callbacks given to `when_set` are called once, from whichever thread sets it."""

    __slots__ = ("_callbacks", "_lock", "is_set")

    def __init__(self) -> None:
        self._lock = Lock()
        self._callbacks: tuple[Callable[[], None], ...] = ()
        self.is_set = False

    def set(self) -> None:
        """Turn it on, for good."""
        with self._lock:
            self.is_set = True
            callbacks, self._callbacks = self._callbacks, ()
        for callback in callbacks:
            callback()

    def when_set(self, callback: Callable[[], None]) -> None:
        """Call `callback` when it is set: at once if it is."""
        with self._lock:
            if not self.is_set:
                self._callbacks += (callback,)
                return
        callback()
