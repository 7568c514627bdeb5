"""Imports the app."""

from __future__ import annotations

import os
import sys
import threading
import traceback
from types import ModuleType
from typing import TYPE_CHECKING, Any

from .callables import ASGI_HELP, USUAL_FACTORIES, USUAL_NAMES, find_application, is_async, objection_to
from .target import Target, parse_target

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
        """The one that a target names (see `parse_target`). Raises `TargetMissing`, or whatever its import raises."""
        found = self._loaded.get(target)
        if found is None:
            with self._lock:
                found = self._loaded[target] = _load(target)
        return found


def _load(text: str) -> WSGIApplication:
    try:
        target = parse_target(text)
    except ValueError as error:
        raise TargetMissing("attribute", f"{error}.") from None
    module = _import(target.module)
    if target.path:
        found, name = _attribute(module, target.path), target.path
        if target.call is not None:
            found, name = _made(found, target, name), f"what {name} makes"
    else:
        name, found = find_application(module) or ("", None)
        if not name:
            raise TargetMissing(
                "attribute",
                f"The module {target.module!r} has neither {' nor '.join(map(repr, USUAL_NAMES))}: "
                f"name its WSGI application, as in {target.module}:name.",
            )
    named = repr(name) if name.isidentifier() or "." in name else name
    objection = objection_to(found, f"{named} of the module {target.module!r}")
    if objection is not None:
        raise TargetMissing("attribute", objection)
    return found  # type: ignore[no-any-return]


def _import(name: str) -> ModuleType:
    try:
        __import__(name)
    except ModuleNotFoundError as error:
        if error.name and f"{name}.".startswith(f"{error.name}."):
            raise TargetMissing("module", f"There is no module {error.name!r}.") from error
        raise
    return sys.modules[name]


def _attribute(module: ModuleType, path: str) -> Any:
    found: Any = module
    for name in path.split("."):
        try:
            found = getattr(found, name)
        except AttributeError:
            raise TargetMissing(
                "attribute", f"The module {module.__name__!r} has no {path!r}.{_meant(module)}"
            ) from None
    return found


def _meant(module: ModuleType) -> str:
    there = [name for name in (*USUAL_NAMES, *USUAL_FACTORIES) if callable(getattr(module, name, None))]
    return f" Did you mean {module.__name__}:{there[0]}{'()' * (there[0] in USUAL_FACTORIES)}?" if there else ""


def _made(factory: Any, target: Target, name: str) -> Any:
    """What a factory makes. Raises `TargetMissing` for one that cannot be called so, or whatever it raises."""
    arguments, named = target.call or ([], {})
    if not callable(factory):
        raise TargetMissing("attribute", f"{name!r} of the module {target.module!r} cannot be called.")
    if is_async(factory):
        text = f"{name!r} of the module {target.module!r} is async, and makes no WSGI application. {ASGI_HELP}"
        raise TargetMissing("attribute", text)
    try:
        return factory(*arguments, **named)
    except TypeError as error:
        if error.__traceback__ is None or error.__traceback__.tb_next is not None:
            raise
        # It was not even entered: the arguments are not its own.
        raise TargetMissing("attribute", f"The factory of the module {target.module!r}: {error}.") from None


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
