"""The runner's reports to the front."""

from __future__ import annotations

import contextlib
import json
import os
import stat
import sys
import threading
import time
from collections.abc import Callable, Iterable
from importlib.machinery import SourceFileLoader
from typing import Any

MOST_TEXTS = 5000
"""Files that are read as text, at most: behaviour.md 8."""

MOST_BYTES = 1024 * 1024
"""What is larger is no text of the app's own."""

WROTE_SECONDS = 0.5
"""Between two reports that the same file is written: well within what the front allows for."""

NO_TEXT = (
    ".log", ".db", ".sqlite", ".sqlite3", ".db3", ".pid", ".lock", ".tmp", ".swp", ".pickle", ".pkl", ".pyc",
    ".png", ".jpg", ".jpeg", ".gif", ".ico", ".webp", ".avif", ".bmp", ".pdf", ".zip", ".gz", ".woff", ".woff2", ".ttf",
    ".otf", ".eot", ".mp3", ".mp4", ".ogg", ".wav", ".webm", ".so", "-wal", "-shm", "-journal", "~",
)  # fmt: skip
"""How the names of databases, logs and pictures end: an app that reads one has not read its own text."""

NO_FOLDERS = ("node_modules", "__pycache__")

_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class Report:
    """The pipe to the front."""

    def __init__(self, fd: int) -> None:
        os.set_inheritable(fd, False)
        self._fd = fd
        # See `SourceLog`.
        self._lock = threading.RLock()

    def send(self, **message: Any) -> None:
        """Sends one line."""
        data = json.dumps(message).encode() + b"\n"
        with self._lock:
            while data:
                data = data[os.write(self._fd, data) :]


class OwnFiles:
    """Which files belong to the app: those of its folder, without dot folders, node_modules and installed packages."""

    MOST_KEPT = 20_000

    def __init__(self, folder: str) -> None:
        self._folders = tuple({os.path.join(each(folder), "") for each in (os.path.abspath, os.path.realpath)})
        self._known: dict[str, bool] = {}

    def find(self, name: Any) -> str | None:
        """The whole path of the file called `name`, if it is one of the app's."""
        path = os.path.abspath(os.fsdecode(name))
        found = self._known.get(path)
        if found is None:
            if len(self._known) >= self.MOST_KEPT:
                self._known.clear()
            found = self._known[path] = self._is_own(path)
        return path if found else None

    def _is_own(self, path: str) -> bool:
        # As it is called, or where it is: either may be a symbolic link.
        return any(
            each.startswith(folder) and self._is_own_part(folder, each[len(folder) :])
            for folder in self._folders
            for each in {path, os.path.realpath(path)}
        )

    @staticmethod
    def _is_own_part(folder: str, rest: str) -> bool:
        *folders, _ = rest.split(os.sep)
        for name in folders:
            folder = os.path.join(folder, name)
            if name.startswith(".") or name.endswith("-packages") or name in NO_FOLDERS:
                return False
            if os.path.exists(os.path.join(folder, "pyvenv.cfg")):
                return False
        return True


