"""Whether what a module has is a WSGI application, and what it is if not."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import Any

USUAL_NAMES = ("app", "application")
USUAL_FACTORIES = ("create_app", "make_app")

ASGI_HELP = (
    "App Engine's runtimes that had channels served WSGI, and so does this server. Start it with a server of its own, "
    "such as uvicorn, and put the emulator in front: channel-emu serve --upstream http://127.0.0.1:9000. "
    "Or make a WSGI application of it: a2wsgi.ASGIMiddleware(app)."
)


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
