"""Time that passes by itself: for what waits on browsers, whatever a test does to the broker's clock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from appengine_channel_emu.broker.turn import Turn


class Later(Protocol):
    """Calls back, exactly rather than often; from any thread, and outside every lock of the broker's."""

    def now(self) -> float:
        """Seconds, from whatever moment on."""

    def at(self, due: float, action: Callable[[], None]) -> None:
        """Call `action`, which must be quick, when `now()` is `due`."""


class ClockLater:
    """`Later` on the broker's own clock, where nothing else passes: with a clock that a test moves."""

    def __init__(self, turn: Turn) -> None:
        self._turn = turn

    def now(self) -> float:
        """See `Later`."""
        return self._turn.now()

    def at(self, due: float, action: Callable[[], None]) -> None:
        """See `Later`; not to be called inside a turn."""
        with self._turn:
            self._turn.timers.set(due, lambda: self._turn.then(action))
