"""Imports the app."""

from __future__ import annotations

import os
import sys
import threading
import traceback
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


class TargetMissing(Exception):
    """What the target names does not exist; `reason` is "module" or "attribute"."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


class Apps:
    """The WSGI applications of the app's folder, each imported when it is first asked for."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loaded: dict[str, WSGIApplication] = {}

    def get(self, target: str) -> WSGIApplication:
        """The one named "module:callable". Raises `TargetMissing`, or whatever its import raises."""
        found = self._loaded.get(target)
        if found is None:
            with self._lock:
                found = self._loaded[target] = _load(target)
        return found


def _load(target: str) -> WSGIApplication:
    module_name, _, path = target.partition(":")
    try:
        __import__(module_name)
    except ModuleNotFoundError as error:
        if error.name and f"{module_name}.".startswith(f"{error.name}."):
            raise TargetMissing("module", f"There is no module {error.name!r}.") from error
        raise
    found: Any = sys.modules[module_name]
    for name in path.split("."):
        try:
            found = getattr(found, name)
        except AttributeError:
            raise TargetMissing("attribute", f"The module {module_name!r} has no {path!r}.") from None
    if not callable(found):
        raise TargetMissing("attribute", f"{path!r} of the module {module_name!r} is not a WSGI application.")
    return found  # type: ignore[no-any-return]


def reached_folders(folder: str) -> list[str]:
    """Where a module that was missing may turn up."""
    return sorted({os.path.realpath(entry or folder) for entry in sys.path if os.path.isdir(entry or folder)})


def traceback_of(error: BaseException) -> str:
    """The traceback from where the app's own code begins."""
    ours = os.path.dirname(__file__)
    frames = error.__traceback__
    while frames is not None and os.path.dirname(frames.tb_frame.f_code.co_filename) == ours:
        frames = frames.tb_next
    return "".join(traceback.format_exception(type(error), error, frames or error.__traceback__))
