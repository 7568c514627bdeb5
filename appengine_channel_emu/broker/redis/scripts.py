"""The Lua scripts of the broker: what they are called, and how a call of one is written."""

from __future__ import annotations

import hashlib
import re
from functools import cache
from importlib import resources
from typing import NamedTuple

import hiredis

_FOLDER = resources.files("appengine_channel_emu.broker.redis") / "lua"

Argument = str | bytes | int | float
"""What a command may have."""

GROWING = ("create", "open", "send")
"""What is refused while the memory of Redis is full. All else goes on: it is what makes room."""


class LuaScript(NamedTuple):
    """One script: its text, with what it shares with others before it, and the name under which Redis keeps it."""

    text: str
    sha: str


@cache
def script(name: str) -> LuaScript:
    """The script of that name, a file of lua/, behind the parts of lua/parts/ that it needs."""
    head = "#!lua" if name in GROWING else "#!lua flags=allow-oom"
    text = "\n".join([head, *_with_parts(name, ["core"])])
    return LuaScript(text, hashlib.sha1(text.encode("utf-8")).hexdigest())  # noqa: S324  (Redis names scripts so)


def names() -> list[str]:
    """Every script there is."""
    return sorted(each.name[:-4] for each in _FOLDER.iterdir() if each.name.endswith(".lua"))


def _with_parts(name: str, parts: list[str]) -> list[str]:
    """The texts of all that a script is made of, each once: what a call does not need would be run for nothing."""
    own = (_FOLDER / f"{name}.lua").read_text(encoding="utf-8")
    for part in _needed(own):
        _add_part(part, parts)
    return [*((_FOLDER / "parts" / f"{part}.lua").read_text(encoding="utf-8") for part in parts), own]


def _add_part(part: str, parts: list[str]) -> None:
    if part not in parts:
        for needed in _needed((_FOLDER / "parts" / f"{part}.lua").read_text(encoding="utf-8")):
            _add_part(needed, parts)
        parts.append(part)


def _needed(text: str) -> list[str]:
    found = re.match(r"-- needs: (.*)", text)
    return found[1].split() if found else []


def packed(*arguments: Argument) -> bytes:
    """A command as it is sent."""
    command: bytes = hiredis.pack_command(arguments)  # type: ignore[arg-type]
    return command


def call_by_name(name: str, *arguments: Argument) -> bytes:
    """The command that runs a script which Redis may know; if it does not, it answers NOSCRIPT."""
    return packed("EVALSHA", script(name).sha, 1, *arguments)


def call_with_text(name: str, *arguments: Argument) -> bytes:
    """The same for a Redis that does not know the script, and does from then on."""
    return packed("EVAL", script(name).text, 1, *arguments)
