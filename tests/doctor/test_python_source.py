"""Python sources of any age are read, each call on its line; the judge of Python 2 is Python 2.7 itself."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from appengine_channel_emu.doctor.python_source import NotPython, parse_python
from appengine_channel_emu.doctor.sources import decoded
from tests.support import parts

EACH = 6
"""Of so many files one is read; all of them take a minute and a half."""

MADE_BY_REWRITING = {"print", "exec", "repr"}

PYTHON2 = {
    "print": "print f(1), f(2)",
    "print to a file": "print >>f(), 'x', f(1)",
    "print with nothing": "print\nf()",
    "print in one line": "if f(): print 'a'; f()",
    "print over lines": "print ('a'\n  % f(1),\n  f(2)), f(3)",
    "print beside a comment": "print f(1) # f(2)",
    "exec": "exec f('x') in {}, f()",
    "except": "try:\n  f()\nexcept (A, B), e:\n  f(e)",
    "raise": "raise f(1), f(2), f(3)",
    "backticks": "x = `f(1)` + `f(2)`",
    "not equal": "x = f(1) <> f(2)",
    "octal": "f(0777, 0, 00, 0L, 10L, 0xFFL)",
    "a method of a long": "f(7L.bit_length())",
    "ur": "f(ur'\\d' u'x')",
    "escapes without a meaning": "f('\\Users', '\\N', '\\\\u')",
    "tuples as parameters": "def g(a, (b, (c, d)), e=(1, 2)):\n  f(b)",
    "tuples of a lambda": "h = lambda (k, v), x=1: f(k)",
    "names that are keywords now": "async = f(1)\ng(async=f(2)).go(await)",
    "True as a name": "x.True = f(True)\nf(True=1)",
    "tabs beside spaces": "if 1:\n        f(1)\n\tf(2)",
    "line ends of Windows": "print f(1)\r\nprint f(2)\r\n",
    "a string over lines": "print '''a\nb''', f(1)\nprint f(2)",
}


def calls(tree: ast.AST) -> Counter[tuple[int, str]]:
    found: Counter[tuple[int, str]] = Counter()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "attr", None) or getattr(node.func, "id", None)
            if name and name not in MADE_BY_REWRITING:
                found[node.lineno, name] += 1
    return found


def calls_by_python2(files: list[Path]) -> dict[str, Counter[tuple[int, str]]]:
    """What Python 2.7's own parser sees; without the files that it refuses."""
    code = (
        "import ast, json, sys\n"
        "found = {}\n"
        "for name in sys.stdin.read().splitlines():\n"
        "    try: tree = ast.parse(open(name, 'U').read())\n"
        "    except Exception: continue\n"
        "    found[name] = [(n.lineno, getattr(n.func, 'attr', None) or getattr(n.func, 'id', None))\n"
        "                   for n in ast.walk(tree) if isinstance(n, ast.Call)]\n"
        "json.dump(found, sys.stdout)\n"
    )
    done = subprocess.run(
        [str(parts.need(parts.python27)), "-c", code],
        input="\n".join(map(str, files)),
        capture_output=True,
        text=True,
        check=True,
    )
    return {
        name: Counter((line, each) for line, each in listed if each and each not in MADE_BY_REWRITING)
        for name, listed in json.loads(done.stdout).items()
    }


@pytest.mark.parametrize("what", PYTHON2)
def test_python2_is_read_and_each_call_is_on_its_line(what):
    source = PYTHON2[what]
    tree = parse_python(source)
    assert not tree.unread
    expected = Counter(
        number for number, line in enumerate(source.splitlines(), 1) for _ in range(line.partition("#")[0].count("f("))
    )
    assert Counter(line for line, name in calls(tree.root).elements() if name == "f") == expected


def test_the_same_calls_as_by_python2_itself(tmp_path):
    files = []
    for number, source in enumerate(PYTHON2.values()):
        files.append(tmp_path / f"m{number}.py")
        files[-1].write_bytes(source.encode())
    theirs = calls_by_python2(files)
    assert len(theirs) == len(files)
    for file in files:
        ours = Counter(name for _, name in calls(parse_python(file.read_text()).root).elements())
        assert ours == Counter(name for _, name in theirs[str(file)].elements()), file.read_text()


def test_what_python3_reads_is_left_as_it_is():
    tree = parse_python("print('a', file=x)\nasync def f():\n    await g()\n")
    assert not tree.python2
    assert not tree.unread


def test_it_says_what_of_a_source_is_python2():
    assert parse_python("x = 1\nprint x\n").python2.startswith("line 2: ")


def test_print_function_of_the_future_stays_a_function():
    source = "from __future__ import print_function\nprint('a', file=f())\nx = 0777\n"
    assert calls(parse_python(source).root) == Counter({(2, "f"): 1})


def test_a_line_that_is_no_python_costs_no_other():
    tree = parse_python("f(1)\n<<<<<<< HEAD\nif f(2):\n    f(3)\n>>>>>>> other\nf(4)\n")
    assert [lines.start for lines in tree.unread] == [2, 5]
    assert {line for line, _ in calls(tree.root)} == {1, 3, 4, 6}


@pytest.mark.parametrize(
    "source", ["this is no python\n" * 40, "\0", "x = (\n" * 300, "f(" + "(" * 3000, "'''", "  x\n y\n  z"],
    ids=["prose", "zero byte", "open lines", "open parentheses", "open string", "indents"],
)  # fmt: skip
def test_what_is_no_python_is_said_or_skipped_and_nothing_else_is_raised(source):
    said: object = None
    try:
        said = parse_python(source).unread
    except NotPython as error:
        said = str(error)
    assert said


@pytest.mark.slow
def test_every_call_in_googles_sdk_and_pythons_own_library():
    python = Path(
        subprocess.check_output([parts.need(parts.python27), "-c", "import os; print(os.__file__)"], text=True).strip()
    )
    files = [*python.parent.rglob("*.py"), *parts.need(parts.sdk).rglob("*.py")]
    theirs = calls_by_python2(sorted(files)[::EACH])
    assert len(theirs) > 5000 / EACH, sys.version
    seen, missed, made_up = 0, 0, 0
    for name, expected in theirs.items():
        text, _ = decoded(Path(name).read_bytes(), python=True)
        ours = Counter(each for _, each in calls(parse_python(text).root).elements())
        wanted = Counter(each for _, each in expected.elements())
        seen += sum(wanted.values())
        missed += sum((wanted - ours).values())
        made_up += sum((ours - wanted).values())
    assert seen > 400_000 / EACH
    assert missed < seen / 20_000
    assert made_up == 0
