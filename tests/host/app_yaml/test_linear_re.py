"""Expressions that are matched in linear time find what `re` finds, also where `re` would never end."""

from __future__ import annotations

import random
import re

import pytest

from appengine_channel_emu.host.app_yaml import linear_re, python2_re
from appengine_channel_emu.host.app_yaml.linear_re import Pattern

SEED = 1987
PATTERNS = 1500
ATOMS = (
    "a", "b", "/", ".", "\\w", "\\d", "\\.", "\\W", "\\S", "[a-c]", "[^/]", "[^a]", "[A-B]", "[\\w.-]", "é",
    "[é-í]", "A", "(a)", "(b|c)", "(a|ab)", "(?:a|b)", "(?:ab)", "(a+)", "(?:x/)", "(?P<n>b)", "\\b", "\\B", "^",
    "$", "\\Z", "(/|)",
)  # fmt: skip
REPEATS = ("", "", "", "*", "+", "?", "*?", "+?", "??", "{2}", "{1,2}", "{0,2}?", "{2,}")
TEXTS = (
    "", "a", "b", "ab", "aab", "ba", "abab", "/a/", "a/b", "aaaa", "ab.", "A", "aB", "é", "aé", "c", "a b", "\n", "a\n",
    "ab\nab", "x/x/a", "abc", "/a.b",
)  # fmt: skip


def _expression(choose: random.Random) -> str:
    parts = []
    for _ in range(choose.randrange(1, 6)):
        atom = choose.choice(ATOMS)
        # What can match nothing, repeated: the one place where a group may hold something else than with `re`.
        parts.append(atom if atom in ("\\b", "\\B", "^", "$", "\\Z", "(/|)") else atom + choose.choice(REPEATS))
    return "".join(parts) + choose.choice(("", "$", "|ab?"))


def spans(match: re.Match[str] | None) -> tuple[int | None, ...] | None:
    if match is None:
        return None
    found = (place for group in range(match.re.groups + 1) for place in match.span(group))
    return tuple(None if place == -1 else place for place in found)


def program_of(pattern: re.Pattern[str]) -> list[linear_re._Step]:
    return linear_re._Compiler(linear_re.parser.parse(pattern.pattern, pattern.flags), pattern.flags).program


def test_it_finds_what_re_finds():
    choose = random.Random(SEED)
    tried = 0
    while tried < PATTERNS:
        text = _expression(choose)
        try:
            pattern = re.compile(text, choose.choice((0, re.A, re.I, re.S, re.M, re.A | re.I)))
        except re.error:
            continue
        tried += 1
        program = program_of(pattern)
        for subject in TEXTS:
            found = linear_re._run(program, subject, pattern.groups)
            assert found == spans(pattern.match(subject)), (pattern, subject)


@pytest.mark.parametrize(
    ("expression", "path", "groups"),
    [
        ("/(a+)+$", "/" + "a" * 5000 + "!", None),
        ("/(.*/)*x$", "/" * 5000, None),
        ("/(.*)/(.*)/(.*)/(.*)/(.*)/x$", "/" * 5000, None),
        ("/(a|a)*b$", "/" + "a" * 5000, None),
        ("/(a?){60}a{60}$", "/" + "a" * 60, [""]),
        ("/(?P<first>.*)/(.*)/x$", "/" * 4999 + "x", ["/" * 4996, ""]),
    ],
)
def test_it_ends_where_re_would_not(expression, path, groups):
    pattern = python2_re.compile(expression)
    assert not pattern.is_slow
    match = pattern.match(path)
    assert (match and [match[number] for number in range(1, pattern.groups + 1)]) == groups
    if pattern.groupindex and match:
        assert match.groupdict() == {"first": groups[0]} == {"first": match["first"]}
        assert python2_re.expand("\\2.\\g<first>", match).startswith("./")


@pytest.mark.parametrize("expression", ["/(.*\\.(gif|png|jpg))$", "/(.*)", "/(a{2,3})+", "/[^/]+", "/(?!x).*"])
def test_what_re_does_fast_is_left_to_it(expression):
    pattern = Pattern(re.compile(expression))
    assert isinstance(pattern.match("/a.png" * 7), re.Match | None)
    assert not pattern.is_slow


@pytest.mark.parametrize("expression", ["/(.*)(.*)\\1x", "/(?=.*a)(.*/)*x", "/((?:a{1000}){1000}b*)*"])
def test_what_only_re_can_do_may_be_slow(expression):
    assert Pattern(re.compile(expression)).is_slow
