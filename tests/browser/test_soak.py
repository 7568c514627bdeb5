"""Many messages on each transport through a network that cuts, delays, repeats and truncates, from a seed."""

from __future__ import annotations

import os

import pytest

from tests.browser.chaos_proxy import KINDS, ChaosProxy

MESSAGES = 20_000 if os.environ.get("SOAK") else 600
STEP, AHEAD = 20, 100
"""How often to look whether the page is more than this many messages behind: so it needs many polls for them all."""
PROBABILITY = 0.2
HEAP_GROWTH = 200_000
"""Bytes that the page's heap may grow by in the second half of a soak: flat, but for the browser's own bookkeeping."""

COUNT = """token => {
    window.count = 0;
    window.wrong = [];
    new goog.appengine.Channel(token).open({
        onopen: () => { wrong.opened = (wrong.opened || 0) + 1; },
        onmessage: (event) => {
            if (event.data.split(' ')[0] === String(count)) { count++; } else { wrong.push(event.data.slice(0, 40)); }
        },
        onerror: (error) => { wrong.push('onerror ' + error.description); },
        onclose: () => { wrong.push('onclose'); },
    });
}"""


def heap_of(page):
    """Bytes in use once all garbage is gone."""
    session = page.context.new_cdp_session(page)
    session.send("HeapProfiler.enable")
    session.send("HeapProfiler.collectGarbage")
    used = session.send("Runtime.getHeapUsage")["usedSize"]
    session.detach()
    return used


def send(emulator, page, first, end):
    """Sends the messages from number `first` up to `end`, and waits for them."""
    for number in range(first, end):
        assert emulator.send("anna", f"{number} {'é😀</script>' * (number % 20)}") == 1
        if number % STEP == 0:
            page.wait_for_function("least => count >= least || wrong.length", arg=number - AHEAD)
    page.wait_for_function("sent => count >= sent || wrong.length", arg=end)
    assert page.evaluate("wrong") == []


@pytest.mark.soak
@pytest.mark.parametrize("transport", ["xhr", "iframe", "short", "websocket"])
def test_every_message_once_and_in_order(tab, emulator, transport):
    page = tab.page
    with ChaosProxy(emulator.port, seed=7) as proxy:
        tab.visit(proxy.url, f"/_ah/channel/jsapi?transport={transport}")
        page.evaluate("goog.appengine.Socket.POLLING_TIMEOUT_MS = 50")
        page.evaluate(COUNT, emulator.create_channel("anna"))
        page.wait_for_function("wrong.opened === 1")
        proxy.probability = PROBABILITY
        send(emulator, page, 0, MESSAGES // 2)
        heap = heap_of(page)  # What the page needs once is there by now.
        sent = MESSAGES // 2
        while sent < MESSAGES or (set(proxy.met) != set(KINDS) and sent < 2 * MESSAGES):
            send(emulator, page, sent, sent + AHEAD)
            sent += AHEAD
        assert page.evaluate("[count, wrong.opened]") == [sent, 1]
        grown = heap_of(page) - heap
    faults = ", ".join(f"{count} {kind}" for kind, count in sorted(proxy.met.items()))
    print(f"\n{transport}: {sent} messages; {faults}; heap {grown:+} bytes in the second half")
    assert set(proxy.met) == set(KINDS), proxy.met
    assert grown < HEAP_GROWTH
