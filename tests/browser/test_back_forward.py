"""Pages that their user leaves and comes back to, with Chromium's back-forward cache, which Playwright turns off."""

from __future__ import annotations

import pytest

from tests.browser.engines import FLAGS
from tests.support import parts

pytestmark = pytest.mark.slow

NOTE_RETURN = "addEventListener('pageshow', (event) => { window.restored = event.persisted; })"
CACHE_OFF = "--disable-back-forward-cache"


@pytest.fixture(scope="module")
def browser(playwright):
    """All of Chromium: its headless shell has no such cache."""
    chromium = parts.need(parts.chromium)
    with_cache = playwright.chromium.launch(executable_path=chromium, args=FLAGS, ignore_default_args=[CACHE_OFF])
    yield with_cache
    with_cache.close()


def leave(tab, emulator, transport):
    """The page opens a socket, and its user goes to another page of the app."""
    tab.visit(emulator.url, "/_ah/channel/jsapi" + ("?transport=xhr" if transport == "poll" else ""))
    tab.open(emulator.create_channel("anna"))
    tab.wait(1)
    emulator.wait_for_transport(transport)
    tab.page.evaluate(NOTE_RETURN)
    tab.page.goto(f"{emulator.url}/elsewhere")


def come_back(tab):
    tab.page.go_back(wait_until="commit")
    tab.page.wait_for_function("window.restored")  # The very page that was left.


@pytest.mark.parametrize("transport", ["poll", "stream"])
def test_a_restored_page_gets_what_was_sent_meanwhile_and_lives_on(tab, emulator, transport):
    leave(tab, emulator, transport)
    assert emulator.send("anna", "while away") == 1
    come_back(tab)
    tab.wait(2)
    emulator.wait_for_transport(transport)
    emulator.send("anna", "back again")
    assert [name for name, _ in tab.wait_for(3)] == ["onopen", "onmessage", "onmessage"]
    assert tab.texts() == ["while away", "back again"]
    assert tab.ready_state() == 1


def test_a_page_restored_after_the_resume_window_knows_that_it_is_closed(tab, emulator):
    leave(tab, emulator, "stream")
    assert emulator.presence(2)[1] == ("disconnected", "anna")
    emulator.advance(120)
    assert emulator.send("anna", "to nobody") == 0
    come_back(tab)
    error = ["onerror", {"code": 410, "description": "Socket+gone."}]
    assert tab.wait_for(3) == [["onopen", {}], error, ["onclose", {}]]
    assert tab.ready_state() == 3


def test_a_page_that_leaves_while_it_connects_is_connected_when_it_is_back(tab, emulator):
    tab.visit(emulator.url)
    tab.page.evaluate(NOTE_RETURN)
    tab.page.route("**/_ah/channel/open?*", lambda route: None)
    tab.open(emulator.create_channel("anna"))
    tab.page.unroute("**/_ah/channel/open?*")
    tab.page.goto(f"{emulator.url}/elsewhere")
    come_back(tab)
    tab.wait(1)
    emulator.send("anna", "hello")
    tab.wait(2)
    assert tab.texts() == ["hello"]
