"""The browser client by itself: its unit tests under Node, its size, and its language."""

from __future__ import annotations

import gzip
import os
import re
import subprocess
from pathlib import Path

import pytest
from calmjs.parse import es5

from tests.support import parts

SCRIPT = parts.ROOT / "js" / "goog_appengine_channel.js"
FRAME = parts.ROOT / "js" / "frame.js"
TYPES = Path(__file__).parent / "js" / "types"
DOCUMENT = parts.ROOT / "docs" / "browser-client.md"
UNIT_TESTS = Path(__file__).parent / "js"


def test_unit_tests_under_node():
    files = sorted(str(path) for path in UNIT_TESTS.glob("*.test.js"))
    assert files, f"no unit tests in {UNIT_TESTS}"
    written = sum(len(re.findall(r"^\s*test\(", Path(name).read_text("utf-8"), re.MULTILINE)) for name in files)
    command = [str(parts.need(parts.node)), "--test", "--test-reporter", "tap", *files]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert answer.returncode == 0, f"{answer.stdout}\n{answer.stderr}"
    counts = dict(re.findall(r"^# (\w+) (\d+)$", answer.stdout, re.MULTILINE))
    assert int(counts["pass"]) >= written, "some of the tests were not run"
    assert (counts["fail"], counts["cancelled"], counts["skipped"], counts["todo"]) == ("0",) * 4


def run_node(*arguments: str) -> str:
    """What Node prints; the packages of tests/js/package.json are at hand."""
    environ = {**os.environ, "NODE_PATH": str(parts.need(parts.node_packages))}
    command = [str(parts.need(parts.node)), *arguments]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=environ)
    assert answer.returncode == 0, f"{answer.stdout}\n{answer.stderr}"
    return answer.stdout


WITHOUT_COMMENTS = """
const source = require('fs').readFileSync(process.argv[1], 'utf8'), comments = [];
require('acorn').parse(source, {ecmaVersion: 5, onComment: comments});
let code = source;
for (const {start, end} of comments.reverse()) code = code.slice(0, start) + code.slice(end);
process.stdout.write(code.replace(/[ \\t]+$/gm, '').replace(/\\n+/g, '\\n'));
"""


def test_it_is_small():
    assert len(gzip.compress(SCRIPT.read_bytes(), 9)) <= 9_000
    code = run_node("-e", WITHOUT_COMMENTS, str(SCRIPT))
    assert "/**" not in code
    assert "goog" in code
    assert len(gzip.compress(code.encode("ascii"), 9)) <= 5_500


@pytest.mark.parametrize("script", [SCRIPT, FRAME], ids=lambda script: script.name)
def test_it_is_es5(script):
    source = "require('fs').readFileSync(process.argv[1], 'utf8')"
    run_node("-e", f"require('acorn').parse({source}, {{ecmaVersion: 5}})", str(script))


@pytest.mark.slow
def test_its_types_hold_and_are_those_that_pages_were_written_against():
    compiler = parts.need(parts.node_packages) / "typescript" / "bin" / "tsc"
    run_node(str(compiler), "--project", str(TYPES))
    run_node(str(compiler), "--noEmit", "--strict", "--skipDefaultLibCheck", str(TYPES / "surface.ts"))


def test_every_test_that_the_document_names_exists():
    text = DOCUMENT.read_text("utf-8")
    sources = [*UNIT_TESTS.glob("*.test.js"), *(parts.ROOT / "tests" / "browser").rglob("test_*.py")]
    tests = "".join(path.read_text("utf-8") for path in sources).replace("\\'", "'")
    named = re.findall(r"`(test_\w+)`|: \*([^*]+)\*", text)
    assert len(named) > 20
    missing = [name for pair in named for name in pair if name and name not in tests]
    assert not missing


@pytest.mark.parametrize("script", [SCRIPT, FRAME], ids=lambda script: script.name)
def test_browsers_of_2011_can_read_it(script):
    source = script.read_text("utf-8")
    assert es5(source).children(), "the script is empty"
    assert source.isascii(), "a page of another encoding would garble the script"
