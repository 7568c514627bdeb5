"""The request deadline in process: an app that sleeps moves the manual clock, and is cut without anybody waiting.

While a handler runs, its `time.sleep` takes no time: it moves the emulator's clock on, and raises
`DeadlineExceededError` when the request's time is up. Outside of handlers it sleeps as ever, and once nobody needs it,
`time.sleep` is the system's own again. One that a test has put there is called as it is. A busy loop moves no clock: it
is cut by real time, as in an instance (host/runner/deadline.py).
"""

from __future__ import annotations

import functools
import importlib
import sys
import threading
import time
import types
from contextlib import AbstractContextManager, ExitStack
from typing import TYPE_CHECKING, Any

from appengine_channel_emu.broker.clock import Clock
from appengine_channel_emu.environment import WhileNeeded, importable
from appengine_channel_emu.host.backend import AppAnswer, Serves
from appengine_channel_emu.host.pages import cut_page
from appengine_channel_emu.host.runner.deadline import Deadlines

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

GRACE_SECONDS = 0.5
"""After the deadline, for a handler that catches the exception (behaviour.md 6, rule 2)."""

_OUR_MODULES = "appengine_channel_emu."

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
        raise _deadline_class()()


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
            with importable(), sleep_moves_the_clock():
                self._busy.error = _deadline_class()
                self._busy.run(handle, run.busy_for_too_long)
        except BaseException as error:
            if not (run.cut and isinstance(error, _deadline_class())):
                raise
            whole.clear()
        finally:
            _local.run = outer
        return cut_page(environ, self._seconds) if not whole or run.in_vain else whole[0]


@functools.cache
def _busy_deadlines(seconds: float | None) -> Deadlines:
    """One for all emulators, because each has a thread that watches."""
    return Deadlines(seconds)


def _deadline_class() -> type[BaseException]:
    found: type[BaseException] = importlib.import_module("google.appengine.runtime").DeadlineExceededError
    return found


class _Sleep:
    """Instead of the system's `time.sleep`, for as long as anybody needs it.

    An app may have it by `from time import sleep`: wherever a module has the system's, it is replaced. What a test has
    put there is left alone, and so are our own modules, whose threads are to sleep in real time.
    """

    def __init__(self) -> None:
        self._system: Any = time.sleep
        self._places: list[tuple[dict[str, Any], str]] = []
        self._searched: dict[str, types.ModuleType] = {}

    def __call__(self, seconds: Any, /) -> None:
        run = getattr(_local, "run", None)
        if run is None or not isinstance(seconds, (int, float)) or not seconds > 0:
            self._system(seconds)
        else:
            run.sleep(seconds)

    def replace(self, undo: ExitStack) -> None:
        """Be it, until that is undone."""
        if getattr(time.sleep, "__self__", None) is time:
            # When this module was imported, a test may have had its own there.
            self._system = time.sleep
        self._search()
        for names, name in self._places:
            if names.get(name) is self._system:
                names[name] = self
        undo.callback(self._put_back)

    def _put_back(self) -> None:
        for names, name in self._places:
            if names.get(name) is self:
                names[name] = self._system

    def _search(self) -> None:
        modules = dict(sys.modules)
        # A search takes some milliseconds, too many for each request; in the same modules it would find the same.
        if list(map(id, modules.values())) == list(map(id, self._searched.values())):
            return
        self._searched = modules
        self._places = [
            (vars(module), name)
            for where, module in modules.items()
            if isinstance(module, types.ModuleType) and not where.startswith(_OUR_MODULES)
            # Itself as well: what puts back what it found, such as monkeypatch, may do so when this has ended.
            for name, found in list(vars(module).items())
            if found is self._system or found is self
        ]


_sleeping = WhileNeeded(_Sleep().replace)


def sleep_moves_the_clock() -> AbstractContextManager[None]:
    """While it lasts, `time.sleep` in a handler moves the clock of its emulator."""
    return _sleeping
