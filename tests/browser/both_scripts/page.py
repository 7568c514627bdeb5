"""What the tests do with a page, whichever script it has. `log` in the page has what its handlers were called with."""

from __future__ import annotations

from tests.support.waiting import eventually


def poll_often(page):
    # As apps did: Google's script asks for one message every 500 ms.
    page.evaluate("goog.appengine.Socket.POLLING_TIMEOUT_MS = 10")


def opened(page, emulator, client_id="anna", name="socket"):
    """Opens a socket whose calls go to `log`, and waits for its onopen."""
    page.evaluate(
        "([token, name]) => { window[name] = new goog.appengine.Channel(token).open(handlers(name)); }",
        [emulator.create_channel(client_id), name],
    )
    wait_for(page, f"{name} onopen 1")


def wait_for(page, *lines):
    """Returns the log of the page once all of `lines` are in it."""
    page.wait_for_function("lines => lines.every((line) => log.includes(line))", arg=list(lines))
    return page.evaluate("log")


def settled(page):
    """The log once the page's requests of before, and what follows from them, have come to an end."""
    page.evaluate("""async () => {
        for (let turn = 0; turn < 5; turn++) {
            await fetch('/told?at_least=0');
            await new Promise((resolve) => setTimeout(resolve, 30));
        }
    }""")
    return page.evaluate("log")


def assert_came_and_left(emulator):
    """The app was told of both. A slow Chromium may keep Google's script silent so long that it came and left again."""
    told = eventually(lambda: emulator.presence(0), lambda told: told and told[-1] == ("disconnected", "anna"))
    assert told == [("connected", "anna"), ("disconnected", "anna")] * (len(told) // 2)
