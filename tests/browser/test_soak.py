"""Many messages on each transport through a network that cuts, delays, repeats and truncates, from a seed."""

from __future__ import annotations

import os
import time

import pytest

from tests.browser.chaos_proxy import KINDS, ChaosProxy

SOAK = bool(os.environ.get("SOAK"))
MESSAGES = 20_000
SHORT_RUN_SECONDS = 10
AHEAD = 500
"""Messages that the page may be behind: half of a socket's backlog."""
TROUBLE = 0.2
HEAP_GROWTH = 1_000_000
"""Bytes of the page's heap that a soak may add: a message kept for each would be more."""

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


@pytest.mark.soak
@pytest.mark.parametrize("transport", ["xhr", "iframe", "short"])
def test_every_message_once_and_in_order(tab, emulator, transport):
    page = tab.page
    with ChaosProxy(emulator.port, seed=7) as proxy:
        tab.visit(proxy.url, f"/_ah/channel/jsapi?transport={transport}")
        page.evaluate("goog.appengine.Socket.POLLING_TIMEOUT_MS = 50")
        page.evaluate(COUNT, emulator.create_channel("anna"))
        page.wait_for_function("wrong.opened === 1")
        heap = heap_of(page)
        proxy.trouble = TROUBLE
        give_up = time.monotonic() + SHORT_RUN_SECONDS
        sent = 0
        while sent < MESSAGES and (SOAK or time.monotonic() < give_up):
            assert emulator.send("anna", f"{sent} {'é😀</script>' * (sent % 20)}") == 1
            sent += 1
            if sent % 50 == 0:
                enough = "least => count >= least || wrong.length"
                page.wait_for_function(enough, arg=sent - AHEAD, timeout=120_000)
        page.wait_for_function("sent => count >= sent || wrong.length", arg=sent, timeout=120_000)
        assert page.evaluate("wrong") == []
        assert page.evaluate("[count, wrong.opened]") == [sent, 1]
        grown = heap_of(page) - heap
    print(f"\n{transport}: {sent} messages, {sum(proxy.met.values())} troubles, heap {grown:+} bytes")
    assert set(proxy.met) == set(KINDS), proxy.met
    assert grown < HEAP_GROWTH
