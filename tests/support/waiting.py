"""Waiting for what another process or thread does."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TypeVar

LONG_ENOUGH = 60.0
"""Seconds after which a test that waits for something gives up, on however busy a machine: a bound, never a pause."""

LONGEST_PAUSE = 0.1
"""Seconds between two looks."""

Answer = TypeVar("Answer")


def eventually(ask: Callable[[], Answer], wanted: Callable[[Answer], object], seconds: float = LONG_ENOUGH) -> Answer:
    """The first answer for which `wanted` holds."""
    pauses = _pauses(seconds, 0.02)
    while not wanted(answer := ask()):
        assert next(pauses, None), answer
    return answer


def until(condition: Callable[[], object], seconds: float = LONG_ENOUGH) -> None:
    """Wait for something that another process or thread is about to do."""
    pauses = _pauses(seconds, 0.005)
    while not condition():
        assert next(pauses, None), "it did not happen"


def _pauses(seconds: float, pause: float) -> Iterator[bool]:
    """Pauses, until so many seconds are over: ever longer ones, since others need the time that asking costs."""
    give_up = time.monotonic() + seconds
    while time.monotonic() < give_up:
        time.sleep(pause)
        pause = min(LONGEST_PAUSE, 1.2 * pause)
        yield True
