"""Which WSGI application a folder has, by its sources alone: nothing of the app is run, or imported.

What :mod:`~appengine_channel_emu.host.runner.loading` takes of a module when it is imported is looked for in its text:
an application or a factory with one of the usual names.
"""

from __future__ import annotations

import ast
import itertools
from collections.abc import Iterator, Sequence
from os.path import isdir, isfile  # those of Path raise in a folder that may not be entered
from pathlib import Path

from appengine_channel_emu.host.runner.loading import USUAL_FACTORIES, USUAL_NAMES

MOST_FILES = 200
LARGEST_SOURCE = 1024 * 1024
"""Bytes of a file that is looked at."""

_NAMES = (*USUAL_NAMES, "api", "wsgi_app")
_LIKELY_MODULES = ("main", "app", "application", "wsgi", "server", "index")
"""Those that apps begin with, likeliest first."""

_NO_APP = ("conftest", "setup", "manage", "noxfile", "tests", "tasks")
_NOT_THE_APPS = ("node_modules", "site-packages", "venv", "env", "tests", "test", "docs", "lib", "build", "dist")
_ASGI = ("FastAPI", "Starlette", "Quart", "Sanic", "Litestar", "get_asgi_application", "WsgiToAsgi")


def find_wsgi_target(folder: Path) -> str | None:
    """The likeliest `module:callable`, or `module:factory()`, of the modules in `folder`; None without one.

    Raises OSError where `folder` cannot be listed; what cannot be read in it holds no app.
    """
    found = []
    for place, (module, path) in enumerate(itertools.islice(_modules(folder), MOST_FILES)):
        name = application_of(path)
        if name is not None:
            found.append((name.endswith("()"), place, f"{module}:{name}"))
    return min(found)[2] if found else None


def application_of(path: Path) -> str | None:
    """What the module at `path` calls its application, or a call of its factory; None where it has neither."""
    tree = _tree(path)
    if tree is None:
        return None
    names = {name for statement in tree.body for name in _applications(statement)}
    for name in (*_NAMES, *(f"{factory}()" for factory in USUAL_FACTORIES)):
        if name in names:
            return name
    return None


def parses(path: Path) -> bool:
    """Whether the file at `path` is a module that this Python can read."""
    return _tree(path) is not None


def module_file(module: str, folders: Sequence[Path]) -> Path | None:
    """The file of a dotted module, in the first of `folders` that has it."""
    for folder in folders:
        path = folder.joinpath(*module.split("."))
        for file in (path.with_name(f"{path.name}.py"), path / "__init__.py"):
            if isfile(file):
                return file
    return None


def _modules(folder: Path) -> Iterator[tuple[str, Path]]:
    """Modules that an app may begin with, likeliest first: files of the folder, packages in it and their wsgi.py."""

    def likelihood(path: Path) -> tuple[int, str]:
        known = path.stem in _LIKELY_MODULES
        return (_LIKELY_MODULES.index(path.stem) if known else len(_LIKELY_MODULES)), path.name

    def is_app(name: str) -> bool:
        return name.isidentifier() and name not in _NO_APP and not name.startswith(("test_", "_"))

    entries = sorted(folder.iterdir(), key=likelihood)
    for path in entries:
        if path.suffix == ".py" and is_app(path.stem) and isfile(path):
            yield path.stem, path
    for package in entries:
        if package.name.isidentifier() and package.name not in _NOT_THE_APPS and isdir(package):
            for name, module in (("wsgi.py", f"{package.name}.wsgi"), ("__init__.py", package.name)):
                if isfile(package / name):
                    yield module, package / name


def _tree(path: Path) -> ast.Module | None:
    try:
        if path.stat().st_size > LARGEST_SOURCE:
            return None
        return ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _applications(statement: ast.stmt) -> Iterator[str]:
    """The usual names that a statement of a module makes an application of."""
    if isinstance(statement, ast.Assign | ast.AnnAssign):
        value = statement.value
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        # A number or a text is none, whatever it is called.
        if isinstance(value, ast.Call | ast.Name | ast.Attribute | ast.Lambda) and not _makes_asgi(value):
            yield from (each.id for each in targets if isinstance(each, ast.Name) and each.id in _NAMES)
    elif isinstance(statement, ast.FunctionDef):
        arguments = statement.args
        count = len(arguments.posonlyargs) + len(arguments.args)
        if statement.name in _NAMES and count - len(arguments.defaults) <= 2 <= count:
            yield statement.name
        needed = count - len(arguments.defaults) + sum(default is None for default in arguments.kw_defaults)
        if statement.name in USUAL_FACTORIES and not needed:
            yield f"{statement.name}()"
    elif isinstance(statement, ast.ImportFrom):
        yield from (name for each in statement.names if (name := each.asname or each.name) in _NAMES)


def _makes_asgi(value: ast.expr) -> bool:
    if not isinstance(value, ast.Call):
        return False
    maker = value.func
    return (maker.attr if isinstance(maker, ast.Attribute) else getattr(maker, "id", "")) in _ASGI
