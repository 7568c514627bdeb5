"""Who serves a request: the loop itself, a thread of ours, or one of the app's, for which requests may wait."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from waitress.task import ThreadedTaskDispatcher

from appengine_channel_emu.server.loop import Loop

OWN_THREADS = 4
"""For polls and the like: they never block, and with more the interpreter only switches between them."""

PATIENT_THREADS = 16
"""Where people and tests ask what another machine has to be asked first; pages and apps take none (`web/later.py`)."""

BRIEF_BODY = 64 * 1024
"""Bytes of a request that the loop serves by itself."""

QUEUE_SECONDS = 60.0
"""How long a request to the app may wait until it is begun (behaviour.md 6, rule 1)."""

log = logging.getLogger("channel_emu")


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


class Pools:
    """Waitress's dispatcher in parts: our own requests never queue behind the app's, nor behind those that wait.

    `may_wait` says whether a path's thread may have to, where any may.
    """

    def __init__(
        self,
        loop: Loop,
        is_ours: Callable[[str], bool],
        is_brief: Callable[[str, str], bool],
        app_threads: int,
        may_wait: Callable[[str], bool] | None = None,
    ) -> None:
        self._loop = loop
        self._is_ours = is_ours
        self._is_brief = is_brief
        self._own = Pool()
        self._own.set_thread_count(OWN_THREADS)
        self._may_wait = may_wait
        self._patient = Pool()
        self._patient.set_thread_count(0 if may_wait is None else PATIENT_THREADS)
        self._app = AppPool()
        self._app.set_thread_count(app_threads)

    def add_task(self, channel: Any) -> None:
        """Queue the request at the head of `channel`."""
        request = channel.requests[0] if channel.requests else None
        path = getattr(request, "path", "/")
        if self._is_for_loop(channel, request, path):
            self._loop.soon(channel)
            return
        refused = request is not None and request.error
        if refused or channel.ours_alone:
            self._own.add_task(channel)
        elif self._may_wait is not None and self._may_wait(path):
            self._patient.add_task(channel)
        else:
            (self._own if self._is_ours(path) else self._app).add_task(channel)

    def refuse_overdue(self) -> None:
        """Have those answered that have waited for one of the app's threads for too long; called at every turn."""
        for channel in self._app.overdue():
            channel.overdue = True
            self._own.add_task(channel)

    def _is_for_loop(self, channel: Any, request: Any, path: str) -> bool:
        """What takes no time needs no thread: handing it over and back costs several times what the work does."""
        # With much unsent waitress waits for the loop to send it, which must not be the loop.
        if channel.total_outbufs_len:
            return False
        if channel.resumes:
            return True
        if request is None or request.error or not (channel.ours_alone or self._is_brief(request.command, path)):
            return False
        return int(request.headers.get("CONTENT_LENGTH", 0)) <= BRIEF_BODY

    def end(self, seconds: float) -> None:
        """End the threads; requests that take longer than `seconds` get no answer."""
        give_up = time.monotonic() + seconds
        left = self._own.end(seconds)
        left += sum(pool.end(max(0.0, give_up - time.monotonic())) for pool in (self._patient, self._app))
        if left:
            log.info("%d requests had not been answered when the emulator was stopped.", left)
