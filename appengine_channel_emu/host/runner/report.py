"""The runner's reports to the front."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterable
from importlib.machinery import SourceFileLoader
from typing import Any


class Report:
    """The pipe to the front."""

    def __init__(self, fd: int) -> None:
        os.set_inheritable(fd, False)
        self._fd = fd
        self._lock = threading.Lock()

    def send(self, **message: Any) -> None:
        """Sends one line."""
        data = json.dumps(message).encode() + b"\n"
        with self._lock:
            while data:
                data = data[os.write(self._fd, data) :]


class SourceLog:
    """Notes which source files of the app are loaded, and what they looked like just before they were read.

    The import system asks for a file's modification time and size (`SourceFileLoader.path_stats`) before it reads it;
    that is when we look. So a change made while the app is being imported is not missed.

    at_once: report each as it is read, so that an import that hangs can be mended; else when `report` is called.
    """

    def __init__(self, folder: str, report: Report) -> None:
        self._folder = os.path.join(os.path.realpath(folder), "")
        self._report = report
        self._new: dict[str, list[float]] = {}
        self.at_once = True
        original = SourceFileLoader.path_stats

        def path_stats(loader: SourceFileLoader, path: str) -> Any:
            stats = original(loader, path)
            real = os.path.realpath(path)
            if real.startswith(self._folder) and "-packages" + os.sep not in real:
                self._new[real] = [stats["mtime"], stats["size"]]
                if self.at_once:
                    self.report()
            return stats

        SourceFileLoader.path_stats = path_stats  # type: ignore[method-assign, assignment]

    def report(self, folders: Iterable[str] = ()) -> None:
        """Tells the front what is new since the last time."""
        if self._new or folders:
            new, self._new = self._new, {}
            self._report.send(sources=new, folders=list(folders))
