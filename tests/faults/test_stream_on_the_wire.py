"""Each fault of a stream over a real connection: of the request for it, and of what goes over it."""

from __future__ import annotations

import pytest

from appengine_channel_emu.testing.stream import ClientStream, StreamRefused
from appengine_channel_emu.testing.transports import EmulatorAway
from tests.support.waiting import LONG_ENOUGH

SECONDS = 0.2
EMPTY = {"messages": [], "next": 0}
ONE = {"messages": ["one"], "next": 1}


class Page:
    """A page of the client id anna."""

    def __init__(self, server):
        self.server = server
        self.broker = server._running.broker
        self.socket = self.broker.open(server.create_channel("anna")).socket
        self.streams = []

    def stream(self):
        stream = ClientStream(self.server.url, self.socket)
        self.streams.append(stream)
        return stream

    def transport(self):
        return self.broker.control.channel("anna").sockets_shown[0].transport


@pytest.fixture
def page(server):
    page = Page(server)
    yield page
    for stream in page.streams:
        stream.close()


class TestUpgrade:
    def test_error(self, server, page):
        server.faults.add("stream error error=503 count=1")
        with pytest.raises(StreamRefused, match="503 A fault on request"):
            page.stream()

    @pytest.mark.parametrize("action", ["drop", "cut"])
    def test_the_connection_breaks(self, server, page, action):
        poll = page.broker.poll(page.socket, 0)
        server.faults.add(f"stream {action} count=1")
        with pytest.raises(StreamRefused, match="ended"):
            page.stream()
        assert (poll.superseded, page.transport()) == ((False, "poll") if action == "drop" else (True, None))

    @pytest.mark.parametrize("action", [f"delay seconds={SECONDS}", "duplicate"])
    def test_late_or_twice(self, server, page, action, happened):
        server.faults.add(f"stream {action} count=1")
        server.send_message("anna", "one")
        assert page.stream().receive(LONG_ENOUGH) == ONE
        assert happened(page.broker) == [f"stream {action.split()[0]}"]


class TestDelivery:
    @pytest.fixture
    def stream(self, page):
        stream = page.stream()
        assert stream.receive(LONG_ENOUGH) == EMPTY
        return stream

    def send(self, server, fault):
        server.faults.add(f"poll {fault} count=1")
        server.send_message("anna", "one")

    def test_delay(self, server, stream):
        self.send(server, f"delay seconds={SECONDS}")
        assert stream.receive(LONG_ENOUGH) == ONE
        server.send_message("anna", "two")
        assert stream.receive(LONG_ENOUGH) == {"messages": ["two"], "next": 2}

    def test_error(self, server, stream):
        self.send(server, "error error=500")
        assert stream.receive(LONG_ENOUGH) == {"error": 500, "reason": "A fault on request."}
        with pytest.raises(EmulatorAway):
            stream.receive(LONG_ENOUGH)
        assert stream.closed == 1000

    @pytest.mark.parametrize("action", ["drop", "cut"])
    def test_the_connection_breaks_and_the_next_stream_has_it_all(self, server, page, stream, action):
        self.send(server, action)
        with pytest.raises(EmulatorAway):
            stream.receive(LONG_ENOUGH)
        assert stream.closed is None
        assert page.stream().receive(LONG_ENOUGH) == ONE

    def test_duplicate(self, server, stream):
        self.send(server, "duplicate")
        assert [stream.receive(LONG_ENOUGH) for _ in range(2)] == [ONE, ONE]
