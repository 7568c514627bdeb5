"""Our script goes from poll to stream and back, at every number: each message comes once and in order."""

from __future__ import annotations

import pytest

MESSAGES = 40

# A stream is cut by its first message, before the page can say that it has it. A page tries one that failed ever more
# seldom: here minutes pass with each message that a poll brings.
RESTLESS = """() => {
    const Real = WebSocket;
    window.streamed = [];
    window.spared = 0;
    window.WebSocket = function (url) {
        const socket = new Real(url);
        socket.addEventListener('message', (event) => {
            const {messages, next} = JSON.parse(event.data);
            if (!messages.length) return;
            streamed.push(next);
            if (spared) spared--; else socket.close();
        });
        return socket;
    };
    const now = performance.now.bind(performance);
    let passed = 0;
    performance.now = () => now() + passed;
    window.pass = () => { passed += 300000; };
}"""

OPEN = """token => {
    window.got = [];
    new goog.appengine.Channel(token).open({
        onopen: () => { got.push('open'); },
        onmessage: (event) => { got.push(event.data); if (!streamed.includes(+event.data)) pass(); },
        onerror: (error) => { got.push(error.description); },
        onclose: () => { got.push('closed'); },
    });
}"""


@pytest.mark.parametrize("spared", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_at_every_number(tab, emulator, spared):
    """Every other message comes by a stream; with the first one spared, those which come by a poll without."""
    page = tab.page
    tab.visit(emulator.url)
    page.evaluate(RESTLESS)
    page.evaluate(OPEN, emulator.create_channel("anna"))
    page.wait_for_function("got.length === 1")
    page.evaluate("spared => { window.spared = spared; }", spared)
    for number in range(1, MESSAGES + 1):
        assert emulator.send("anna", str(number)) == 1
        page.wait_for_function("number => got.length > number", arg=number)
    assert page.evaluate("got") == ["open", *map(str, range(1, MESSAGES + 1))]
    streamed = page.evaluate("streamed")
    assert len(streamed) == len(set(streamed))
    assert MESSAGES / 3 < len(streamed) < MESSAGES * 2 / 3, streamed
