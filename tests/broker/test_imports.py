"""The broker's files know each other in one direction, and nothing of the folders that use them."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import appengine_channel_emu.broker

FOLDER = Path(appengine_channel_emu.broker.__file__).parent
PACKAGE = "appengine_channel_emu."


def imported(file: Path) -> set[str]:
    """The package's modules that `file` imports, those for type checkers alone too; without the package's name."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module == f"{PACKAGE}broker":
            names |= {f"{node.module}.{each.name}" for each in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
    return {name.removeprefix(PACKAGE) for name in names if name.startswith(PACKAGE)}


def name_of(file: Path) -> str:
    """The module of that file, without the package's name."""
    return ".".join(("broker", *file.relative_to(FOLDER).with_suffix("").parts))


def test_no_file_imports_one_that_imports_it():
    graph = {name_of(file): imported(file) for file in FOLDER.rglob("*.py")}
    assert len(graph) > 10
    TopologicalSorter(graph).prepare()  # raises CycleError


def test_nothing_above_the_broker_is_imported():
    above = ("web", "host", "server", "cli", "testing", "settings")
    found = {name for file in FOLDER.rglob("*.py") for name in imported(file)}
    assert not [name for name in found if name.split(".")[0] in above]


def test_the_broker_on_redis_is_imported_by_who_makes_one():
    found = {name for file in FOLDER.glob("*.py") for name in imported(file)}
    assert not [name for name in found if name.startswith("broker.redis")]
