"""Pages on https: behind a TLS proxy, and with the emulator at http on this machine."""

from __future__ import annotations

import re

import pytest

from tests.browser.page_emulator import PageEmulator
from tests.browser.tls_proxy import TlsProxy

TRANSPORTS = ["xhr", "iframe", "short", "websocket"]


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    """The emulator that trusts the proxy, and the proxy."""
    folder = tmp_path_factory.mktemp("https")
    with (
        PageEmulator("--trusted-proxy", "127.0.0.1", "--disconnect-after", "0.3", log=folder / "log") as emulator,
        TlsProxy(emulator.port, folder) as proxy,
    ):
        yield emulator, proxy


@pytest.fixture
def emulator(running):
    running[0].forget()
    return running[0]


@pytest.fixture
def proxy(running):
    return running[1]


def receive(tls_tab, emulator):
    asked = []
    tls_tab.page.on("request", lambda request: asked.append(request.url))
    tls_tab.page.on("websocket", lambda stream: asked.append(stream.url.replace("ws", "http", 1)))
    tls_tab.open(emulator.create_channel("anna"))
    for number in range(3):
        tls_tab.wait(1 + number)
        assert emulator.send("anna", str(number)) == 1
    tls_tab.wait(4)
    assert tls_tab.texts() == ["0", "1", "2"]
    return [url for url in asked if re.search(r"/_ah/channel/(poll|stream)\?", url)]


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_behind_a_tls_proxy_all_stays_on_the_pages_origin(tls_tab, emulator, proxy, transport):
    tls_tab.visit(proxy.url, f"/_ah/channel/jsapi?transport={transport}")
    polls = receive(tls_tab, emulator)
    assert polls
    assert all(url.startswith(proxy.url) for url in polls), polls
    assert tls_tab.page.evaluate("sockets.socket.socket.send('hello')") is True
    assert emulator.received()[0]["msg"] == "hello"
    tls_tab.close()
    assert {post["path"] for post in emulator.told(3)} == {"connected", "receive", "disconnected"}


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_from_a_page_on_https_the_emulator_of_this_machine_may_be_asked_over_http(tls_tab, emulator, proxy, transport):
    tls_tab.visit(proxy.url, f"{emulator.url}/_ah/channel/jsapi?transport={transport}")
    polls = receive(tls_tab, emulator)
    assert polls
    assert all(url.startswith("http://") for url in polls), polls
