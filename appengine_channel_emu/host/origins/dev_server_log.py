"""What the SDK's dev server writes: its own lines and those of the app, on their way to our log."""

from __future__ import annotations

import contextlib
import logging
import re
import sys
import threading
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import unquote_to_bytes

from appengine_channel_emu.host.pipe_lines import PipeLines

LOG_PREFIX = "dev_appserver | "

_NO_NEWS = (
    "Could not read search indexes from",
    "Skipping SDK update check.",
    "Starting admin server at:",
    "Starting API server at:",
    'Starting module "default" running at:',
    # What App Engine's manual scaling asks for, of apps that nearly never have it.
    '"GET /_ah/start HTTP/1.1" 404',
)
"""In lines of every start that tell the user nothing, or what our own log says: a first start has no indexes, and who
opens an address of the dev server's own gets round the emulator."""

_NEW_INSTANCE = "New instance for module"
"""Begins a message of three lines, with another such address in it."""
_ITS_LINES = re.compile(r"(http://\S+:\d+)?")

# google/appengine/tools/devappserver2/module.py writes it once the app has finished, before the answer leaves.
_REQUEST = re.compile(r'(?:INFO|DEBUG) .* module\.py:\d+\] \S+: "(\S+) (.*) HTTP/1\.[01]" \d{3} (?:\d+|-)')

_LAST_LINES = 15

log = logging.getLogger("channel_emu.sdk")


class DevServerLog:
    """The lines that come through `pipe`, on standard error, but for those that say what our own log says.

    The dev server writes a line for each request, and so do we for those that went through us. What it writes of its
    own, such as tasks and cron jobs, stays; at the level debug everything does.
    """

    def __init__(self, pipe: int) -> None:
        self._lines = PipeLines(pipe, self._take)
        self._last: deque[str] = deque(maxlen=_LAST_LINES)
        self._lock = threading.Lock()
        self._ours: Counter[tuple[str, bytes]] = Counter()
        """The requests of ours that are under way."""
        self._written: Counter[tuple[str, bytes]] = Counter()
        """Those of them whose lines have come."""
        self._of_new_instance = 0
        """How many lines of that message may be still to come."""

    def pass_on(self) -> None:
        """Return when the process has ended."""
        with self._lines:
            self._lines.follow()

    @contextmanager
    def of_request(self, method: str, target: str) -> Iterator[None]:
        """While a request is with the dev server; at the end what the app has written meanwhile has been passed on."""
        key = _key(method, target)
        with self._lock:
            self._ours[key] += 1
        try:
            yield
        finally:
            self._lines.catch_up()
            with self._lock:
                self._ours -= Counter((key,))
                self._written -= Counter((key,))

    def last_words(self) -> str:
        """Its last lines, without the way through the SDK's own code that led there: the log has that."""
        frames = ("Traceback (", '  File "', "    ")
        return "".join(f"\n{LOG_PREFIX}{line}" for line in self._last if not line.startswith(frames))

    def _take(self, data: bytes) -> None:
        line = data.decode("utf-8", "replace")
        self._last.append(line)
        if self._is_no_news(line):
            return
        request = _REQUEST.fullmatch(line)
        if request is not None and self._is_ours(_key(request[1], request[2])) and not log.isEnabledFor(logging.DEBUG):
            return
        with contextlib.suppress(OSError):
            sys.stderr.write(f"{LOG_PREFIX}{line}\n")

    def _is_no_news(self, line: str) -> bool:
        if _NEW_INSTANCE in line:
            self._of_new_instance = 2
            return True
        if self._of_new_instance and _ITS_LINES.fullmatch(line):
            self._of_new_instance -= 1
            return True
        self._of_new_instance = 0
        return any(words in line for words in _NO_NEWS)

    def _is_ours(self, key: tuple[str, bytes]) -> bool:
        """Whether this is the line of a request that is under way; each has one."""
        with self._lock:
            ours = self._written[key] < self._ours[key]
            if ours:
                self._written[key] += 1
            return ours


def _key(method: str, target: str) -> tuple[str, bytes]:
    """The dev server writes a path with escapes of its own choice."""
    return method, unquote_to_bytes(target)
