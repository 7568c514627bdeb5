"""Whether what an app has read of its own folder has changed since, other than by the app itself (behaviour.md 8)."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

Stamp = list[float]
"""A file's modification time and size; empty where there is none."""

LOOK_SECONDS = 0.0003
LOOK_SHARE = 10
"""Each request looks at all files. Where that takes more CPU time than `LOOK_SECONDS` (about two hundred files), nobody
looks again for so many times the rest: the requests of an app with thousands pay a tenth of the time at the most."""

SETTLE_SECONDS = 2.0
"""After the app has opened a file to write it, or after the request that did: what changes it then is the app."""

VANISHED_SECONDS = 0.02
"""Some editors remove a file before they write it again."""

WRITES_KEPT = 10_000

QUIET_SECONDS = 15.0
SOME_RESTARTS = 5
"""So many changes of a text without such a quiet are perhaps no user's work: if the app reads it time and again, as one
does with data, it needs no new instance to see them."""
MANY_RESTARTS = 20
PAUSE_SECONDS = 10.0
"""So many surely are not: from then on a change has to wait. Those of a module never do."""

log = logging.getLogger("channel_emu.instance")


class AppFiles:
    """What all instances of an app have in common: the files that the app itself writes, and what changes too often."""

    def __init__(self, ignored: Callable[[str], bool] = lambda path: False) -> None:
        self.ignored = ignored
        """Whether a file is none of the app's own text, by its path."""
        self._written: dict[str, float] = {}
        self._read_again: set[str] = set()
        self._restarts: dict[str, tuple[int, float]] = {}
        self._processes: dict[object, int] = {}
        self._reports: dict[object, Callable[[], object]] = {}
        self._told = False

    def report(self, key: object, catch_up: Callable[[], object] | None) -> None:
        """`catch_up` takes what an instance has reported and nobody has read; None: that instance has ended."""
        if catch_up is None:
            self._reports.pop(key, None)
            self._processes.pop(key, None)
        else:
            self._reports[key] = catch_up

    def catch_up(self) -> None:
        """Take what the instances have reported. What an app had reported before it answered is known after this."""
        for each in list(self._reports.values()):
            each()

    def wrote(self, paths: Iterable[str], at: float) -> None:
        """The app has opened `paths` for writing, or renamed or removed them; `at` is in seconds since the epoch."""
        for path in paths:
            self._written.pop(path, None)
            self._written[path] = at
        while len(self._written) > WRITES_KEPT:
            self._written.pop(next(iter(self._written)), None)

    def runs_in(self, key: object, process: int) -> None:
        """The number of an instance's process."""
        self._processes[key] = process

    def read_again(self, paths: Iterable[str]) -> None:
        """An instance has read `paths` in more than one request."""
        self._read_again.update(paths)

    def explain(self, path: str, stamp: Stamp) -> bool:
        """Whether the app itself made `path` what it is now."""
        at = self._written.get(path)
        if at is None:
            return False
        if not stamp or stamp[0] <= at + SETTLE_SECONDS:
            return True
        return any(_writes_to(process, path) for process in list(self._processes.values()))

    def may_restart(self, path: str) -> bool:
        """Whether a change of `path` is to cost an instance now."""
        if path.endswith(".py"):
            return True
        count, last = self._restarts.get(path, (0, 0.0))
        now = time.monotonic()
        if now - last > QUIET_SECONDS:
            count = 0
        if count >= SOME_RESTARTS and path in self._read_again:
            self._restarts[path] = (count, now)
            return False
        if count >= MANY_RESTARTS and now - last < PAUSE_SECONDS:
            return False
        if count == MANY_RESTARTS:
            log.warning(
                "%s changes again and again. The app has read it, so each change starts a new instance, from here on "
                "every %g seconds at most. If it is data and no source, list it under skip_files in app.yaml.",
                path,
                PAUSE_SECONDS,
            )
        self._restarts[path] = (count + 1, now)
        return True

    def too_many(self, most: int) -> None:
        """Say once that an instance has read more than `most` files of text."""
        if not self._told:
            self._told = True
            log.warning("The app has read more than %d files of its folder; changes of the others are not seen.", most)


class SourceWatch:
    """Files as they were when they were read. `changed_file` is the one that made it `changed`."""

    def __init__(self, app: AppFiles | None = None) -> None:
        self._app = app or AppFiles()
        self._lock = threading.Lock()
        self._files: dict[str, Stamp] = {}
        self._folders: dict[str, Stamp] = {}
        self._next_look = 0.0
        self.changed_file: str | None = None

    def add(self, files: Mapping[str, Stamp], folders: Iterable[str]) -> None:
        """Watch `files`, by path, and the entries of `folders`. A file that is read once more is as it was then."""
        with self._lock:
            self._files.update({path: stamp for path, stamp in files.items() if not self._app.ignored(path)})
            self._folders.update({folder: _folder_stamp(folder) for folder in folders})

    def changed(self) -> bool:
        """Whether something differs, and the app is not who did it; once true it stays true."""
        if self.changed_file is None and time.monotonic() >= self._next_look:
            # What the last request has read is known, whoever has been quicker.
            self._app.catch_up()
            if self._look():
                # And a report that came while we looked may say that the app did it.
                self._app.catch_up()
                self.changed_file = next((path for path, stamp in self._look() if self._is_change(path, stamp)), None)
        return self.changed_file is not None

    def _look(self) -> list[tuple[str, Stamp]]:
        """What differs, and how."""
        started = time.thread_time()
        with self._lock:
            differing = [(path, stamp) for path, seen in self._files.items() if (stamp := stamp_of(path)) != seen]
            differing += [
                (path, stamp) for path, seen in self._folders.items() if (stamp := _folder_stamp(path)) != seen
            ]
        self._next_look = time.monotonic() + LOOK_SHARE * max(0.0, time.thread_time() - started - LOOK_SECONDS)
        return differing

    def _is_change(self, path: str, stamp: Stamp) -> bool:
        if path in self._folders:
            return True
        if not stamp:
            time.sleep(VANISHED_SECONDS)
            stamp = stamp_of(path)
            if stamp == self._files[path]:
                return False
        if self._app.explain(path, stamp):
            with self._lock:
                self._files[path] = stamp
            return False
        return self._app.may_restart(path)


def _writes_to(process: int, path: str) -> bool:
    """Whether `process` has `path` open for writing, as one has its log; False where that cannot be known."""
    try:
        found = os.stat(path)
        for number in os.listdir(f"/proc/{process}/fd"):
            with contextlib.suppress(OSError):
                if os.path.samestat(os.stat(f"/proc/{process}/fd/{number}"), found):
                    flags = re.search(r"^flags:\s*(\d+)", Path(f"/proc/{process}/fdinfo/{number}").read_text(), re.M)
                    if flags is not None and int(flags[1], 8) & os.O_ACCMODE != os.O_RDONLY:
                        return True
    except OSError:
        pass
    return False


def stamp_of(path: str) -> Stamp:
    """What `path` looks like now."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return []
    return [found.st_mtime, found.st_size]


def _folder_stamp(folder: str) -> Stamp:
    return stamp_of(folder)[:1]
