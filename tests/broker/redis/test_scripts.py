"""The scripts: each has what it needs, and says what it does."""

from __future__ import annotations

import re

import pytest

from appengine_channel_emu.broker.redis.scripts import names, script


def code_of(text: str) -> str:
    """`text` without comments and strings."""
    return re.sub(r"'[^'\n]*'", "''", re.sub(r"--[^\n]*", "", text))


@pytest.mark.parametrize("name", names())
def test_a_script_has_what_it_needs(name):
    """Redis says only when it runs that a name is not known, and most scripts run seldom."""
    code = code_of(script(name).text)
    defined = set(re.findall(r"\blocal function (\w+)", code))
    for listed in re.findall(r"\blocal ([\w, ]+)", code):
        defined |= set(re.split(r"\W+", listed))
    for listed in re.findall(r"\bfor ([\w, ]+) (?:in|=)|\bfunction [\w.]*\(([\w, ]*)\)", code):
        defined |= set(re.split(r"\W+", " ".join(listed)))
    constants = set(re.findall(r"\b[A-Z][A-Z_]+\b", code)) - {"KEYS", "ARGV"}
    called = set(re.findall(r"(?<![\w.:])([a-z_]+)\(", code))
    lua = {"ipairs", "pairs", "type", "unpack", "tonumber", "if", "while", "and", "or", "not", "return", "function"}
    assert constants <= defined
    assert called - lua - {"in", "elseif"} <= defined
