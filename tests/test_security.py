"""SECURITY.md against the tests that it names, and what no code of ours does."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.support.parts import ROOT

TEXT = (ROOT / "SECURITY.md").read_text("utf-8")
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::([\w:]+)`", TEXT)))
TABLES = re.findall(r"^\| What they try .*\n\| :-- .*\n((?:\|.*\n)+)", TEXT, re.MULTILINE)
CLAIMS = [line for table in TABLES for line in table.splitlines()]

SOURCES = sorted((ROOT / "appengine_channel_emu").rglob("*.py"))
DESERIALIZERS = {"pickle", "cPickle", "_pickle", "marshal", "shelve", "dill", "jsonpickle", "xmlrpc"}
# What they run are the user's own sitecustomize.py, and our own sources in the SDK's sandbox.
EXECUTING = {"compat/path/sitecustomize.py", "compat/sdk/channel_stub.py"}


@pytest.mark.parametrize(("file", "name"), NAMED)
def test_every_test_that_it_names_is_there(file, name):
    tree: ast.AST = ast.parse((ROOT / file).read_text("utf-8"))
    for part in name.split("::"):
        found = [node for node in ast.iter_child_nodes(tree) if isinstance(node, ast.ClassDef | ast.FunctionDef)]
        (tree,) = [node for node in found if node.name == part]
    assert name.rpartition("::")[2].startswith("test_")


def test_every_claim_names_a_test():
    assert len(CLAIMS) > 30
    assert [claim for claim in CLAIMS if "::test_" not in claim] == []


def test_every_bound_is_listed_with_its_default():
    from appengine_channel_emu.settings.table import BOUNDS, TABLE

    listed = set(re.findall(r"^\| `--([a-z-]+)` \|", TEXT, re.MULTILINE))
    bounds = {name for name, field in TABLE.items() if field.metadata["group"] == BOUNDS}
    assert bounds <= listed <= set(TABLE)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_is_unpickled_or_evaluated(path: Path):
    """Whoever sends it: there is no way from bytes to code."""
    name = path.relative_to(ROOT / "appengine_channel_emu").as_posix()
    source = path.read_text("utf-8")
    try:
        tree = ast.parse(source)
    except SyntaxError:  # Python 2.7 alone reads it.
        assert not re.search(r"\b(pickle|cPickle|marshal|shelve|eval|exec)\b", source)
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            modules = [alias.name for alias in node.names] + [getattr(node, "module", None) or ""]
            assert not DESERIALIZERS & {module.partition(".")[0] for module in modules}, node.lineno
        if isinstance(node, ast.Call):
            called = node.func.id if isinstance(node.func, ast.Name) else ""
            assert called not in ("eval", "exec") or name in EXECUTING, node.lineno
            assert not [each for each in node.keywords if each.arg == "shell"], node.lineno
            attribute = ast.unparse(node.func) if isinstance(node.func, ast.Attribute) else ""
            assert attribute not in ("os.system", "os.popen", "yaml.unsafe_load", "yaml.full_load"), node.lineno
            if attribute == "yaml.load":
                assert "BaseLoader" in ast.unparse(node), node.lineno
