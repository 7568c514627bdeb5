"""Our browser client in Firefox: what must not hold in one browser alone."""

from __future__ import annotations

import pytest

from tests.browser.engines import launch
from tests.browser.tab import Tab

pytestmark = pytest.mark.slow

CLOSED = ["onclose", {}]
TEXTS = ["hello", '{"messages": ["x"]}', "</script>", "\u2028", "\0", "Grüße 😀 שלום", "x" * 32767]


@pytest.fixture(scope="module")
def firefox():
    with launch("firefox") as puppet:
        yield puppet


@pytest.fixture
def tab(firefox):
    page = firefox.new_page()
    yield Tab(page)
    page.close()


@pytest.mark.parametrize(
    ("path", "transport"),
    [("/", "xhr"), ("/", "iframe"), ("/", "short"), ("/sandbox", "xhr"), ("/sandbox", "iframe"), ("/sandbox", "short")],
)
def test_messages_arrive_on_every_transport_with_and_without_an_origin(tab, emulator, transport, path):
    tab.visit(emulator.url + path, f"{emulator.url}/_ah/channel/jsapi?transport={transport}")
    tab.open(emulator.create_channel("anna"))
    tab.wait(1)
    for text in TEXTS:
        assert emulator.send("anna", text) == 1
    assert [name for name, _ in tab.wait_for(1 + len(TEXTS))] == ["onopen"] + ["onmessage"] * len(TEXTS)
    assert tab.texts() == TEXTS
    tab.close()
    assert tab.wait_for(2 + len(TEXTS))[-1] == CLOSED
    assert emulator.presence(2) == [("connected", "anna"), ("disconnected", "anna")]


def test_an_invalid_token(tab, emulator):
    tab.visit(emulator.url)
    tab.open("no-such-token")
    assert tab.wait_for(2) == [["onerror", {"code": 401, "description": "Invalid+token."}], CLOSED]


def test_an_iframe_where_the_page_may_not_ask(tab, emulator):
    tab.visit(f"{emulator.url}/framed")
    tab.open(emulator.create_channel("anna"))
    tab.wait(1)
    emulator.send("anna", "hello")
    tab.wait(2)
    assert tab.texts() == ["hello"]


def test_a_restart_goes_unnoticed(tab, serve, tmp_path):
    emulator = serve(state_dir=tmp_path / "state")
    tab.visit(emulator.url)
    tab.open(emulator.create_channel("anna"))
    tab.wait(1)
    emulator.send("anna", "before")
    emulator.stop()
    emulator.start()
    emulator.send("anna", "after")
    tab.wait(3)
    assert tab.texts() == ["before", "after"]


def test_a_page_that_unloads_tells_the_emulator(tab, emulator):
    tab.visit(emulator.url)
    tab.open(emulator.create_channel("anna"))
    tab.wait(1)
    tab.page.goto("about:blank")
    assert emulator.presence(2) == [("connected", "anna"), ("disconnected", "anna")]


def test_removing_the_hidden_element_closes_the_socket(tab, emulator):
    tab.visit(emulator.url)
    tab.open(emulator.create_channel("anna"))
    tab.wait(1)
    tab.page.evaluate("document.getElementById('wcs-iframe').remove()")
    assert tab.wait_for(2)[-1] == CLOSED
    assert emulator.send("anna", "too late") == 0
