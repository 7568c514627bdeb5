"""Many messages on each transport, while the network breaks whatever it can, by a seed, and the emulator restarts."""

from __future__ import annotations

import os

import pytest

from tests.browser.chaos_proxy import KINDS, STREAM_KINDS, ChaosProxy

FULL = bool(os.environ.get("SOAK"))
MESSAGES = 20_000 if FULL else 400
RESTARTS = 5 if FULL else 1
STEP, AHEAD = 20, 100
"""How often to look whether the page is more than this many messages behind: so it needs many polls for them all."""
PROBABILITY = 0.2
HEAP_GROWTH = 200_000
"""Bytes that the page's heap may grow by in the second half of a soak: flat, but for the browser's own bookkeeping."""
FRAME = 600_000
"""Bytes of the emulator's page in the iframe, to which a page that chooses by itself may have changed meanwhile."""

# A page that chooses by itself tries a stream that has failed ever more seldom, up to minutes apart. Here they pass.
MINUTES_PASS = """() => {
    const now = performance.now.bind(performance);
    let passed = 0;
    performance.now = () => now() + passed;
    window.pass = () => { passed += 300000; };
}"""

COUNT = """token => {
    window.count = 0;
    window.wrong = [];
    new goog.appengine.Channel(token).open({
        onopen: () => { wrong.opened = (wrong.opened || 0) + 1; },
        onmessage: (event) => {
            if (event.data.split(' ')[0] === String(count)) { count++; } else { wrong.push(event.data.slice(0, 40)); }
            if (window.pass && count % 5 === 0) pass();
        },
        onerror: (error) => { wrong.push('onerror ' + error.description); },
        onclose: () => { wrong.push('onclose'); },
    });
}"""


def heap_of(page):
    """Bytes in use once all garbage is gone, but for those of the emulator's page in an iframe."""
    session = page.context.new_cdp_session(page)
    session.send("HeapProfiler.enable")
    session.send("HeapProfiler.collectGarbage")
    used = session.send("Runtime.getHeapUsage")["usedSize"]
    session.detach()
    return used - FRAME * page.evaluate("document.querySelectorAll('iframe:not(#wcs-iframe)').length")


def send(emulator, page, first, end):
    """Sends the messages from number `first` up to `end`, and waits for them."""
    for number in range(first, end):
        assert emulator.send("anna", f"{number} {'é😀</script>' * (number % 20)}") == 1
        if number % STEP == 0:
            page.wait_for_function("least => count >= least || wrong.length", arg=number - AHEAD)
    page.wait_for_function("sent => count >= sent || wrong.length", arg=end)
    assert page.evaluate("wrong") == []


TRANSPORTS = {
    "automatic": {*KINDS, *STREAM_KINDS},
    "websocket": {*KINDS, *STREAM_KINDS} if FULL else {*STREAM_KINDS},
    "xhr": {*KINDS},
    "iframe": {*KINDS},
    "short": {*KINDS},
}
"""What each meets; the first is the page's own choice."""


@pytest.mark.soak
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_every_message_once_and_in_order(tab, serve, tmp_path, transport):
    emulator = serve(state_dir=tmp_path / "state")
    page, kinds = tab.page, TRANSPORTS[transport]
    with ChaosProxy(emulator.port, seed=7) as proxy:
        tab.visit(proxy.url, "/_ah/channel/jsapi" + ("" if transport == "automatic" else f"?transport={transport}"))
        page.evaluate("goog.appengine.Socket.POLLING_TIMEOUT_MS = 50")
        page.evaluate(MINUTES_PASS)
        page.evaluate(COUNT, emulator.create_channel("anna"))
        page.wait_for_function("wrong.opened === 1")
        proxy.probability = PROBABILITY
        sent = restarts = 0
        heap = None
        while sent < MESSAGES or (not kinds <= set(proxy.met) and sent < 20 * MESSAGES):
            send(emulator, page, sent, sent + AHEAD)
            sent += AHEAD
            if heap is None and sent >= MESSAGES // 2:
                heap = heap_of(page)  # What the page needs once is there by now.
            if restarts < min(RESTARTS, (RESTARTS + 1) * sent // MESSAGES):
                restarts += 1
                assert emulator.send("anna", f"{sent} on its way when the emulator stops") == 1
                sent += 1
                assert emulator.stop() == 0
                emulator.start()
        page.wait_for_function("sent => count >= sent || wrong.length", arg=sent)
        assert page.evaluate("[count, wrong.length, wrong.opened]") == [sent, 0, 1]
        grown = heap_of(page) - heap
    faults = ", ".join(f"{count} {kind}" for kind, count in sorted(proxy.met.items()))
    print(
        f"\n{transport}: {sent} messages, {restarts} restarts, {proxy.streams} streams; {faults}; "
        f"heap {grown:+} bytes in the second half"
    )
    assert kinds <= set(proxy.met), proxy.met
    assert restarts >= RESTARTS
    assert grown < HEAP_GROWTH or not FULL  # What a page needs once is all that grows in a short run.