class SourceLog:
    """Notes what the app reads of its own folder, and what it looked like just before; and what it writes there.

    Modules: the import system asks for a file's modification time and size (`SourceFileLoader.path_stats`) before it
    reads it. Text (templates, yaml, json): the interpreter says which file it is about to open (an audit hook). So a
    change made while the app is being imported is not missed.

    at_once: report each as it is read, so that an import that hangs can be fixed; else when `report` is called. A file
    that is opened to be written is reported before that.
    """

    def __init__(self, folder: str, report: Report) -> None:
        self._own = OwnFiles(folder)
        self._report = report
        self._seen: dict[str, list[float]] = {}
        self._new: dict[str, list[float]] = {}
        # Taken by one thread twice, when a finalizer that runs meanwhile opens a file.
        self._lock = threading.RLock()
        self._texts = 0
        self._read: set[str] = set()
        self._read_before: set[str] = set()
        self._read_again: set[str] = set()
        self._writing: dict[str, float] = {}
        self._unfinished: set[str] = set()
        self.at_once = True
        report.send(process=os.getpid())
        self._watch_imports()
        self._watch_files()

    def report(self, folders: Iterable[str] = ()) -> None:
        """Tells the front what is new since the last time."""
        with self._lock:
            new, self._new = self._new, {}
            unfinished, self._unfinished = self._unfinished, set()
            read, self._read = self._read, set()
            # Such a file is not kept from one request to the next.
            again = (read & self._read_before) - self._read_again
            self._read_before |= read
            self._read_again |= again
        if unfinished:
            # What a request has opened it has written until its end.
            self._report.send(wrote=list(unfinished), at=time.time())
        if again:
            self._report.send(again=list(again))
        if new or folders:
            self._report.send(sources=new, folders=list(folders))

    def _watch_imports(self) -> None:
        original = SourceFileLoader.path_stats

        def path_stats(loader: SourceFileLoader, path: str) -> Any:
            stats = original(loader, path)
            own = self._own.find(path)
            if own is not None:
                self._note(own, [stats["mtime"], stats["size"]])
            return stats

        SourceFileLoader.path_stats = path_stats  # type: ignore[method-assign, assignment]

    def _watch_files(self) -> None:
        events: dict[str, Callable[..., None]] = {
            "open": self._opened,
            "os.remove": lambda path, dir_fd: self._wrote(path, dir_fd),
            "os.rename": self._renamed,
            "os.link": lambda old, new, old_fd, new_fd: self._wrote(new, new_fd),
            "os.symlink": lambda old, new, dir_fd: self._wrote(new, dir_fd),
            "os.truncate": lambda path, length: self._wrote(path),
            "os.utime": lambda path, times, ns, dir_fd: self._wrote(path, dir_fd),
        }

        def hook(event: str, arguments: tuple[Any, ...]) -> None:
            handle = events.get(event)
            if handle is not None:
                # The app is not to fail by what watches it.
                with contextlib.suppress(Exception):
                    handle(*arguments)

        sys.addaudithook(hook)

    def _opened(self, name: Any, mode: str | None, flags: int) -> None:
        if isinstance(name, int):
            return
        if flags & _WRITES:
            self._wrote(name)
            return
        own = self._own.find(name)
        if own is None or own.endswith(NO_TEXT):
            return
        if own.endswith(".py"):
            if own in self._seen:
                return  # A traceback shows lines of it: that is not how the app has read it.
        elif own not in self._seen and not self._has_room():
            return
        stamp = _stamp(own, self.at_once)
        if stamp is not None:
            self._note(own, stamp)

    def _note(self, own: str, stamp: list[float]) -> None:
        with self._lock:
            if not self.at_once:
                self._read.add(own)
            is_new = self._seen.get(own) != stamp
            if is_new:
                self._texts += own not in self._seen and not own.endswith(".py")
                self._seen[own] = self._new[own] = stamp
        if is_new and self.at_once:
            self.report()

    def _has_room(self) -> bool:
        if self._texts == MOST_TEXTS:
            self._texts += 1
            self._report.send(too_many=MOST_TEXTS)
        return self._texts < MOST_TEXTS

    def _renamed(self, old: Any, new: Any, old_fd: int, new_fd: int) -> None:
        self._wrote(old, old_fd)
        self._wrote(new, new_fd)

    def _wrote(self, name: Any, dir_fd: int = -1) -> None:
        own = None if isinstance(name, int) or dir_fd != -1 else self._own.find(name)
        if own is None or own.endswith(NO_TEXT):
            return
        now = time.time()
        with self._lock:
            self._unfinished.add(own)
        if not 0 <= now - self._writing.get(own, 0.0) < WROTE_SECONDS:
            if len(self._writing) >= MOST_TEXTS:
                self._writing.clear()
            self._writing[own] = now
            self._report.send(wrote=[own], at=now)


def _stamp(path: str, missing_too: bool) -> list[float] | None:
    """Modification time and size of a file of text; empty for one that is missing, None for what is no such file."""
    try:
        found = os.stat(path)
    except OSError:
        return [] if missing_too else None
    return [found.st_mtime, found.st_size] if stat.S_ISREG(found.st_mode) and found.st_size <= MOST_BYTES else None
