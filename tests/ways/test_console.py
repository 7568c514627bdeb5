"""What the console shows, in Chromium, of each way in which a message does not arrive."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from playwright.sync_api import expect

from tests.ways.table import WAYS
from tests.ways.way import pattern

pytestmark = pytest.mark.slow

PLACES = {"Messages": "messages", "Clients": "client/{}", "Faults": "faults", "Clock": "clock"}
"""Where each view is; of the clients, the one whose page waits."""


@pytest.fixture(scope="module")
def window(browser):
    """One tab for all of them: a new one for each would cost more than they do."""
    context = browser.new_context()
    yield context.new_page()
    context.close()


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_what_the_console_shows(way, played, window):
    stage, page = played(way)
    place = PLACES[way.view].format(quote(page.client_id or "anna", safe=""))
    window.goto(f"{stage.url}/_emu/#/{place}")
    expect(window.locator("main")).to_contain_text(pattern(way.console))
