"""The sample app's page of all ways to wait, with a deadline short enough to be seen in a test."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.support.emulator import RunningEmulator
from tests.support.legacy import PlainSdk
from tests.support.parts import ROOT

pytestmark = pytest.mark.slow

WAYS = ("short", "xhr", "iframe", "websocket")
HOUR = 3_600_000

OUTSIDE = """() => Array.from(document.querySelectorAll('main *, header *, footer *')).filter((one) => {
    const box = one.getBoundingClientRect();
    return box.width && !one.closest('thead, svg') && (box.right > innerWidth || box.left < 0);
}).map((one) => one.outerHTML.slice(0, 100))"""

SMALLEST_TEXT = """() => Math.min(...Array.from(document.querySelectorAll('main *')).filter((one) => {
    return one.getBoundingClientRect().width && Array.from(one.childNodes).some((node) => node.nodeType === 3);
}).map((one) => {
    const scale = one.getCTM ? one.getScreenCTM().a : 1;
    return scale * parseFloat(getComputedStyle(one).fontSize);
}))"""


@pytest.fixture(scope="module")
def emulator(tmp_path_factory):
    folder = tmp_path_factory.mktemp("strategies")
    with RunningEmulator(
        "--no-sdk", "sample_app", "--request-deadline", "2", log=folder / "log", state_dir=folder / "state"
    ) as emulator:
        yield emulator


@pytest.fixture
def page(context, emulator):
    """The page, once all its sockets are open."""
    page = context.new_page()
    page.goto(emulator.url + "/strategies")
    expect(page.locator("#connection")).to_have_text("connected")
    return page


def wait_for(page, lane, figure, least):
    """Returns when that figure of the lane is large enough."""
    script = "([cell, least]) => parseFloat((document.querySelector(cell) || {}).textContent) >= least"
    page.wait_for_function(script, arg=[f"#rows .{lane} .{figure}", least])


def wait_for_news(page, lane, count):
    """Returns when that many pieces of news have come in the lane."""
    wait_for(page, lane, "news", count)


def figures(page, lane):
    """The lane's row of the table."""
    cells = page.locator(f"#rows .{lane} td").evaluate_all(
        "cells => cells.map((cell) => [cell.className, parseFloat(cell.textContent)])"
    )
    return dict(cells)


def drawn(page, lane, kind):
    """How many signs of a kind the lane's chart shows."""
    path = page.locator(f".lane.{lane} path.{kind}").get_attribute("d") or ""
    return path.count("M")


def test_each_way_to_wait_gets_all_news_and_shows_its_price(page, emulator):
    # The third piece of news comes more than a deadline after the second.
    for lane in ("poll", "hold", *WAYS):
        wait_for_news(page, lane, 3)
    # Short polling asks every second. A long poll holds the app all along, and is cut at the deadline.
    wait_for(page, "poll", "app", 8)
    wait_for(page, "hold", "held", 5)
    wait_for(page, "hold", "cut", 1)
    page.click("#pause")  # Table and chart are of one moment.
    rows = {lane: figures(page, lane) for lane in ("poll", "hold", *WAYS)}
    assert drawn(page, "hold", "cut") >= 1
    for lane in WAYS:
        assert rows[lane]["app"] == 1, "a channel is one request of the app's"
        least = 2 if lane == "websocket" else 4
        assert rows[lane]["platform"] >= least, "open, and the stream or a poll for each message"
        assert rows[lane]["cut"] == 0
    for lane, row in rows.items():
        assert row["latest"] <= row["worst"], lane
        assert row["bytes"] >= 0.3 * (row["app"] + row["platform"] - 1), "each answer has a head"
        assert drawn(page, lane, "news") == row["news"], lane
    assert rows["websocket"]["platform"] == 2
    assert all(rows["websocket"]["bytes"] < rows[lane]["bytes"] for lane in ("short", "xhr", "iframe"))
    # The channels' time is that of the push alone: nothing waited for the answer to a request of the page's.
    assert not any("held" in event["detail"] for event in emulator.events("message_sent"))


def test_a_server_without_websockets(context, emulator):
    """One behind a WSGI server that is not ours."""

    def without_stream(route):
        answer = route.fetch()
        route.fulfill(response=answer, json={**answer.json(), "stream": False})

    page = context.new_page()
    page.route("**/_ah/channel/open?*", without_stream)
    page.goto(emulator.url + "/strategies")
    expect(page.locator(".lane.websocket")).to_contain_text("this server has no WebSockets")
    wait_for_news(page, "xhr", 1)
    expect(page.locator("#rows .websocket .news")).to_have_text("\u2013")


def test_nothing_is_clipped_and_all_can_be_read(page):
    wait_for_news(page, "xhr", 1)
    for width in (360, 768, 1280, 1600):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.scrollingElement.scrollWidth <= innerWidth"), width
        assert page.evaluate(OUTSIDE) == [], width
        assert page.evaluate(SMALLEST_TEXT) >= 11, width


def test_the_chart_can_be_paused_by_the_keyboard(page):
    wait_for_news(page, "poll", 1)
    page.focus("#pause")
    page.keyboard.press("Enter")
    expect(page.locator("#pause")).to_have_attribute("aria-pressed", "true")
    before = page.locator(".lane.poll .asked").get_attribute("d")
    with page.expect_response("**/strategies/poll?*"):
        pass
    assert page.locator(".lane.poll .asked").get_attribute("d") == before
    page.keyboard.press("Enter")
    page.wait_for_function(
        "before => document.querySelector('.lane.poll .asked').getAttribute('d') !== before", arg=before
    )


def test_clocks_that_differ_are_told_apart_from_latency(context, emulator):
    page = context.new_page()
    page.add_init_script("const now = Date.now; Date.now = () => now() - " + str(HOUR))
    page.goto(emulator.url + "/strategies")
    expect(page.locator("#clocks")).to_contain_text("latencies are corrected")
    wait_for_news(page, "xhr", 2)
    assert figures(page, "xhr")["latest"] < HOUR


def test_a_restart_of_the_app_is_survived(page, emulator):
    lanes = ("poll", "hold", *WAYS)
    wait_for_news(page, "poll", 1)
    emulator.stop()
    emulator.start()
    before = {lane: figures(page, lane)["news"] for lane in lanes}
    for lane in lanes:
        wait_for_news(page, lane, before[lane] + 2)


def test_a_server_that_is_no_emulator(context, emulator):
    page = context.new_page()
    page.route("**/_ah/channel/jsapi", lambda route: route.fulfill(status=404, body="no such page"))
    page.goto(emulator.url + "/strategies")
    expect(page.locator("#chart-note")).to_contain_text("script could not be loaded")
    wait_for_news(page, "hold", 1)


def test_the_sdks_own_server_and_script(context, tmp_path):
    """Under Python 2.7, with one way to wait on a channel, and without a deadline."""
    with PlainSdk(ROOT / "sample_app", tmp_path) as server:
        page = context.new_page()
        page.goto(server.url + "/strategies")
        for lane in ("poll", "hold", "channel"):
            wait_for_news(page, lane, 3)
        assert figures(page, "channel")["platform"] >= 4
        assert page.locator(".lane").count() == 3
