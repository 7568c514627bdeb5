"""Pages behind a real nginx, over TLS, set up as docs/behind-a-proxy.md says."""

from __future__ import annotations

import json

import pytest

from tests.support.nginx import Nginx
from tests.support.waiting import eventually


@pytest.mark.parametrize("upgrades", [True, False])
def test_a_page_streams_or_polls_as_it_is_let(tls_tab, serve, tmp_path, upgrades):
    emulator = serve("--trusted-proxy", "127.0.0.1")
    frames, refused, polls = [], [], []

    def note(socket):
        assert socket.url.startswith("wss://")
        socket.on("framereceived", lambda text: frames.append(text))
        socket.on("socketerror", lambda text: refused.append(text))

    tls_tab.page.on("websocket", note)
    tls_tab.page.on("request", lambda request: "/poll?" in request.url and polls.append(request.url))
    with Nginx(emulator.port, tmp_path, upgrades) as nginx:
        tls_tab.visit(nginx.url)
        tls_tab.open(emulator.create_channel("anna"))
        # The browser's events come while it is asked for something.
        eventually(lambda: tls_tab.page.evaluate("0") or (frames if upgrades else refused), bool)
        assert emulator.send("anna", "first") == 1
        tls_tab.wait(2)
        # A poll that was sent before the stream may have arrived after it: then the stream comes again.
        emulator.wait_for_transport("stream" if upgrades else "poll")
        frames.clear()
        polls.clear()
        for number in range(5):
            assert emulator.send("anna", str(number)) == 1
            tls_tab.wait(3 + number)
        assert tls_tab.texts()[1:] == [str(number) for number in range(5)]
        texts = [text for frame in frames for text in json.loads(frame)["messages"]]
        assert (texts, len(polls) > 0) == ((tls_tab.texts()[1:], False) if upgrades else ([], True))
        assert tls_tab.page.evaluate("sockets.socket.socket.send('hello')") is True
        assert emulator.received()[0]["msg"] == "hello"
        assert not tls_tab.errors
