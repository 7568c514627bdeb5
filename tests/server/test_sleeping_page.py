"""A page whose laptop sleeps: its connection looks alive, and it says nothing (behaviour.md 3 to 5)."""

from __future__ import annotations

import json
import urllib.parse

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from appengine_channel_emu.broker import channel
from appengine_channel_emu.server import websocket
from tests.support.backend import PlayedBackend
from tests.support.waiting import LONG_ENOUGH, until


class Told(PlayedBackend):
    """An app that notes what it is told of."""

    def __init__(self):
        self.posts = []

    def post(self, path, body, content_type, timeout):
        self.posts.append((path.split("/")[-2], urllib.parse.parse_qs(body.decode())["from"]))
        return 200


@pytest.fixture
def app():
    return Told()


@pytest.fixture
def service(make_service, app, monkeypatch):
    """One that waits for tenths of a second instead of 40 and 2."""
    monkeypatch.setattr(websocket, "SILENCE_SECONDS", 0.4)
    return make_service(app, disconnect_after=0.02)


def stream(service, socket_id, after=0):
    url = f"ws://127.0.0.1:{service.port}/_ah/channel/stream?socket={socket_id}&after={after}"
    return connect(url, compression=None, open_timeout=LONG_ENOUGH)


def test_the_app_is_told_and_the_page_goes_on_when_it_wakes(service, app, monkeypatch):
    broker = service.broker
    opened = broker.open(broker.create_channel("ann").token)
    with stream(service, opened.socket) as page:
        assert json.loads(page.recv(LONG_ENOUGH))["messages"] == []
        monkeypatch.setattr(channel, "ATTACHED_SECONDS", 0.05)  # Instead of 5, from now on.
        with pytest.raises(ConnectionClosed, match="Nothing was heard"):
            page.recv(LONG_ENOUGH)
    until(lambda: len(app.posts) == 2)
    assert app.posts == [("connected", ["ann"]), ("disconnected", ["ann"])]
    assert broker.send_message("ann", "while it sleeps").delivered_to == 1
    with stream(service, opened.socket) as page:
        assert json.loads(page.recv(LONG_ENOUGH)) == {"messages": ["while it sleeps"], "next": 1}
    until(lambda: len(app.posts) == 3)
    assert app.posts[2] == ("connected", ["ann"])
