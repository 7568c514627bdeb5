"""Timeouts of many connections, in buckets: a turn of the loop costs by what is due, not by how many there are."""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from threading import Lock
from typing import Protocol

log = logging.getLogger("channel_emu")


class Expiring(Protocol):
    """What has a time to end, or to be looked at."""

    @property
    def deadline(self) -> float:
        """When, in seconds of `time.monotonic()`; it does not change while its timeout runs."""

    def expire(self) -> None:
        """It is that time."""


class Timeouts:
    """What waits for its deadline, by the quarter of a second in which that has passed."""

    QUARTER = 0.25

    def __init__(self) -> None:
        self.lock = Lock()
        self._buckets: defaultdict[int, set[Expiring]] = defaultdict(set)
        self._seen = 0
        """The quarter that has been looked at."""

    def __len__(self) -> int:
        """How many there are."""
        return sum(len(bucket) for bucket in list(self._buckets.values()))

    def add(self, thing: Expiring) -> None:
        """Expire `thing` at its deadline, unless it is removed before."""
        with self.lock:
            self._buckets[self._bucket(thing)].add(thing)

    def remove(self, thing: Expiring) -> None:
        """It has ended, or is about to."""
        with self.lock:
            bucket = self._buckets.get(self._bucket(thing))
            if bucket is not None:
                bucket.discard(thing)

    def expire_due(self) -> None:
        """Expire those whose deadline has passed; called at every turn of the loop."""
        now = int(time.monotonic() / self.QUARTER)
        if now == self._seen:
            return
        self._seen = now
        with self.lock:
            numbers = [number for number in self._buckets if number <= now]
            due = [thing for number in numbers for thing in self._buckets.pop(number)]
        for thing in due:
            try:
                thing.expire()
            except Exception:
                # The others are in no bucket any more.
                log.exception("A timeout failed.")

    def _bucket(self, thing: Expiring) -> int:
        return int(thing.deadline / self.QUARTER) + 1
