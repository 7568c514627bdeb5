"""The sample app's page that compares ways to wait, with a deadline short enough to be seen in a test."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.support.emulator import RunningEmulator


@pytest.fixture
def emulator(tmp_path):
    with RunningEmulator("sample_app", "--request-deadline", "2", log=tmp_path / "emulator.log") as emulator:
        yield emulator


def cells(page, strategy):
    """News, latest, median and worst latency (ms), requests, time held (s), cut."""
    texts = page.locator(f"#rows tr.{strategy} td").all_inner_texts()
    return [float(text) for text in texts]


def test_each_way_to_wait_gets_all_news_and_shows_its_price(context, emulator):
    page = context.new_page()
    page.goto(emulator.url + "/strategies")
    expect(page.locator("#connection")).to_have_text("connected")
    # The third piece of news comes more than a deadline after the second.
    expect(page.locator("#rows tr.poll td").first).to_have_text("3")
    expect(page.locator("#rows tr.hold td").first).to_have_text("3")
    expect(page.locator("#rows tr.channel td").first).to_have_text("3")
    poll, hold, channel = (cells(page, name) for name in ("poll", "hold", "channel"))
    assert channel[4] == 1, "a channel is one request of the app's"
    assert poll[4] >= 8, "short polling asks every second"
    assert hold[5] > 5, "a long poll holds the app all along"
    assert hold[6] >= 1, "and is cut at the deadline"
    assert poll[6] == channel[6] == 0
    assert page.locator("#chart path.cut").count() >= 1
    assert page.locator("#chart circle").count() == 9
    # The channel's time is that of the push alone: nothing waited for the answer to the page's own request.
    assert not any("held" in event["detail"] for event in emulator.events("message_sent"))
