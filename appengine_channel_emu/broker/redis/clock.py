"""The clock of the service: Redis's time, moved on for all nodes at once."""

from __future__ import annotations

from collections.abc import Callable

from appengine_channel_emu.broker.clock import SystemClock

TOLERANCE = 0.02
"""Seconds by which a node's clock may differ from the service's before it is set: less is how long an answer takes."""


class SharedClock(SystemClock):
    """Seconds of the service's clock, as this node knows them: told by each heartbeat, and going on by itself
    between."""

    def __init__(self) -> None:
        super().__init__()
        self.ask_to_freeze: Callable[[bool], None] | None = None
        """Asks Redis, which tells all nodes."""

    def synchronize(self, now: float, frozen: bool, late: float) -> None:
        """The service's clock showed `now` at most `late` seconds ago, and stands still or goes.

        It is set no further than it must be: how long an answer was on its way is no reason to go back.
        """
        with self._lock:
            if frozen:
                self._stands_at = now
                return
            least = now - self._look()
            if self._stands_at is not None or self._offset < least:
                self._offset = least
            self._offset = min(self._offset, least + late + TOLERANCE)
            self._stands_at = None

    def freeze(self, frozen: bool) -> None:
        """See `Clock`; raises `Pending`."""
        assert self.ask_to_freeze is not None
        self.ask_to_freeze(frozen)
