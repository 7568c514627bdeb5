"""What a client has not taken yet of its answers."""

from __future__ import annotations

import os
import sys
import tempfile
from typing import IO, Any

from waitress.buffers import OverflowableBuffer

BLOCK_BYTES = 256 * 1024
"""What is written at a time."""


class AnswerBuffer:
    """Waitress's buffer of an answer: bytes in memory, and from `overflow` bytes on in a temporary file.

    Where that has no room everything stays in memory: what has been sent of an answer cannot be taken back.
    """

    __slots__ = ("_file", "_memory", "_overflow", "_read", "_written")

    def __init__(self, overflow: int) -> None:
        self._overflow = overflow
        self._memory = bytearray()
        self._file: IO[bytes] | None = None
        self._read = self._written = 0
        """What is in the file, and comes before what is in memory: from here, to there."""

    def __len__(self) -> int:
        return self._written - self._read + len(self._memory)

    def append(self, data: bytes) -> None:
        """Add `data` at the end."""
        self._memory += data
        if len(self._memory) >= self._overflow:
            try:
                self._spool()
            except OSError:
                self._overflow = sys.maxsize

    def get(self, count: int) -> bytes:
        """Up to `count` bytes of its beginning, which stay."""
        if self._file is not None and self._read < self._written:
            return os.pread(self._file.fileno(), min(count, self._written - self._read), self._read)
        return bytes(self._memory[:count])

    def skip(self, count: int, allow_prune: bool = False) -> None:
        """Forget `count` bytes of its beginning, at most as many as `get` returned."""
        if self._read < self._written:
            self._read += count
        else:
            del self._memory[:count]

    def close(self) -> None:
        """Forget everything."""
        file, self._file = self._file, None
        self._read = self._written = 0
        self._memory.clear()
        if file is not None:
            file.close()

    def _spool(self) -> None:
        """Move what is in memory to the file. Raises OSError with everything where it was."""
        if self._file is None:
            self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - see close
        number, done = self._file.fileno(), 0
        try:
            while done < len(self._memory):
                done += os.pwrite(number, self._memory[done : done + BLOCK_BYTES], self._written + done)
        except OSError:
            os.ftruncate(number, self._written)
            raise
        self._written += done
        self._memory = bytearray()


class AnswerBuffers(list[Any]):
    """A connection's buffers. Waitress's own kind fails where the temporary folder is full."""

    __slots__ = ("_overflow",)

    def __init__(self, overflow: int) -> None:
        super().__init__([AnswerBuffer(overflow)])
        self._overflow = overflow

    def append(self, buffer: Any) -> None:
        """See list; in the place of an empty one of waitress's kind comes one of ours."""
        super().append(AnswerBuffer(self._overflow) if isinstance(buffer, OverflowableBuffer) else buffer)
