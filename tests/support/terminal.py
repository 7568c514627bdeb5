"""A terminal: a program that believes that it talks to a person."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import time
from collections.abc import Mapping, Sequence

from tests.support.waiting import LONG_ENOUGH


class Terminal:
    """Runs `command` in one, with the whole environment `environ`; a context manager that ends it."""

    def __init__(self, command: Sequence[str], environ: Mapping[str, str]) -> None:
        self._pid, self._number = pty.fork()
        if not self._pid:
            os.execvpe(command[0], command, environ)
        self._shown = ""

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *exc_info: object) -> None:
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        os.close(self._number)

    def type(self, text: str) -> None:
        """Press keys."""
        os.write(self._number, text.encode())

    def read_until(self, pattern: str) -> str:
        """What is shown from the last one on until there is a match of `pattern`, the match included."""
        give_up = time.monotonic() + LONG_ENOUGH
        while not (found := re.search(pattern, self._shown)):
            assert time.monotonic() < give_up, self._shown
            if select.select([self._number], [], [], 0.1)[0]:
                self._shown += os.read(self._number, 65536).decode("utf-8", "replace")
        shown, self._shown = self._shown[: found.end()], self._shown[found.end() :]
        return shown
