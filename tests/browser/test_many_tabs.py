"""More tabs than a browser opens connections to one host (design.md, "Many tabs")."""

from __future__ import annotations

import os
import statistics
import time

import pytest

from tests.browser.engines import ENGINES, launch
from tests.support.waiting import eventually

FULL = bool(os.environ.get("SOAK"))
CROWDED, CROWD = 8, 24 if FULL else 10
"""Tabs. Browsers open six connections to one host."""
REPEAT = 5 if FULL else 2
"""Messages to each tab."""
THROTTLED_MS = 1000.0
"""How often a hidden page's timers run: a message needs none."""
FRESH_PAGE_SECONDS = 20.0
"""Less than polls are parked for (behaviour.md 5): none had to end for the page."""

WAYS = {"stream": [], "poll": ["--fault", "stream error"]}
"""By transport, what the emulator is told: where it refuses to upgrade a connection, pages must poll."""

OPEN = """token => {
    window.delays = [];
    window.opened = false;
    new goog.appengine.Channel(token).open({
        onopen: () => { opened = true; },
        onmessage: (event) => { delays.push(Date.now() - parseFloat(event.data)); },
    });
}"""


@pytest.fixture(params=WAYS)
def way(request):
    return request.param


@pytest.fixture
def emulator(serve, way):
    return serve(*WAYS[way])


@pytest.fixture(scope="module", params=ENGINES)
def engine(request):
    with launch(request.param) as engine:
        yield engine


def open_tabs(pages, emulator):
    for number, page in enumerate(pages):
        page.goto(emulator.url)
        page.add_script_tag(url="/_ah/channel/jsapi")
        page.evaluate(OPEN, emulator.create_channel(f"t{number}"))
        page.wait_for_function("opened")


def transports(emulator):
    """Those by which messages would leave at this moment."""
    channels = emulator.get_json("/_emu/channels")["channels"]
    return [socket["transport"] for channel in channels for socket in channel["sockets_shown"]]


def send(emulator, number):
    emulator.send(f"t{number}", repr(time.time() * 1000))


def one_after_another(pages, emulator):
    """The milliseconds that each of `REPEAT` messages to each page took."""
    for turn in range(REPEAT):
        for number, page in enumerate(pages):
            send(emulator, number)
            page.wait_for_function("count => delays.length > count", arg=turn)
    delays = [page.evaluate("delays") for page in pages]
    assert [len(each) for each in delays] == [REPEAT] * len(pages)
    return [delay for each in delays for delay in each]


def all_are_live_and_a_fresh_page_need_not_wait(pages, new_page, emulator, way):
    """Returns the milliseconds that messages took."""
    open_tabs(pages, emulator)
    if way == "stream":
        eventually(lambda: transports(emulator), lambda found: found == ["stream"] * len(pages))
    delays = one_after_another(pages, emulator)
    assert set(transports(emulator)) <= {way, None}

    fresh = new_page()
    started = time.monotonic()
    fresh.goto(emulator.url)
    assert time.monotonic() - started < FRESH_PAGE_SECONDS
    fresh.close()

    for _ in range(REPEAT):
        for number in range(len(pages)):
            send(emulator, number)
    for page in pages:
        page.wait_for_function("count => delays.length === count", arg=2 * REPEAT)
        page.close()
    return delays


@pytest.mark.slow
def test_more_tabs_than_connections(context, emulator, way):
    pages = [context.new_page() for _ in range(CROWDED)]
    all_are_live_and_a_fresh_page_need_not_wait(pages, context.new_page, emulator, way)


@pytest.mark.soak
def test_many_tabs_of_which_all_but_one_are_hidden(engine, emulator, way):
    pages = engine.new_tabs(CROWD)
    assert sum(page.evaluate("document.hidden") for page in pages) == CROWD - 1
    delays = all_are_live_and_a_fresh_page_need_not_wait(pages, engine.new_page, emulator, way)
    centiles = statistics.quantiles(delays, n=100, method="inclusive")
    print(f"\n{engine.version}, {way}: p50 {centiles[49]:.0f} ms, p95 {centiles[94]:.0f} ms")
    assert centiles[49] < THROTTLED_MS
