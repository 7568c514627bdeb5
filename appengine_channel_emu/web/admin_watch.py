"""Waiting for things to happen: answers of the admin API that are parked until a condition holds."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock

from appengine_channel_emu.broker.contract import Broker
from appengine_channel_emu.broker.events import Event
from appengine_channel_emu.broker.turn import Signal
from appengine_channel_emu.web.waiting import Waiting
from appengine_channel_emu.web.wsgi import Answer

Condition = Callable[[], bool]


class EventWatch:
    """Looks at the conditions of those who wait, at each event; with nobody waiting it costs nothing."""

    def __init__(self, broker: Broker) -> None:
        self._lock = Lock()
        self._waiters: dict[Signal, Condition] = {}
        broker.events.listen(self._on_event)

    def waiting(self, condition: Condition, seconds: float, answer: Callable[[], Answer]) -> Waiting:
        """An answer that is made once `condition` holds, or after `seconds`."""
        signal = Signal()
        with self._lock:
            self._waiters[signal] = condition
        if condition():
            signal.set()
        return Waiting(signal, seconds, answer, lambda: self._forget(signal))

    def _on_event(self, event: Event) -> None:
        if not self._waiters:
            return
        with self._lock:
            waiters = list(self._waiters.items())
        for signal, condition in waiters:
            if condition():
                self._forget(signal)
                signal.set()

    def _forget(self, signal: Signal) -> None:
        with self._lock:
            self._waiters.pop(signal, None)
