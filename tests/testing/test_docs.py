"""Every example of docs/testing.md is run, as it stands there."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess

import pytest

from appengine_channel_emu.testing import ChannelServer
from tests.docs.documents import block, blocks_of
from tests.docs.terminal import run_pytest
from tests.support import parts
from tests.support.parts import ROOT
from tests.support.waiting import LONG_ENOUGH

TEXT = (ROOT / "docs" / "testing.md").read_text("utf-8")
HEADER = "json='Content-Type: application/json'\n"
PLUGIN = "appengine_channel_emu.pytest_plugin"
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


@pytest.fixture
def examples(tmp_path):
    """The Python examples as the files that their first lines name."""
    for kind, code in BLOCKS:
        if kind == "python":
            name = re.match(r"# (\w+\.py)\n", code)[1]
            (tmp_path / name).write_text(code, "utf-8")
    return tmp_path


def test_pytest_loads_the_plugin_where_the_package_is_installed():
    from importlib.metadata import entry_points

    assert PLUGIN in [each.value for each in entry_points(group="pytest11")]


def test_every_kind_of_example_is_run():
    assert {kind for kind, _ in BLOCKS} == {"python", "sh"}
    assert len([kind for kind, _ in BLOCKS if kind == "python"]) >= 7


@pytest.mark.slow
def test_the_python_examples(examples):
    said = run_pytest(examples)
    tests = sum(code.count("def test_") for kind, code in BLOCKS if kind == "python")
    assert f"{tests} passed" in said, said


def test_a_failure_says_what_is_shown(tmp_path):
    (shown,) = [each.code for each in blocks_of("docs/testing.md") if not each.language]
    code = block("docs/testing.md", "# test_near_miss.py").code
    unexpected = re.sub(r"with pytest.raises.*:\n +(page.receive.*)\n.*\n", r"\1\n", code)
    assert unexpected != code
    (tmp_path / "test_near_miss.py").write_text(unexpected, "utf-8")
    said = run_pytest(tmp_path)
    assert " ".join(shown.partition(":")[2].split()) in re.sub(r"\s+(?:E\s+)?", " ", said)


@pytest.mark.slow
def test_the_fixtures_under_xdist(examples):
    if importlib.util.find_spec("xdist") is None:
        parts.lacking("pytest-xdist is not installed: pip install '.[test]'")
    said = run_pytest(examples, "-p", "xdist", "-n", "2")
    tests = sum(code.count("def test_") for kind, code in BLOCKS if kind == "python")
    assert f"{tests} passed" in said, said


def test_the_commands():
    if not shutil.which("curl"):
        parts.lacking("curl is not installed")
    with ChannelServer() as server:
        for kind, code in BLOCKS:
            if kind == "sh":
                server.reset()
                server.client("anna").open()
                run_shell(server, HEADER + code)


def run_shell(server, code):
    environ = os.environ | {"EMULATOR": server.url, "no_proxy": "*"}
    done = subprocess.run(
        ["sh", "-euc", code], env=environ, capture_output=True, text=True, timeout=LONG_ENOUGH, check=False
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
