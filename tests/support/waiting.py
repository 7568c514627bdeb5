"""Waiting for what another process or thread does."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

LONG_ENOUGH = 60.0
"""Seconds after which a test that waits for something gives up, on however busy a machine: a bound, never a pause."""

Answer = TypeVar("Answer")


def eventually(ask: Callable[[], Answer], wanted: Callable[[Answer], object], seconds: float = LONG_ENOUGH) -> Answer:
    """The first answer for which `wanted` holds."""
    give_up = time.monotonic() + seconds
    while not wanted(answer := ask()):
        assert time.monotonic() < give_up, answer
        time.sleep(0.02)
    return answer


def until(condition: Callable[[], object], seconds: float = LONG_ENOUGH) -> None:
    """Wait for something that another process or thread is about to do."""
    give_up = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up, "it did not happen"
        time.sleep(0.005)
