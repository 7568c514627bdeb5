"""What a test says of each way in which a message does not arrive: its failure, and `page.explain()`."""

from __future__ import annotations

import pytest

from appengine_channel_emu.testing import NoMessage
from tests.ways import connected
from tests.ways.table import WAYS
from tests.ways.way import is_in


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_what_a_test_says(way, played):
    _, page = played(way)
    explained = page.explain()
    assert is_in(way.says, explained), explained
    with pytest.raises(NoMessage) as failed:
        page.receive(timeout=0)
    assert is_in(way.says, str(failed.value)), str(failed.value)


def test_it_knows_that_the_socket_of_its_page_has_ended(played):
    _, page = played(connected.one_tab)
    assert "The socket of this page has ended: 410 Replaced+by+a+newer+socket." in page.explain()
