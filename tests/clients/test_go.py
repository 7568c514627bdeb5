"""A Go app on Debian's google.golang.org/appengine, unmodified: Create, Send, SendJSON, and the errors' types."""

from __future__ import annotations

import json

import pytest

from appengine_channel_emu.testing import ChannelClient
from tests.support.go import GoApp, build
from tests.support.service import running_service
from tests.support.waiting import LONG_ENOUGH

pytestmark = pytest.mark.slow

# What a flexible environment's VM has; without a ticket, an id or these, the library panics (facts.md 2.3).
PRODUCTION = {
    "GAE_LONG_APP_ID": "app",
    "GAE_PARTITION": "s",
    "GAE_MODULE_NAME": "default",
    "GAE_MODULE_VERSION": "1",
    "GAE_MINOR_VERSION": "2",
    "GAE_MODULE_INSTANCE": "0",
}


@pytest.fixture(scope="module")
def binary():
    return build()


@pytest.fixture
def emulator():
    with running_service() as service:
        yield service


@pytest.fixture(params=[{"RUN_WITH_DEVAPPSERVER": "1"}, PRODUCTION], ids=["dev", "production"])
def app(binary, emulator, request):
    running = GoApp(binary, emulator.address, request.param)
    yield running
    running.stop()


def test_create_send_and_send_json(app, emulator):
    status, token = app.ask("/create", id="gopher ☃")
    assert status == 200
    with ChannelClient(emulator.url, token) as client:
        assert app.ask("/send", id="gopher ☃", message="hello ☃") == (200, "sent")
        assert app.ask("/send_json", id="gopher ☃", message="<b>") == (200, "sent")
        assert client.receive(LONG_ENOUGH) == "hello ☃"
        assert json.loads(client.receive(LONG_ENOUGH)) == {"text": "<b>", "number": 7}


@pytest.mark.parametrize(
    ("path", "fields", "error"),
    [
        ("/create", {"id": ""}, "API error 2 (channel: INVALID_CHANNEL_KEY): A client id has 1 to 256 bytes"),
        ("/create", {"id": "x" * 257}, "API error 2 (channel: INVALID_CHANNEL_KEY): A client id has 1 to 256 bytes"),
        ("/send", {"id": "x", "message": ""}, "API error 3 (channel: BAD_MESSAGE): A message has 1 to 32767 bytes"),
        ("/send", {"id": "x", "message": "x" * 32768}, "API error 3 (channel: BAD_MESSAGE)"),
    ],
)
def test_refusals_are_api_errors_of_the_channel_service(app, path, fields, error):
    status, text = app.ask(path, **fields)
    assert status == 400
    assert text.startswith("*internal.APIError " + error)


def test_sends_to_nobody_succeed(app):
    assert app.ask("/send", id="nobody", message="x") == (200, "sent")
    assert app.ask("/send", id="", message="x") == (200, "sent")
