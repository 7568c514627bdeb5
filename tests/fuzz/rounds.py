"""Generated inputs, round after round."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.strategies import SearchStrategy

FULL = bool(os.environ.get("FUZZ"))
"""Whether half an hour is to be spent."""
SECONDS = 1800 if FULL else 0
EXAMPLES = 2_000 if FULL else 150


def fuzz(
    feed: Callable[[bytes], object],
    inputs: SearchStrategy[bytes],
    seconds: float = SECONDS,
    examples: int = EXAMPLES,
    seeds: int = 0,
    shrink: bool = True,
) -> None:
    """Feed generated inputs, in rounds of so many examples: one, and more until `seconds` are over.

    The first round has the seed number `seeds`. What `feed` raises is raised, for the smallest input that was found, or
    for the first one where that is not looked for.
    """
    until, number = time.monotonic() + seconds, 0
    while number == 0 or time.monotonic() < until:

        @seed(seeds + number)
        @settings(
            max_examples=examples,
            deadline=None,
            database=None,
            phases=[Phase.generate, Phase.shrink] if shrink else [Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(inputs)
        def one_round(data: bytes) -> None:
            feed(data)

        one_round()
        number += 1
    print(f"{number} rounds of {examples} examples, seeds {seeds} to {seeds + number - 1}")
