"""docs/api.md, made of the docstrings: `python -m tests.docs.api`."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from appengine_channel_emu.environment import importable
from tests.support.parts import ROOT

DOCUMENT = ROOT / "docs" / "api.md"
PACKAGE = "appengine_channel_emu"
PLUGIN = ROOT / PACKAGE / "pytest_plugin.py"

_HEAD = """# Python API

Made of the docstrings, by `python -m tests.docs.api`; a test holds it to them. [testing.md](testing.md) shows how these
are used, and [clients.md](clients.md) what an app does.
"""

_SEE = re.compile(r"See `\w+`\.\s*")
"""The docstring of a method that does what its base class says."""


def document() -> str:
    """All of it."""
    with importable():
        channel = importlib.import_module("google.appengine.api.channel")
    testing = importlib.import_module(f"{PACKAGE}.testing")
    parts = [
        _HEAD,
        "\n## google.appengine.api.channel\n",
        "\nWhat an app imports, in Python 2.7 and 3: `from google.appengine.api import channel`.\n",
        *_exported(channel),
        f"\n## {PACKAGE}.testing\n",
        f"\n{_text(inspect.getdoc(testing))}\n",
        *_exported(testing),
        "\n## Fixtures of the pytest plugin\n",
        "\nThe plugin is there wherever the package is installed.\n",
        *_fixtures(),
    ]
    return "".join(parts)


def _exported(module: ModuleType) -> Iterator[str]:
    """Functions, then classes, then exceptions, then constants."""
    every = {name: getattr(module, name) for name in module.__all__}
    for name, value in every.items():
        if inspect.isfunction(value):
            yield _entry(f"{name}{_signature(value)}", _doc(value))
    classes = {name: value for name, value in every.items() if inspect.isclass(value)}
    for name, value in classes.items():
        if not issubclass(value, BaseException):
            yield from _class(name, value)
    raised = [(name, value) for name, value in classes.items() if issubclass(value, BaseException)]
    if raised:
        yield "\n### Exceptions\n\n| | of | |\n| --- | --- | --- |\n"
        for name, value in raised:
            base = next(each for each in value.__mro__[1:] if each.__name__ in every or each.__module__ == "builtins")
            yield f"| `{name}` | `{base.__name__}` | {' '.join(_doc(value).split())} |\n"
    constants = {name: value for name, value in every.items() if isinstance(value, int)}
    if constants:
        yield "\n### Limits\n\n| | |\n| --- | --- |\n"
        for name, value in constants.items():
            yield f"| `{name}` | {value:,} |\n"


def _class(name: str, made: type) -> Iterator[str]:
    yield _entry(f"{name}{_signature(made)}", _doc(made))
    members = list(_members(made))
    if members:
        yield "\n| | |\n| --- | --- |\n"
    for member, value, doc in members:
        shown = member if isinstance(value, property) else f"{member}{_signature(value)}"
        yield f"| `{shown.replace('|', chr(92) + '|')}` | {' '.join(doc.split())} |\n"


def _members(made: type) -> Iterator[tuple[str, Any, str]]:
    """Public methods and properties of the class and of its bases in this package, as they are written."""
    seen: set[str] = set()
    ours = [each for each in made.__mro__ if each.__module__.startswith(PACKAGE)]
    for each in ours:
        for name, value in vars(each).items():
            if name.startswith("_") or name in seen or not (inspect.isfunction(value) or isinstance(value, property)):
                continue
            seen.add(name)
            texts = [_text(vars(base)[name].__doc__) for base in ours if name in vars(base)]
            said = [text for text in texts if text]
            assert said, f"{made.__name__}.{name} has no docstring"
            own = _SEE.match(said[0])
            yield name, value, f"{said[-1]} {said[0][own.end() :]}" if own else said[0]


def _fixtures() -> Iterator[str]:
    yield "\n| fixture | scope | |\n| --- | --- | --- |\n"
    for node in ast.parse(PLUGIN.read_text("utf-8")).body:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            decorators = [ast.unparse(each) for each in node.decorator_list if "fixture" in ast.unparse(each)]
            if decorators:
                scope = "session" if "session" in decorators[0] else "test"
                yield f"| `{node.name}` | {scope} | {' '.join((ast.get_docstring(node) or '').split())} |\n"


def _entry(title: str, text: str) -> str:
    return f"\n### {title.partition('(')[0]}\n\n`{title}`\n\n{text}\n"


def _signature(value: Any) -> str:
    """Parameters and what comes back, as they are written: the same from every Python."""
    try:
        signature = inspect.signature(value)
    except ValueError:
        return "()"
    shown, empty = [], inspect.Parameter.empty
    for parameter in signature.parameters.values():
        if parameter.name == "self":
            continue
        if parameter.kind is parameter.KEYWORD_ONLY and "*" not in shown:
            shown.append("*")
        stars = "**" if parameter.kind is parameter.VAR_KEYWORD else ""
        typed = "" if parameter.annotation is empty else f": {parameter.annotation}"
        equals = " = " if typed else "="
        default = "" if parameter.default is empty else f"{equals}{parameter.default!r}"
        shown.append(f"{stars}{parameter.name}{typed}{default}")
    gives = signature.return_annotation
    comes_back = "" if inspect.isclass(value) or gives in (signature.empty, "None") else f" -> {gives}"
    return f"({', '.join(shown)}){comes_back}"


def _doc(value: Any) -> str:
    return _text(inspect.getdoc(value))


def _text(doc: str | None) -> str:
    return inspect.cleandoc(doc or "").replace("``", "`")


def main() -> None:
    """Write the document anew."""
    DOCUMENT.write_text(document(), "utf-8")


if __name__ == "__main__":
    main()
