"""The request deadline in process: an app that sleeps moves the manual clock, and is cut without anybody waiting.

While a handler runs, its `time.sleep` takes no time: it moves the emulator's clock on, and raises
`DeadlineExceededError` when the request's time is up. `time.sleep` is replaced when this module is imported, so that
an app that is imported later and writes `from time import sleep` gets the replacement too; outside a handler it sleeps
as ever. A busy loop moves no clock: it is cut by real time, as in an instance (host/runner/deadline.py).
"""

from __future__ import annotations

import functools
import importlib
import threading
import time
from typing import TYPE_CHECKING, Any

from appengine_channel_emu.broker.clock import Clock
from appengine_channel_emu.host.backend import AppAnswer, Serves, cut_answer
from appengine_channel_emu.host.runner.deadline import Deadlines

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

GRACE_SECONDS = 0.5
"""After the deadline, for a handler that catches the exception (behaviour.md 6, rule 2)."""

_sleep = time.sleep
_local = threading.local()


class _Run:
    """One run of a handler, until `at` on the emulator's clock; once `cut`, until the end of its grace."""

    def __init__(self, clock: Clock, at: float) -> None:
        self.clock = clock
        self.at = at
        self.cut = False
        self._grace_ends = float("inf")

    @property
    def in_vain(self) -> bool:
        """Whether it has gone on for longer than its grace."""
        return self.cut and (self.clock.now() >= self.at or time.monotonic() >= self._grace_ends)

    def busy_for_too_long(self) -> None:
        """Its real time is up."""
        self.cut, self._grace_ends = True, time.monotonic() + GRACE_SECONDS

    def sleep(self, seconds: float) -> None:
        """Let `seconds` pass, or as much as the handler has left."""
        left = self.at - self.clock.now()
        if seconds < left:
            self.clock.advance(seconds)
            return
        self.clock.advance(max(0.0, left))
        if not self.cut:
            self.cut, self.at = True, self.at + GRACE_SECONDS
        raise _deadline_exceeded()


class DeadlineMiddleware:
    """`app` with a deadline of `seconds` on `clock`; its answers are sent whole or not at all.

    `busy_seconds` is what a handler may take of real time, None for any.
    """

    def __init__(self, app: Serves, clock: Clock, seconds: float, busy_seconds: float | None) -> None:
        self._app = app
        self._clock = clock
        self._seconds = seconds
        self._busy = _busy_deadlines(busy_seconds)

    def serve(self, environ: WSGIEnvironment, request_id: str | None) -> AppAnswer:
        """See `Backend`; when the request's time is up, the error page."""
        outer = getattr(_local, "run", None)
        run = _local.run = _Run(self._clock, self._clock.now() + self._seconds)
        whole: list[AppAnswer] = []

        def handle() -> None:
            answer = self._app.serve(environ, request_id)
            answer.body = [answer.read()]
            whole.append(answer)

        try:
            self._busy.error = _deadline_class()
            self._busy.run(handle, run.busy_for_too_long)
        except BaseException as error:
            if not (run.cut and isinstance(error, _deadline_class())):
                raise
            whole.clear()
        finally:
            _local.run = outer
        return cut_answer(self._seconds) if not whole or run.in_vain else whole[0]


@functools.cache
def _busy_deadlines(seconds: float | None) -> Deadlines:
    """One for all emulators, because each has a thread that watches."""
    return Deadlines(seconds)


def _deadline_class() -> type[BaseException]:
    found: type[BaseException] = importlib.import_module("google.appengine.runtime").DeadlineExceededError
    return found


def _deadline_exceeded() -> BaseException:
    return _deadline_class()()


def _sleep_or_move(seconds: Any, /) -> None:
    run = getattr(_local, "run", None)
    if run is None or not isinstance(seconds, (int, float)) or not seconds > 0:
        _sleep(seconds)
    else:
        run.sleep(seconds)


_sleep_or_move.__doc__ = _sleep.__doc__
time.sleep = _sleep_or_move
