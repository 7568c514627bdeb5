"""What the browser's own console says, in the page that waits: of what happens there the emulator sees little."""

from __future__ import annotations

import pytest

from tests.browser.test_client import NO_HANDLER
from tests.support.waiting import eventually
from tests.ways.opened import script_kept_out
from tests.ways.stage import Stage
from tests.ways.way import is_in

OPEN = """([token, handlers]) => {
    const socket = new goog.appengine.Channel(token).open();
    window.opened = new Promise((done) => { socket.onopen = () => done(); });
    Object.assign(socket, eval(`(${handlers})`));
}"""


@pytest.fixture
def said(context):
    """A page, and what its console says."""
    page, lines = context.new_page(), []
    page.on("console", lambda message: lines.append(message.text))
    page.on("pageerror", lambda error: lines.append(f"error: {error}"))
    return page, lines


def opened(stage, page, handlers):
    """Its socket is open, with these handlers, and a message is on its way to it."""
    page.goto(f"{stage.url}/page")
    page.evaluate(OPEN, [stage.token("anna"), handlers])
    page.evaluate("opened")
    stage.send("anna")


def wait_for(page, lines, words):
    """Return once the page's console has said something with these words."""

    def ask():
        # What it says is heard while the page is asked for something.
        page.evaluate("0")
        return lines

    eventually(ask, lambda lines: any(words in line for line in lines))


def test_a_mistyped_handler(tmp_path, said):
    page, lines = said
    with Stage(tmp_path) as stage:
        opened(stage, page, "{onMessage() {}}")
        wait_for(page, lines, NO_HANDLER)


def test_a_handler_that_raises(tmp_path, said):
    page, lines = said
    with Stage(tmp_path) as stage:
        opened(stage, page, "{onmessage() { throw new Error('no element score'); }}")
        wait_for(page, lines, "error: no element score")


def test_a_policy_that_keeps_the_script_out(tmp_path, said):
    page, lines = said
    with Stage(tmp_path, **script_kept_out.settings) as stage:
        waiting = script_kept_out.play(stage)
        page.goto(f"{stage.url}/page")
        wait_for(page, lines, "Content Security Policy")
        assert is_in(script_kept_out.says, waiting.explain())
