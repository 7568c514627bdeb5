"""Threads for posts: a few while the app is quick, many while it is slow."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable

Work = Callable[[], None]

log = logging.getLogger("channel_emu.presence")


class PostThreads:
    """Does pieces of work in the order in which they come, up to `most` at a time.

    Work that has taken less than `patience_seconds` is quick, so far. No more than `few` pieces of quick work are done
    at a time: threads that all have something to do hinder each other in Python. Work that is not quick waits for the
    app, and hinders nobody. `now` gives the time in seconds.
    """

    def __init__(
        self, most: int, few: int = 4, patience_seconds: float = 0.002, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._most = most
        self._few = few
        self._patience = patience_seconds
        self._now = now
        self._changed = threading.Condition(threading.Lock())
        self._waiting: deque[Work] = deque()
        self._began: dict[int, float] = {}
        """When each thread that has work began with it; the first is the oldest."""
        self._threads = 0
        self._watched = False
        """Whether a thread without work waits for those that have some to be no longer quick."""

    def submit(self, work: Work) -> None:
        """Have `work` done, which takes its time on a thread of ours; returns at once."""
        with self._changed:
            self._waiting.append(work)
            if not self._watched:
                self._call_another()

    def _call_another(self) -> None:
        """Let a thread look for work that has none, if there is such a thread or may be."""
        if self._threads > len(self._began):
            self._changed.notify()
        elif self._threads < self._most:
            self._threads += 1
            threading.Thread(target=self._run, name="presence", daemon=True).start()

    def _run(self) -> None:
        me = threading.get_ident()
        while True:
            work = self._take(me)
            try:
                work()
            except Exception:
                log.exception("A presence post failed")

    def _take(self, me: int) -> Work:
        """The next piece of work for the thread `me`, which has done its last one."""
        with self._changed:
            self._began.pop(me, None)
            while True:
                if not self._waiting:
                    self._changed.wait()
                elif self._quick() < self._few:
                    break
                elif self._watched:
                    self._changed.wait()
                else:
                    self._watched = True
                    self._changed.wait(self._patience)
                    self._watched = False
            self._began[me] = self._now()
            work = self._waiting.popleft()
            if self._waiting and not self._watched:
                self._call_another()
            return work

    def _quick(self) -> int:
        if len(self._began) < self._few:
            return len(self._began)
        since = self._now() - self._patience
        return sum(began > since for began in self._began.values())
