"""A clock that a test moves, of a process that may stand still."""

from __future__ import annotations

from appengine_channel_emu.broker.clock import ManualClock


class StoppableClock(ManualClock):
    """As `ManualClock`; `stand_still` is what a stopped process, or a machine that sleeps, sees of the time."""

    def __init__(self) -> None:
        super().__init__()
        self._stood_still = 0.0

    def uptime(self) -> float:
        return self.now() - self._stood_still

    def stand_still(self, seconds: float) -> None:
        """Let so many seconds pass in which the process stands still: nothing runs, and then all that is due."""
        self._stood_still += seconds
        self._move(seconds)
        self._run_followers()
