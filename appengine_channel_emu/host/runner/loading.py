"""From the name of a WSGI application to the application: what a target says, its import, and whether it is one.

A target is ``module:callable``, ``module:factory('argument')``, or a module alone.
"""

from __future__ import annotations

import inspect
import os
import re
import sys
import threading
import traceback
from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

_MODULE = re.compile(r"[^\W\d][\w-]*(?:\.[^\W\d][\w-]*)*")
_PATH = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*")

USUAL_NAMES = ("app", "application")
USUAL_FACTORIES = ("create_app", "make_app")

ASGI_HELP = (
    "App Engine's runtimes that had channels served WSGI, and so does this server. Start it with a server of its own, "
    "such as uvicorn, and put the emulator in front: channel-emu serve --upstream http://127.0.0.1:9000. "
    "Or make a WSGI application of it: a2wsgi.ASGIMiddleware(app)."
)


class AppTarget(NamedTuple):
    """A target in its parts.

    module: dotted; a name with a dash can be imported too.
    path:   the callable, which may be dotted; "" where the module alone is named.
    call:   positional and keyword arguments, where `path` is a factory that makes the application.
    """

    module: str
    path: str = ""
    call: tuple[list[Any], dict[str, Any]] | None = None


def parse_target(text: str) -> AppTarget:
    """The parts of `text`; a factory's arguments are literals, as gunicorn has it. Raises ValueError."""
    module, colon, expression = text.partition(":")
    if not _MODULE.fullmatch(module):
        raise ValueError(f"{module!r} is not the name of a module")
    if not colon:
        return AppTarget(module)
    if _PATH.fullmatch(expression):
        return AppTarget(module, expression)
    return AppTarget(module, *_factory(expression))


def _factory(expression: str) -> tuple[str, tuple[list[Any], dict[str, Any]]]:
    # Only here: most targets have none, and an instance starts the sooner.
    import ast

    try:
        call = ast.parse(expression.strip(), mode="eval").body
        if not isinstance(call, ast.Call) or not _PATH.fullmatch(path := ast.unparse(call.func)):
            raise ValueError
        arguments = [ast.literal_eval(each) for each in call.args]
        named = {each.arg: ast.literal_eval(each.value) for each in call.keywords if each.arg is not None}
        if len(named) < len(call.keywords):
            raise ValueError
    except (SyntaxError, ValueError, TypeError, MemoryError, RecursionError):
        raise ValueError(
            f"{expression!r} is neither a callable's name nor a call of a factory, such as create_app('test'), whose "
            "arguments are plain values"
        ) from None
    return path, (arguments, named)


class NotLoaded(Exception):
    """The application is not to be had.

    `reason` is "module" or "attribute" for one that does not exist; "raised" when its import or its factory has raised:
    then the text is the traceback.
    """

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


