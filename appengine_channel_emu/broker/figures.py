"""What is counted of a broker's work, for whoever watches it from outside: nothing here names a client id."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence

LATENCY_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0)
"""Seconds from a send to the page's acknowledgement: the bounds of the buckets."""


class Histogram:
    """How many values were at most so large, for each of `bounds`, which go up."""

    __slots__ = ("_counts", "bounds", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self._counts = [0] * (len(self.bounds) + 1)
        self.total = 0.0
        """The sum of all values."""

    def add(self, value: float) -> None:
        """Count one value."""
        self._counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    @property
    def count(self) -> int:
        """How many values there were."""
        return sum(self._counts)

    def cumulative(self) -> list[tuple[float, int]]:
        """Each bound, and how many values were no larger; the last bound is infinity."""
        found, so_far = [], 0
        for bound, count in zip((*self.bounds, math.inf), self._counts, strict=True):
            so_far += count
            found.append((bound, so_far))
        return found


class BrokerFigures:
    """Counts since the start of the emulator; a reset leaves them as they are. To be read at any time, by any thread.

    The broker counts in its turns; `refused` is counted by the layers around it.
    """

    def __init__(self, since: float) -> None:
        self.since = since
        """When the emulator was started, in seconds of the clock."""
        self.sent = 0
        """Messages that went to a socket at least; one call of send_message for one client id is one."""
        self.dropped: Counter[str] = Counter()
        """Messages that went to none, by why (`detail["why"]` of `message_dropped`)."""
        self.polls = 0
        """Polls that arrived, those of the SDK's wire too."""
        self.streams = 0
        """Streams that began."""
        self.cut = 0
        """Requests of the app that were cut at their deadline."""
        self.presence: Counter[tuple[str, int | None]] = Counter()
        """Presence posts that have ended, by `connected` or `disconnected` and the app's status; None: no answer."""
        self.refused: Counter[str] = Counter()
        """Requests that were refused: by the rule of the guard, or as `open_refused`, `socket_gone`
        and `call_refused`."""
        self.latency = Histogram(LATENCY_BOUNDS)
        """Seconds of the clock from a send to the acknowledgement, once for each socket."""
