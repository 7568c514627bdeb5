"""The app's requests that wait for a thread, and what becomes of those that have waited too long."""

from __future__ import annotations

import time
from typing import Any

from waitress.task import ThreadedTaskDispatcher

QUEUE_SECONDS = 60.0
"""How long a request to the app may wait until it is begun (behaviour.md 6, rule 1)."""


class Pool(ThreadedTaskDispatcher):  # type: ignore[misc]
    """Waitress's pool, which ends in its own time, without a word."""

    def end(self, seconds: float) -> int:
        """End the threads; how many still have work to do after `seconds`. What waits for one is given up."""
        self.set_thread_count(0)
        give_up = time.monotonic() + seconds
        with self.lock:
            while self.threads and (left := give_up - time.monotonic()) > 0:
                self.thread_exit_cv.wait(left)
            while self.queue:
                self.queue.popleft().cancel()
            return len(self.threads)


class AppPool(Pool):
    """Waitress's pool, which knows since when each task has been waiting. Looks at `overdue` now and then."""

    def add_task(self, task: Any) -> None:
        """See waitress."""
        task.queued_at = time.monotonic()
        super().add_task(task)

    def overdue(self) -> list[Any]:
        """Takes those that have waited for `QUEUE_SECONDS` out of the queue."""
        found = []
        since = time.monotonic() - QUEUE_SECONDS
        with self.lock:
            while self.queue and self.queue[0].queued_at <= since:
                found.append(self.queue.popleft())
        return found
