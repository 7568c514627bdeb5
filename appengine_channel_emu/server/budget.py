"""Time for a stop: nothing that hangs keeps the process."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

LEAST_SECONDS = 0.5
"""What each part gets, however long the others took."""

log = logging.getLogger("channel_emu")


class Budget:
    """`seconds` for all parts of a stop together, from now on."""

    def __init__(self, seconds: float) -> None:
        self._until = time.monotonic() + seconds

    def at_most(self, seconds: float) -> float:
        """How long a part may take that is to take no longer than `seconds`."""
        return max(LEAST_SECONDS, min(seconds, self._until - time.monotonic()))

    def join(self, thread: threading.Thread, seconds: float, what: str) -> bool:
        """Whether `thread` has ended in time."""
        thread.join(self.at_most(seconds))
        if thread.is_alive():
            log.warning("Stopping waits no longer for %s.", what)
        return not thread.is_alive()

    def call(self, action: Callable[[], object], seconds: float, what: str) -> bool:
        """Call `action`; whether it has returned in time. What it raises is logged."""

        def guarded() -> None:
            try:
                action()
            except Exception:
                log.exception("Stopping %s failed.", what)

        thread = threading.Thread(target=guarded, name=f"stop: {what}", daemon=True)
        thread.start()
        return self.join(thread, seconds, what)
