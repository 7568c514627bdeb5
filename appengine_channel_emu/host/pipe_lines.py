"""Lines that a child process writes to a pipe."""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Callable, Iterator

READ_BYTES = 64 * 1024
"""At a time; and as much as a pipe has room for."""

LONGEST_LINE = 16 * 1024 * 1024
"""Bytes; one that is longer comes in several."""


class PipeLines:
    """Our end of the pipe; gives each line to `take`, one after another, on whichever thread has read it.

    Closes `fd` in the end.
    """

    def __init__(self, fd: int, take: Callable[[bytes], None]) -> None:
        self._fd = fd
        self._take = take
        self._lock = threading.Lock()
        # Each is for one thread at a time: for `follow`, and under the lock.
        self._any, self._more = self._poll_object(), self._poll_object()
        self._unfinished: list[bytes] = []
        self._size = 0
        self._ended = False

    def __enter__(self) -> PipeLines:
        return self

    def __exit__(self, *exc_info: object) -> None:
        with self._lock:
            self._ended = True
            os.close(self._fd)

    def follow(self) -> None:
        """Return when the process has closed its end."""
        while not self._ended:
            self._any.poll()
            self.catch_up()

    def catch_up(self) -> None:
        """Take all that is there, without waiting for more; what comes meanwhile may stay."""
        left = READ_BYTES
        with self._lock:
            while left > 0 and not self._ended and self._more.poll(0):
                data = os.read(self._fd, READ_BYTES)
                left -= len(data)
                self._ended = not data
                for line in self._lines(data):
                    self._take(line)

    def _lines(self, data: bytes) -> Iterator[bytes]:
        """Those that end in `data`."""
        *ended, rest = data.split(b"\n")
        for part in ended:
            yield self._finished(part)
        self._unfinished.append(rest)
        self._size += len(rest)
        # A process that is killed may leave half a line.
        if self._size > LONGEST_LINE or (self._ended and self._size):
            yield self._finished(b"")

    def _finished(self, part: bytes) -> bytes:
        line = b"".join((*self._unfinished, part))
        self._unfinished.clear()
        self._size = 0
        return line

    def _poll_object(self) -> select.poll:
        # A number beyond 1,023 is too large for select.
        made = select.poll()
        made.register(self._fd, select.POLLIN)
        return made
