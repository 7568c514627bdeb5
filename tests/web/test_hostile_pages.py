"""What a page of another site can make a browser send or take in without asking first, and what becomes of it."""

from __future__ import annotations

import pytest

from appengine_channel_emu.testing import Emulator
from tests.support.visitor import THEIRS, EchoApp, visitor

ACTING = [f"/_emu/{name}" for name in ("channels", "sockets", "messages", "clock", "faults", "reset")]


@pytest.fixture
def app():
    return EchoApp()


@pytest.mark.parametrize("path", ACTING)
@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
def test_a_form_acts_on_nothing_even_from_a_browser_that_says_nothing_of_its_page(app, path, kind):
    """Older browsers send a form without Origin and Sec-Fetch-Site; the type is what gives it away."""
    answer = visitor(app).post(path, b"{}", headers={"Content-Type": kind}, expect_errors=True)
    assert answer.status_int == 415


def test_every_path_that_acts_is_looked_at_here():
    acting = {
        path
        for path, resource in Emulator()._front._resources.items()
        if path.startswith("/_emu/") and any(hasattr(resource, f"on_{method}") for method in ("post", "put", "patch"))
    }
    assert acting == set(ACTING)


@pytest.mark.parametrize("path", ["/_ah/channel/open", "/_ah/channel/close", "/_emu/messages", "/rpc_http"])
def test_no_preflight_is_granted_neither_from_the_public_network(app, path):
    headers = {
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type",
        "Access-Control-Request-Private-Network": "true",
        "Origin": THEIRS,
    }
    answer = visitor(app).options(path, headers=headers, expect_errors=True)
    granted = {name for name in answer.headers if name.startswith("Access-Control-Allow-")}
    assert granted <= {"Access-Control-Allow-Origin"}


def test_nothing_can_be_taken_in_as_a_script(app):
    client = visitor(app)
    token = client.post_json("/_emu/channels", {"client_id": "x"}).json["token"]
    socket = client.get(f"/_ah/channel/open?channel={token}").json["socket"]
    for path in (
        "/_emu/events",
        "/_emu/channels",
        "/_emu/settings",
        "/_emu/messages",
        f"/_ah/channel/open?channel={token}&callback=steal",
        f"/_ah/channel/poll?socket={socket}&after=0&wait=0&callback=steal",
    ):
        answer = client.get(path)
        assert answer.content_type == "application/json", path
        assert answer.headers["X-Content-Type-Options"] == "nosniff", path
        assert b"steal" not in answer.body, path
    assert client.get("/_emu/events?callback=steal", expect_errors=True).status_int == 400


@pytest.mark.parametrize("path", ["/_emu/events", "/_ah/channel/poll?socket=x&after=0", "/_ah/channel/jsapi"])
def test_no_websocket_is_opened(app, path):
    headers = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Key": "x", "Origin": THEIRS}
    answer = visitor(app).get(path, headers=headers, expect_errors=True)
    assert answer.status_int in (200, 403, 410)
    assert "Upgrade" not in answer.headers


@pytest.mark.parametrize("text", ["<script>alert(1)</script>", "<img src=x onerror=alert(1)>"])
def test_what_it_sends_comes_back_as_text_only(app, text):
    client = visitor(app)
    for path, parameters in (
        ("/_emu/events", {text: "1"}),
        ("/_ah/channel/dev", {"command": text, "channel": text}),
        ("/_ah/channel/open", {"channel": text, "attempt": text}),
        (f"/_emu/{text}", {}),
    ):
        answer = client.get(path, parameters, expect_errors=True)
        assert answer.status_int in (400, 401, 404), path
        assert answer.content_type in ("text/plain", "application/json"), path
        assert answer.headers["X-Content-Type-Options"] == "nosniff", path
