"""Saving: what changed goes to the store, on a thread of its own, while requests are served."""

from __future__ import annotations

import logging
import threading
import time

from appengine_channel_emu.broker.broker import EmbeddedBroker
from appengine_channel_emu.broker.saving import Changes, Store, StoreLost

SAVE_INTERVAL = 0.25
"""Seconds between two saves: well within the second that a SIGKILL may cost (behaviour.md 2)."""

SAVE_PAUSE = 0.05
"""Seconds between two saves at the least."""

LONGEST_RETRY = 2.0
"""Seconds between two tries of a save that fails, at the most."""

COMPLAIN_AFTER = 1.0
"""Seconds for which saving fails before that is said."""

STOP_PATIENCE = 2.0
"""Seconds for which a save that fails is tried again while the emulator is being stopped."""

log = logging.getLogger("channel_emu.store")


class Saver:
    """Writes what changed to the store: tokens and sockets at once, messages a few times a second.

    What cannot be saved is tried again for as long as the emulator runs.
    """

    def __init__(self, broker: EmbeddedBroker, store: Store) -> None:
        self._broker = broker
        self._store = store
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._failing_since: float | None = None
        self._problem = ""
        self._complained = False
        self._up_to_date = False
        """The last save has succeeded; before the first of a run the store may not have been able to begin one."""
        broker.when_urgent(self._wake.set)
        self._thread = threading.Thread(target=self._run, name="store", daemon=True)

    def start(self) -> None:
        """Start its thread."""
        self._thread.start()

    def stop(self) -> None:
        """Save what is left and close the store; call it when nothing changes any more."""
        self._stopping.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join()
        give_up = time.monotonic() + STOP_PATIENCE
        while not (saved := self.save()) and time.monotonic() < give_up:
            time.sleep(SAVE_INTERVAL)
        if not saved:
            self._complain("The emulator stops, and what it could not save is lost.")
        self._store.close(saved)

    def _run(self) -> None:
        pause = SAVE_PAUSE
        while not self._stopping.wait(pause):
            # The first of many is saved at once; the others together, or saving would take more than making them.
            self._wake.wait(SAVE_INTERVAL)
            self._wake.clear()
            pause = SAVE_PAUSE if self.save() else min(LONGEST_RETRY, max(SAVE_INTERVAL, 2 * pause))

    def save(self) -> bool:
        """Save what there is to save, and say what becomes of it; whether all of it could be."""
        try:
            while (changes := self._broker.take_changes()) or not self._up_to_date:
                self._save(changes)
                self._works()
        except Exception as error:
            self._broker.give_back_changes()
            self._fails(error)
            return False
        self._store.tidy()
        return True

    def _save(self, changes: Changes) -> None:
        try:
            self._store.save(changes)
        except StoreLost as error:
            self._broker.save_anew()
            if str(error):
                self._broker.note("state_set_aside", f"{error} All that there is now is saved again.")

    def _fails(self, error: Exception) -> None:
        self._up_to_date = False
        now = time.monotonic()
        if self._failing_since is None:
            self._failing_since = now
        if not isinstance(error, OSError):
            log.debug("The state cannot be saved.", exc_info=error)
        self._problem = str(error)
        # Another program may have the file locked for a moment.
        if now - self._failing_since >= COMPLAIN_AFTER and not self._complained:
            self._complain("It is tried again until it works.")

    def _complain(self, what_now: str) -> None:
        self._complained = True
        self._broker.note("store_failed", f"The state cannot be saved: {self._problem}. {what_now}")

    def _works(self) -> None:
        if self._complained:
            self._broker.note("store_works", "The state is saved again, and nothing of it is missing.")
        self._failing_since, self._complained = None, False
        self._up_to_date = True
