"""What runs beside the requests: the broker's timers, and the store."""

from __future__ import annotations

import logging
import threading
import time

from appengine_channel_emu.broker.broker import Broker
from appengine_channel_emu.broker.state import Store

TICK = 0.2
"""Seconds between two looks at the timers at the most."""

TICK_PAUSE = 0.05
"""Seconds between two at the least: the precision of presence and expiry. With thousands of pages some timer is due
every few milliseconds, and waking a thread takes longer than what such a timer does."""

SAVE_INTERVAL = 0.25
"""Seconds between two saves: well within the second that a SIGKILL may cost (behaviour.md 2)."""

SAVE_PAUSE = 0.05
"""Seconds between two saves at the least."""

log = logging.getLogger("channel_emu.store")


class Ticker:
    """Runs the broker's timers as they fall due."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="timers", daemon=True)

    def start(self) -> None:
        """Start its thread."""
        self._thread.start()

    def stop(self) -> None:
        """End its thread."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        delay = 0.0
        while not self._stopping.wait(delay):
            self._broker.run_due()
            due = self._broker.next_due()
            delay = TICK if due is None else min(TICK, max(TICK_PAUSE, due - self._broker.clock.now()))


class Saver:
    """Writes what changed to the store: tokens and sockets at once, messages a few times a second."""

    def __init__(self, broker: Broker, store: Store) -> None:
        self._broker = broker
        self._store = store
        self._wake = threading.Event()
        self._stopping = False
        self._broken = False
        broker.when_urgent(self._wake.set)
        self._thread = threading.Thread(target=self._run, name="store", daemon=True)

    def start(self) -> None:
        """Start its thread."""
        self._thread.start()

    def stop(self) -> None:
        """Save what is left and close the store; call it when nothing changes any more."""
        self._stopping = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join()
        self._save()
        self._store.close()

    def _run(self) -> None:
        while not self._stopping:
            self._wake.wait(SAVE_INTERVAL)
            self._wake.clear()
            self._save()
            # The first of many is saved at once; the others together, or saving would take more than making them.
            time.sleep(SAVE_PAUSE)

    def _save(self) -> None:
        while not self._broken and (changes := self._broker.take_changes()):
            try:
                self._store.save(changes)
            except OSError as error:
                # What was taken cannot be given back in order; half a state would be worse than none.
                self._broken = True
                log.error("%s. Nothing more is saved; a restart will lose tokens and sockets.", error)
                self._broker.note("store_failed", f"{error}. Nothing more is saved.")
