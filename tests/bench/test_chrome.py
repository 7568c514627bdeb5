"""What pages of benchmarks send is what a page in Chromium sends: each header, in this order, with this value."""

from __future__ import annotations

import re
import socket
import threading

import pytest

from appengine_channel_emu.bench import chrome
from tests.browser.engines import launch
from tests.support.service import running_service
from tests.support.waiting import eventually
from tests.support.wire import Listener

pytestmark = pytest.mark.slow

OPEN = """token => {
    const handler = {onopen() {}, onmessage() {}, onerror() {}, onclose() {}};
    window.socket = new goog.appengine.Channel(token).open(handler);
}"""
OWN = {
    # Of this browser, its version and its run; of the address where it finds us.
    rb"localhost:\d+": b"localhost",
    rb"Referer: http://localhost/[^\r]*": b"Referer: http://localhost/",
    rb'sec-ch-ua: "[^\r]*': b"sec-ch-ua: (brands)",
    rb"User-Agent: Mozilla/5.0 \(X11; Linux x86_64\)[^\r]*": b"User-Agent: (version)",
    rb"Sec-WebSocket-Key: [^\r]*": b"Sec-WebSocket-Key: (key)",
    rb"Accept-Language: [^\r]*": b"Accept-Language: (languages)",
    rb"(?<=channel=)[\w-]+": b"TOKEN",
    rb"(?<=socket=)[\w-]+": b"SOCKET",
    rb"attempt=0\.\d+": b"attempt=0.1",
}


class Relay:
    """Between a browser and the emulator; `heads` has what the browser sends."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.heads: list[bytes] = []
        self.listener = Listener(self._serve)

    def of(self, path: str) -> bytes:
        """The last request for `path`, empty while there is none."""
        return next((head for head in reversed(self.heads) if f" /_ah/channel/{path}?".encode() in head[:40]), b"")

    def _serve(self, browser: socket.socket) -> None:
        with socket.create_connection(("127.0.0.1", self._port)) as emulator:
            threading.Thread(target=_copy, args=(emulator, browser), daemon=True).start()
            while data := browser.recv(65536):
                self.heads.append(data)
                emulator.sendall(data)


def _copy(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass  # The browser has gone.


def comparable(head: bytes) -> list[bytes]:
    """Its lines, without what is the browser's own."""
    for pattern, name in OWN.items():
        head = re.sub(pattern, name, head)
    return head.split(b"\r\n")


def test_they_are_what_chromium_sends():
    with running_service() as service, launch("chromium") as engine:
        relay = Relay(service.port)
        page = engine.new_page()
        page.goto(f"http://localhost:{relay.listener.port}/_emu/health")
        page.add_script_tag("/_ah/channel/jsapi")
        page.evaluate(OPEN, service.broker.create_channel("me").token)
        eventually(lambda: relay.of("stream"), bool)
        page.close()
        eventually(lambda: relay.of("close"), bool)
        relay.listener.close()
    agent = chrome.agent(1)
    ours = {
        "open": chrome.open_request("TOKEN", agent),
        "poll": chrome.poll_request("SOCKET", 0, 25, agent),
        "stream": chrome.stream_request("SOCKET", 0, agent),
        "close": chrome.close_request("SOCKET", agent),
    }
    for path, head in ours.items():
        assert comparable(head) == comparable(relay.of(path)), path
