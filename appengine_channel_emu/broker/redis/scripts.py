"""The Lua scripts of the broker: what they are called, and how a call of one is written."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib import resources
from typing import NamedTuple

import hiredis

Argument = str | bytes | int | float
"""What a command may have."""


class Script(NamedTuple):
    """One script: its text, with what all scripts share before it, and the name under which Redis keeps it."""

    text: str
    sha: str


@cache
def script(name: str) -> Script:
    """The script of that name, a file of lua/."""
    folder = resources.files("appengine_channel_emu.broker.redis") / "lua"
    common, own = ((folder / f"{each}.lua").read_text(encoding="utf-8") for each in ("common", name))
    text = f"{common}\n{own}"
    return Script(text, hashlib.sha1(text.encode("utf-8")).hexdigest())  # noqa: S324  (Redis names scripts so)


def names() -> list[str]:
    """Every script there is."""
    folder = resources.files("appengine_channel_emu.broker.redis") / "lua"
    return sorted(
        each.name[:-4] for each in folder.iterdir() if each.name.endswith(".lua") and each.name != "common.lua"
    )


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
