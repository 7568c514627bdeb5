"""The front's end of the pipe on which an instance reports (host/runner/report.py)."""

from __future__ import annotations

import contextlib
import json
import os
import select
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any

READ_BYTES = 64 * 1024


class Reports:
    """Gives each message to `take`, one after another, on whichever thread has read it. Closes `fd` in the end."""

    def __init__(self, fd: int, take: Callable[[dict[str, Any]], None]) -> None:
        self._fd = fd
        self._take = take
        self._lock = threading.Lock()
        # Each is for one thread at a time: for `follow`, and under the lock.
        self._any, self._more = self._poll_object(), self._poll_object()
        self._rest = b""
        self._ended = False

    def __enter__(self) -> Reports:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._lock:
            self._ended = True
            os.close(self._fd)

    def follow(self) -> None:
        """Return when the process has closed its end."""
        while not self._ended:
            self._any.poll()
            self.catch_up()

    def catch_up(self) -> None:
        """Take all that is there, without waiting for more."""
        with self._lock:
            while not self._ended and self._more.poll(0):
                data = os.read(self._fd, READ_BYTES)
                self._ended = not data
                *lines, self._rest = (self._rest + data).split(b"\n")
                for line in lines:
                    # A handler that is cut in mid-report leaves half a line.
                    with contextlib.suppress(ValueError):
                        self._take(json.loads(line))

    def _poll_object(self) -> select.poll:
        # A number beyond 1,023 is too large for select.
        made = select.poll()
        made.register(self._fd, select.POLLIN)
        return made
