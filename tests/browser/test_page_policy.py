"""Content-Security-Policies in Chromium: what the emulator notes of a page is what the browser does with it."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest

from appengine_channel_emu.testing import ChannelServer
from tests.support.policies import ALLOWED, BLOCKED, UNSURE, PolicyCase

PAGE = b'<!DOCTYPE html><title>A page</title><link rel="icon" href="data:,"><script src="/_ah/channel/jsapi"></script>'
MAY_ASK = """async () => {
    if (await fetch('/_ah/channel/poll').then(() => true, () => false)) return true;
    const frame = document.createElement('iframe');
    const told = new Promise(done => addEventListener('message', event => { if (event.data === 'us') done(true); }));
    const refused = new Promise(done => document.addEventListener('securitypolicyviolation', event => {
        if (event.effectiveDirective === 'frame-src') done(false);
    }));
    frame.src = '/_ah/channel/frame#us';
    document.documentElement.appendChild(frame);
    return Promise.race([told, refused]);
}"""
"""Whether the page may ask the emulator, by itself or from a frame."""

policies: list[str] = []


def app(environ, start_response):
    """A page with the `policies`, which loads the browser client."""
    headers = [("Content-Security-Policy", policy) for policy in policies]
    start_response("200 OK", [("Content-Type", "text/html"), *headers])
    return [PAGE]


@pytest.fixture(scope="module")
def running():
    with ChannelServer(app) as server:
        yield server


def visit(running, tab, case):
    """Show the tab a page of a case."""
    place = urlsplit(running.url.replace("127.0.0.1", "localhost"))
    words = {"origin": place.geturl(), "host": place.hostname, "port": place.port}
    policies[:] = [header.format(**words) for header in case.headers]
    tab.page.goto(f"{place.geturl()}/chat")


def noted(server):
    return [event for event in server.broker.events.after(0) if event.kind == "csp_blocks"]


@pytest.mark.slow
def test_chromium_does_what_the_emulator_takes_it_to_do(running, tab):
    differ = []
    for case in (*ALLOWED, *BLOCKED, *UNSURE):
        running.reset()
        visit(running, tab, case)
        script = tab.page.evaluate("typeof goog") == "object"
        connected = tab.page.evaluate(MAY_ASK) if script else case.connected
        works = case.script and case.connected
        if (script, connected, not noted(running)) != (case.script, case.connected, works):
            differ.append((case, script, connected, noted(running)))
    assert differ == []


def test_a_page_whose_policy_blocks_the_script_is_told_of(running, tab):
    running.reset()
    visit(running, tab, PolicyCase(("script-src 'none'; connect-src 'self'",)))
    assert tab.page.evaluate("typeof goog") == "undefined"
    (event,) = noted(running)
    origin = running.url.replace("127.0.0.1", "localhost")
    assert event.text == (
        "The Content-Security-Policy of /chat blocks /_ah/channel/jsapi: "
        f"script-src allows no script of {origin}. Add 'self' to script-src."
    )
    policies[:] = ["script-src 'self'; connect-src 'self'"]
    tab.page.reload()
    assert tab.page.evaluate("typeof goog") == "object"
    assert len(noted(running)) == 1
