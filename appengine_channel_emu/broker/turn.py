"""One change of the broker's state at a time; whatever it leads to outside happens once the lock is released."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from threading import Event, Lock, RLock
from types import TracebackType
from typing import Any

from appengine_channel_emu.broker.clock import Clock
from appengine_channel_emu.broker.events import EventLog
from appengine_channel_emu.timer import Timer, Timers

_signals = RLock()
"""One for all signals: each idle poll has one of those, and it is held for a moment. What the garbage collector ends in
that moment may set another, hence reentrant."""


class Signal:
    """Off until `set`; callbacks given to `when_set` are called once, from whichever thread sets it."""

    __slots__ = ("_callback", "is_set")

    def __init__(self) -> None:
        self._callback: Callable[[], None] | None = None
        self.is_set = False

    def set(self) -> None:
        """Turn it on, for good."""
        with _signals:
            self.is_set = True
            callback, self._callback = self._callback, None
        if callback is not None:
            callback()

    def when_set(self, callback: Callable[[], None]) -> None:
        """Call `callback` when it is set: at once if it is."""
        with _signals:
            if not self.is_set:
                first = self._callback
                self._callback = callback if first is None else partial(_call_both, first, callback)
                return
        callback()


def _call_both(first: Callable[[], None], second: Callable[[], None]) -> None:
    first()
    second()


class Pending(Exception):
    """Raised by a call of a broker that cannot be answered at once: `ready` is set once it can.

    `result` then gives what the call would have given, or raises what it would have raised. Whoever made the call may
    wait for `ready` without a thread, or on a thread that may wait.
    """

    def __init__(self) -> None:
        super().__init__("this answer is not there yet")
        self.ready = Signal()
        self._value: Any = None
        self._error: Exception | None = None

    def result(self) -> Any:
        """The answer; to be called once `ready` is set."""
        assert self.ready.is_set
        if self._error is not None:
            raise self._error
        return self._value

    def wait(self, seconds: float) -> Any:
        """The answer, once it is there: blocks its thread. Raises TimeoutError after so many seconds."""
        arrived = Event()
        self.ready.when_set(arrived.set)
        if not arrived.wait(seconds):
            raise TimeoutError(f"no answer within {seconds:g} s")
        return self.result()

    def answer(self, value: Any) -> None:
        """This is the answer, unless there is one."""
        if not self.ready.is_set:
            self._value = value
            self.ready.set()

    def fail(self, error: Exception) -> None:
        """The call has failed, unless there is an answer."""
        if not self.ready.is_set:
            self._error = error
            self.ready.set()


class Turn:
    """The broker's lock as a context manager, with its clock, timers and events.

    Effects given to `then` run in order after the lock is released, on the thread that made the change, so that
    no app, socket or log handler is ever called under the lock.
    """

    def __init__(self, clock: Clock, events: EventLog) -> None:
        self.clock = clock
        self.timers = Timers()
        self.events = events
        self._lock = Lock()
        self._effects: list[Callable[[], None]] = []

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        effects = self._effects
        if not effects:
            self._lock.release()
            return
        self._effects = []
        self._lock.release()
        for effect in effects:
            effect()

    def now(self) -> float:
        """Seconds of the clock."""
        return self.clock.now()

    def uptime(self) -> float:
        """Seconds of the clock in which the emulator ran, see `Clock.uptime`."""
        return self.clock.uptime()

    def after(self, seconds: float, action: Callable[..., None], *args: Any) -> Timer:
        """Call `action` in so many seconds; as many may have been stood still, so it looks at `uptime` again."""
        return self.timers.set(self.now() + seconds, action, *args)

    def then(self, effect: Callable[[], None]) -> None:
        """Call `effect` after this turn; it must not raise."""
        self._effects.append(effect)

    def event(
        self,
        kind: str,
        text: str,
        client_id: str | None = None,
        socket: str | None = None,
        detail: dict[str, Any] | None = None,
        time: float | None = None,
    ) -> None:
        """Record an event of this moment, which is `time` where that is known; its listeners hear after this turn."""
        events = self.events
        event = events.add(self.clock.now() if time is None else time, kind, text, client_id, socket, detail)
        if events.listeners:
            self._effects.append(partial(events.publish, event))

    def run_due(self) -> None:
        """Run every timer that is due, each in a turn of its own; to be called several times a second."""
        # The clock tells by these questions whether this process runs.
        self.clock.uptime()
        while True:
            with self:
                timer = self.timers.pop_due(self.now())
                if timer is None:
                    return
                if timer.action is not None:
                    timer.action(*timer.args)


class ClockScheduler:
    """A `Scheduler` on the broker's own clock, where no other time passes: with a clock that a test moves."""

    def __init__(self, turn: Turn) -> None:
        self._turn = turn

    def now(self) -> float:
        """See `Scheduler`."""
        return self._turn.now()

    def at(self, due: float, action: Callable[[], None]) -> None:
        """See `Scheduler`; not to be called inside a turn."""
        with self._turn:
            self._turn.timers.set(due, self._turn.then, action)
