"""Handlers that take too long, of every kind and in every kind of app: behaviour.md 6 from outside.

What Python 3 apps and upstream apps do is tested in tests/host, with fewer processes.
"""

from __future__ import annotations

import pytest

from tests.support.slow import PLACES, Slow
from tests.support.waiting import LONG_ENOUGH

DEADLINE = 3.0


@pytest.mark.slow
@pytest.mark.parametrize("place", PLACES, ids=lambda place: f"{place.app}-{place.threadsafe}")
def test_the_deadline(place, tmp_path):
    with Slow(place, DEADLINE, tmp_path) as slow:
        faults = {kind: slow.cut(kind).faults(LONG_ENOUGH) for kind in place.kinds}
    assert faults == {kind: [] for kind in place.kinds}
    assert not slow.left