class Apps:
    """The WSGI applications of the app's folder, each imported when it is first asked for."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loaded: dict[str, WSGIApplication] = {}

    def get(self, target: str) -> WSGIApplication:
        """The one that a target names (see `parse_target`). Raises `NotLoaded`; a traceback is in the log too."""
        found = self._loaded.get(target)
        if found is None:
            try:
                with self._lock:
                    found = self._loaded[target] = _load(target)
            except NotLoaded:
                raise
            except BaseException as error:
                text = traceback_of(error)
                sys.stderr.write(text)
                raise NotLoaded("raised", text) from None
        return found


def _load(text: str) -> WSGIApplication:
    try:
        target = parse_target(text)
    except ValueError as error:
        raise NotLoaded("attribute", f"{error}.") from None
    module = _import(target.module)
    if target.path:
        found, name = _attribute(module, target.path), target.path
        if target.call is not None:
            found, name = _made(found, target, name), f"what {name} makes"
    else:
        name, found = find_application(module) or ("", None)
        if not name:
            raise NotLoaded(
                "attribute",
                f"The module {target.module!r} has neither {' nor '.join(map(repr, USUAL_NAMES))}: "
                f"name its WSGI application, as in {target.module}:name.",
            )
    named = repr(name) if name.isidentifier() or "." in name else name
    objection = objection_to(found, f"{named} of the module {target.module!r}")
    if objection is not None:
        raise NotLoaded("attribute", objection)
    return found  # type: ignore[no-any-return]


def _import(name: str) -> ModuleType:
    try:
        __import__(name)
    except ModuleNotFoundError as error:
        if error.name and f"{name}.".startswith(f"{error.name}."):
            raise NotLoaded("module", f"There is no module {error.name!r}.") from error
        raise
    return sys.modules[name]


def _attribute(module: ModuleType, path: str) -> Any:
    found: Any = module
    for name in path.split("."):
        try:
            found = getattr(found, name)
        except AttributeError:
            raise NotLoaded("attribute", f"The module {module.__name__!r} has no {path!r}.{_meant(module)}") from None
    return found


def _meant(module: ModuleType) -> str:
    there = [name for name in (*USUAL_NAMES, *USUAL_FACTORIES) if callable(getattr(module, name, None))]
    return f" Did you mean {module.__name__}:{there[0]}{'()' * (there[0] in USUAL_FACTORIES)}?" if there else ""


def _made(factory: Any, target: AppTarget, name: str) -> Any:
    """What a factory makes. Raises `NotLoaded` for one that cannot be called so, or whatever it raises."""
    arguments, named = target.call or ([], {})
    if not callable(factory):
        raise NotLoaded("attribute", f"{name!r} of the module {target.module!r} cannot be called.")
    if is_async(factory):
        text = f"{name!r} of the module {target.module!r} is async, and makes no WSGI application. {ASGI_HELP}"
        raise NotLoaded("attribute", text)
    try:
        return factory(*arguments, **named)
    except TypeError as error:
        if error.__traceback__ is None or error.__traceback__.tb_next is not None:
            raise
        # It was not even entered: the arguments are not its own.
        raise NotLoaded("attribute", f"The factory of the module {target.module!r}: {error}.") from None


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


def find_application(module: ModuleType) -> tuple[str, Any] | None:
    """The application of a module of which nothing else is known: its name and it, or None.

    It has one of the usual names, or is the only one that a framework would start (Flask's have a `wsgi_app`); else a
    factory with a usual name makes it.
    """
    usual = [(name, getattr(module, name, None)) for name in USUAL_NAMES]
    usual = [(name, found) for name, found in usual if callable(found)]
    fitting = [(name, found) for name, found in usual if objection_to(found, name) is None]
    if usual:
        return (fitting or usual)[0]
    others = {id(found): (name, found) for name, found in vars(module).items() if _is_framework_app(found)}
    if len(others) == 1:
        return next(iter(others.values()))
    for name in USUAL_FACTORIES:
        factory = getattr(module, name, None)
        if inspect.isroutine(factory) and _takes(factory, 0):
            return f"{name}()", factory()
    return None


def objection_to(found: Any, name: str) -> str | None:
    """Why `found`, which is called `name`, is no WSGI application: a text for people. None where it may well be one."""
    if inspect.iscoroutine(found):
        found.close()
        return f"{name} is a coroutine, not a WSGI application. {ASGI_HELP}"
    if not callable(found):
        return f"{name} is not a WSGI application."
    if is_async(found) or (_takes(found, 3) and not _takes(found, 2)):
        return f"{name} is an ASGI application. {ASGI_HELP}"
    if _is_factory(found):
        return (
            f"{name} needs no arguments, and a WSGI application takes two, environ and start_response. If it is a "
            "factory that makes the application, name a call of it, with parentheses: module:factory()."
        )
    if _takes(found, 2):
        return None
    return (
        f"{name} is not a WSGI application, which is called with two arguments, environ and start_response. What has a "
        "server of its own is started by itself; channel-emu serve --upstream then stands in front of it."
    )


def is_async(found: Any) -> bool:
    """Whether a callable is made with `async def`, itself or in its class."""
    while isinstance(found, partial):
        found = found.func
    return any(
        inspect.iscoroutinefunction(each) or inspect.isasyncgenfunction(each)
        for each in (found, getattr(found, "__call__", None))  # noqa: B004 - it is looked at, not called
    )


def is_awaitable(result: Any) -> bool:
    """Whether what a call has returned is for an event loop."""
    return hasattr(result, "__await__") or hasattr(result, "__aiter__")


def _is_framework_app(found: Any) -> bool:
    return callable(found) and not inspect.isclass(found) and hasattr(type(found), "wsgi_app")


def _is_factory(found: Any) -> bool:
    """Whether it is a function or class that can be called without arguments, and has names for all it could take."""
    if not (inspect.isroutine(found) or inspect.isclass(found)) or not _takes(found, 0):
        return False
    try:
        parameters = list(inspect.signature(found, follow_wrapped=False).parameters.values())
    except (ValueError, TypeError):
        return False
    takes_any = any(each.kind is each.VAR_POSITIONAL for each in parameters)
    return not takes_any and not any(each.name.startswith("env") for each in parameters[:1])


def _takes(found: Callable[..., Any], count: int) -> bool:
    """Whether it can be called with so many arguments; true where nobody can tell."""
    try:
        # Of what wraps another it is the wrapper that is called.
        signature = inspect.signature(found, follow_wrapped=False)
    except (ValueError, TypeError):
        return True
    try:
        signature.bind(*[None] * count)
    except TypeError:
        return False
    return True
