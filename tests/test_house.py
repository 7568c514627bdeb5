"""The house is as CONTRIBUTING.md shows it."""

from __future__ import annotations

import ast
import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "appengine_channel_emu"
GUIDE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")

FLOORS = ["", "broker settings", "host", "web faults", "server", "cli testing conformance bench doctor"]
"""The folders, from the ground up; "" is the files of the root. Those of one floor may import each other."""

UPWARDS = {
    # faults/faults.py, which imports nothing of these: calls of the broker meet faults, and a setting may name one.
    ("broker", "faults"),
    ("settings", "faults"),
    # notes.py listens to the broker's events.
    ("", "broker"),
    # __main__.py; and the plugin, which hands out what is above it once it is asked.
    ("", "cli"),
    ("", "testing"),
}

GOOGLES = {"AppIdAliasRequired", "DeadlineExceededError", "Error"}
"""Apps import each of these from where Google had it."""


def trees():
    """Every file of the package, but those that Python 2 alone can read."""
    for file in sorted(PACKAGE.rglob("*.py")):
        if file.parent != PACKAGE / "compat" / "sdk":
            yield file.relative_to(PACKAGE), ast.parse(file.read_text(encoding="utf-8"))


def folder(path: Path) -> str:
    return path.parts[0] if len(path.parts) > 1 else ""


def imports():
    """The importing file and the folder that it imports from, imports for type checkers apart."""
    for path, tree in trees():
        guarded = [
            each
            for node in ast.walk(tree)
            if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
            for each in ast.walk(node)
        ]
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node not in guarded:
                parts = (node.module or "").split(".")
                if parts[0] == "appengine_channel_emu" and len(parts) > 1:
                    yield path, parts[1] if (PACKAGE / parts[1]).is_dir() else ""


def section(title: str) -> str:
    return GUIDE.partition(f"## {title}\n")[2].partition("\n## ")[0]


def test_imports_go_one_way():
    floor = {name: number for number, names in enumerate(FLOORS) for name in (names.split() or [""])}
    seen, upwards = 0, set()
    for path, imported in imports():
        importer = folder(path)
        if importer == "compat":
            pytest.fail(f"{path} imports {imported}: what runs inside an app imports nothing of ours")
        seen += 1
        if floor[imported] > floor[importer]:
            upwards.add((importer, imported))
    assert seen > 300
    assert upwards == UPWARDS


def test_no_two_classes_share_a_name():
    names = Counter(node.name for _, tree in trees() for node in ast.walk(tree) if isinstance(node, ast.ClassDef))
    assert len(names) > 200
    assert {name for name, times in names.items() if times > 1} <= GOOGLES


@pytest.mark.parametrize("title", ["How a message travels", "How a request for the app travels"])
def test_a_way_has_ten_stops_at_most_and_each_is_there(title):
    stops = re.findall(r"^\d+\. (.*)$", section(title), re.MULTILINE)
    assert 8 <= len(stops) <= 10
    assert section(title).count("`js/") <= 1
    for stop in stops:
        files = re.findall(r"`((?:\w+/)+\w+\.(?:py|js))`", stop)
        assert files, stop
        assert [file for file in files if not (PACKAGE / file).is_file()] == []


def test_a_word_is_defined_where_the_guide_says():
    rows = re.findall(r"^\| ([\w-]+) \| `(\S+)` \| `(\w+)` \|$", section("Where a word is defined"), re.MULTILINE)
    assert len(rows) >= 12
    for _, file, name in rows:
        tree = ast.parse((PACKAGE / file).read_text(encoding="utf-8"))
        assert name in {node.name for node in tree.body if isinstance(node, ast.ClassDef)}, (file, name)


def test_every_folder_is_in_the_guide():
    folders = {path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert {name for name in folders if f"`{name}/`" not in section("Folders")} == set()


def test_every_file_that_a_text_names_is_there():
    named = re.compile(
        rf"(?<![\w/.])(?:{'|'.join(sorted(path.name for path in PACKAGE.iterdir() if path.is_dir()))})/[\w/]+\.py\b"
    )
    texts = [
        *ROOT.glob("*.md"),
        *(ROOT / "docs").rglob("*.md"),
        *PACKAGE.rglob("*.py"),
        *(ROOT / "tests").rglob("*.py"),
    ]
    found = [(text.name, name) for text in texts for name in named.findall(text.read_text(encoding="utf-8"))]
    assert len(found) > 50
    bases = PACKAGE, ROOT, ROOT / "tests"
    assert [each for each in found if not any((base / each[1]).is_file() for base in bases)] == []
