"""Handlers that take too long, each kind at each door: behaviour.md 6 from outside."""

from __future__ import annotations

import pytest

from tests.support.slow import PLACES, Slow

DEADLINE = 1.5
WITHIN = 3.0
"""Seconds after the deadline in which the visitor is answered; the rule is one, on a machine that is not busy."""


@pytest.mark.parametrize("place", PLACES, ids=lambda place: f"{place.door}-{place.threadsafe}")
def test_the_deadline(place, tmp_path):
    with Slow(place, DEADLINE, tmp_path) as slow:
        # A machine that stalls at the wrong moment gets a second chance; what is broken fails again.
        faults = {kind: slow.cut(kind).faults(WITHIN) and slow.cut(kind).faults(WITHIN) for kind in place.kinds}
    assert faults == {kind: [] for kind in place.kinds}
    assert not slow.left
