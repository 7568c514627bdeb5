"""What a check is, and how one ends."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from appengine_channel_emu.conformance.server import CheckedServer

State = Literal["passed", "failed", "different", "not checked"]


@dataclass(frozen=True, slots=True)
class Result:
    """How a check ended, and what was seen."""

    state: State
    seen: str = ""


Check = Callable[[CheckedServer], Result]


class Checks:
    """Checks with their titles, in order: a decorator that adds one.

    Those that take most of a minute each are `slow`; they run beside the others, and each other.
    """

    def __init__(self) -> None:
        self.quick: list[tuple[str, Check]] = []
        self.slow: list[tuple[str, Check]] = []

    def __call__(self, title: str, slow: bool = False) -> Callable[[Check], Check]:
        """Add a function."""

        def add(function: Check) -> Check:
            (self.slow if slow else self.quick).append((title, function))
            return function

        return add


def passed_if(holds: bool, seen: object = "") -> Result:
    """Passed or failed; `seen` is what was seen instead."""
    return Result("passed") if holds else Result("failed", str(seen))


def new_name(ending: str = "") -> str:
    """A client id that nobody else has."""
    return f"check-{secrets.token_hex(4)}{ending}"
