"""What the log says of each way in which a message does not arrive."""

from __future__ import annotations

import pytest

from tests.support.waiting import eventually
from tests.ways.table import WAYS
from tests.ways.way import SILENT, is_in


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_what_the_log_says(way, played):
    stage, _ = played(way)
    if way.log == SILENT:
        assert [line for line in stage.log if line.startswith(("WARNING", "ERROR"))] == []
    else:
        # An event is known a moment before its line is written.
        eventually(lambda: stage.log, lambda lines: any(is_in(way.log, line) for line in lines))
