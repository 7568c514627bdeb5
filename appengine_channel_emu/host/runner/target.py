"""What names a WSGI application: ``module:callable``, ``module:factory('argument')``, or a module alone."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

_MODULE = re.compile(r"[^\W\d][\w-]*(?:\.[^\W\d][\w-]*)*")
_PATH = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*")


class Target(NamedTuple):
    """A target in its parts.

    module: dotted; a name with a dash can be imported too.
    path:   the callable, which may be dotted; "" where the module alone is named.
    call:   positional and keyword arguments, where `path` is a factory that makes the application.
    """

    module: str
    path: str = ""
    call: tuple[list[Any], dict[str, Any]] | None = None


def parse_target(text: str) -> Target:
    """The parts of `text`; a factory's arguments are literals, as gunicorn has it. Raises ValueError."""
    module, colon, expression = text.partition(":")
    if not _MODULE.fullmatch(module):
        raise ValueError(f"{module!r} is not the name of a module")
    if not colon:
        return Target(module)
    if _PATH.fullmatch(expression):
        return Target(module, expression)
    return Target(module, *_factory(expression))


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
