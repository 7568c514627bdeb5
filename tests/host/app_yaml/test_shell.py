"""Command lines in words, as a real shell makes them."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from appengine_channel_emu.host.app_yaml.shell import UNKNOWN, BadCommand, commands

VARIABLES = {"PORT": "8080", "EMPTY": "", "TWO": "one  two", "QUOTED": "'a b'", "LINES": "x\ny"}

WORDS = [
    "a b  c\td",
    "'a b' \"c d\" e\\ f",
    "'$PORT' \"$PORT\" $PORT \\$PORT :$PORT/ ${PORT}1 \"\\$PORT\"",
    "$EMPTY '' \"$EMPTY\" x$EMPTY$EMPTY",
    "$TWO \"$TWO\" a$TWO! $LINES",
    "$QUOTED",
    "${NONE:-default} ${NONE:-a b} \"${NONE:-a b}\" ${NONE-x} ${EMPTY:-x} ${EMPTY-x}",
    "${PORT:+set} ${NONE:+set} x${EMPTY:+set} ${EMPTY+set}",
    "${NONE:-${PORT:-1}} ${NONE:-'q r'} ${NONE:-\"$PORT\"}",
    "${NEW:=made} $NEW",
    "a#b '#' \\# # a comment",
    "a\\\nb \\\n c",
    "a >/dev/null b 2>/dev/null c </dev/null",
    "a 2>&1 b",
    "\"a'b\" 'a\"b' \"a\\\"b\" 'a\\b' \"a\\b\" a\\\\b",
    "$ a$ \"$\"",
    "é ü\u00a0x",
]  # fmt: skip


def test_words_are_those_of_a_real_shell():
    shell = shutil.which("dash") or shutil.which("sh")
    assert shell
    # Descriptor 3 is the output, which the texts' own redirections leave alone.
    say = "say() { for word; do printf '%s\\0' \"$word\" >&3; done; printf '\\1' >&3; }\n"
    script = say + "".join(f"say {text}\n" for text in WORDS)
    run = ["bash", "-c", 'exec 3>&1; exec "$0" -s', shell]
    environ = VARIABLES | {"PATH": "/usr/bin:/bin"}
    done = subprocess.run(run, input=script.encode(), env=environ, capture_output=True, check=True)
    theirs = [each.split("\0")[:-1] for each in done.stdout.decode().split("\1")[:-1]]
    variables = dict(VARIABLES)
    assert [next(commands(f"say {text}", variables))[1:] for text in WORDS] == theirs


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a; b && c || d | e & f\ng", [["a"], ["b"], ["c"], ["d"], ["e"], ["f"], ["g"]]),
        ("a 'x;y' b\\;c", [["a", "x;y", "b;c"]]),
        ("(cd a && b)", [["cd", "a"], ["b"]]),
        ("# nothing\n\n a # b\nc", [["a"], ["c"]]),
        ('$(date) "$(a \'b)\' "c")" `d` $((1 + 2)) ${#X} ${X%.*} $? $$', [[UNKNOWN] * 8]),
        ("main:create_app('x', n=(1, 2)) z", [["main:create_app('x', n=(1, 2))", "z"]]),
        ("a &> log b", [["a", "b"]]),
        ("", []),
    ],
)
def test_commands_and_what_only_running_could_tell(text, expected):
    assert list(commands(text, {})) == expected


def test_variables_may_change_between_two_commands():
    variables = {"A": "1"}
    words = commands("x $A; x $A", variables)
    assert next(words) == ["x", "1"]
    variables["A"] = "2"
    assert next(words) == ["x", "2"]


@pytest.mark.parametrize("text", ["'a", '"a', "`a", "$(a", "${a", "x(", '"${a\'}"'])
def test_what_has_no_end(text):
    with pytest.raises(BadCommand, match="not closed"):
        list(commands(text, {}))
