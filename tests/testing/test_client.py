"""`ChannelClient` over HTTP, by polls and over a stream; and a stream alone."""

from __future__ import annotations

import contextlib
import socket
import threading
from http.client import HTTPConnection

import pytest

from appengine_channel_emu.broker.errors import BadMessage
from appengine_channel_emu.server import websocket
from appengine_channel_emu.testing import ChannelClient, ChannelServer, Emulator, EmulatorAway, stream
from appengine_channel_emu.testing.stream import ClientStream, StreamRefused
from appengine_channel_emu.web.channel.stream import PageStream
from appengine_channel_emu.web.guard import LONGEST_POLL
from tests.support.waiting import LONG_ENOUGH, until

TRANSPORTS = ["poll", "stream"]


@pytest.fixture
def server():
    with ChannelServer() as server:
        yield server


def transport_of(server, client_id):
    (shown,) = server.broker.control.channel(client_id).sockets_shown
    return shown.transport


def cut(server, client_id):
    (socket_id,) = server.broker.control.sockets_of(client_id)
    server.broker.control.cut(socket_id)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_it_stays_present_between_calls_and_has_what_was_sent_before_each(server, transport):
    with server.client("bob", transport=transport) as client:
        assert client.streams == (transport == "stream")
        until(lambda: transport_of(server, "bob") == transport)
        for number in range(50):
            server.send_message("bob", str(number))
            assert client.messages[number:] == [str(number)]
        for number in range(50):
            server.send_message("bob", str(number))
        assert client.messages[50:] == [str(number) for number in range(50)]
    assert client.closed
    until(lambda: not server.broker.control.sockets_of("bob"))


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("fault", ["cut", "drop", "duplicate", "error error=503"])
def test_what_breaks_on_the_way_is_not_noticed(server, transport, fault):
    client = server.client("bob", transport=transport).open()
    server.faults.add(f"poll {fault} probability=0.3 seed=3")
    sent = [str(number) for number in range(30)]
    for text in sent:
        server.send_message("bob", text)
        assert client.receive(LONG_ENOUGH) == text
    server.faults.clear()
    assert client.messages == sent


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_the_end_of_a_socket(server, transport):
    client = server.client("bob", transport=transport).open()
    server.advance(7200)
    assert (client.error.code, client.error.description) == (401, "Token+timed+out.")
    client = server.client("bob", transport=transport).open()
    server.broker.control.close(server.broker.control.sockets_of("bob")[0])
    assert (client.error.code, client.error.description) == (410, "Closed+by+the+server.")
    assert client.closed


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_one_that_vanishes_is_seen_to(server, transport):
    client = server.client("bob", transport=transport).open()
    until(lambda: transport_of(server, "bob") == transport)
    client.vanish()
    until(lambda: transport_of(server, "bob") is None)


def test_one_that_vanishes_before_it_has_a_connection_makes_none(server, monkeypatch):
    gone, connect = threading.Event(), HTTPConnection.connect
    monkeypatch.setattr(HTTPConnection, "connect", lambda self: gone.wait() and connect(self))
    before = set(threading.enumerate())
    client = server.client("bob").open()
    polls = [thread for thread in set(threading.enumerate()) - before if thread.name == "poll"]
    client.vanish()
    gone.set()
    for poll in polls:
        poll.join(LONGEST_POLL / 2)
        assert not poll.is_alive()
    assert transport_of(server, "bob") is None


def test_where_the_upgrade_is_refused_it_polls(server):
    server.faults.add("stream error error=400")
    client = server.client("bob", transport="stream").open()
    until(lambda: transport_of(server, "bob") == "poll")
    server.send_message("bob", "by poll")
    assert client.receive(LONG_ENOUGH) == "by poll"
    assert not client.streams


def test_a_stream_that_breaks_and_is_refused_from_then_on_becomes_a_poll(server):
    client = server.client("bob", transport="stream").open()
    assert client.streams
    server.faults.add("stream error error=400")
    for number in range(3):
        cut(server, "bob")
        server.send_message("bob", str(number))
        assert client.receive(LONG_ENOUGH) == str(number)
    assert not client.streams
    assert client.messages == ["0", "1", "2"]


@pytest.mark.parametrize(("broken", "streams"), [(2, True), (3, False)])
def test_streams_that_break_at_once_are_tried_twice(server, broken, streams):
    client = server.client("bob", transport="stream").open()
    assert client.streams
    server.faults.add(f"poll drop count={broken}")
    server.send_message("bob", "x")
    assert client.receive(LONG_ENOUGH) == "x"
    assert client.streams == streams
    assert client.messages == ["x"]


def test_a_server_that_fails_for_a_moment_streams_again(server):
    client = server.client("bob", transport="stream").open()
    server.faults.add("stream error error=503 count=2")
    cut(server, "bob")
    server.send_message("bob", "x")
    assert client.receive(LONG_ENOUGH) == "x"
    assert client.streams


def test_a_newer_stream_takes_over(server):
    first = server.client("bob", transport="stream").open()
    assert first.streams
    newer = ClientStream(server.url, server.broker.control.sockets_of("bob")[0])
    assert newer.receive(LONG_ENOUGH) == {"messages": [], "next": 0}
    first.vanish()
    server.send_message("bob", "x")
    assert newer.receive(LONG_ENOUGH) == {"messages": ["x"], "next": 1}
    newer.close()


def test_in_process_it_polls():
    with Emulator() as emulator:
        client = emulator.client("bob", transport="stream").open()
        emulator.send_message("bob", "x")
        assert client.messages == ["x"]
        assert not client.streams


def test_heartbeats_are_answered(server, monkeypatch):
    heard = []
    monkeypatch.setattr(websocket, "HEARTBEAT_SECONDS", 0.1)
    monkeypatch.setattr(PageStream, "received", lambda page, text: heard.append(text))
    client = server.client("bob", transport="stream").open()
    until(lambda: heard[:2] == ["0", "0"])
    server.send_message("bob", "x")
    assert client.receive(LONG_ENOUGH) == "x"
    until(lambda: heard[-2:] == ["1", "1"])
    assert client.streams


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_nobody_there(transport):
    with pytest.raises(EmulatorAway, match=r"127\.0\.0\.1:9"):
        ChannelClient("http://127.0.0.1:9", "token", transport=transport).open()
    with pytest.raises(EmulatorAway, match=r"127\.0\.0\.1:9"):
        ClientStream("http://127.0.0.1:9", "socket")


@contextlib.contextmanager
def answering(answer):
    """A server that says so to whatever it is asked, and where it is."""

    def serve():
        with contextlib.suppress(OSError):
            connection = listening.accept()[0]
            with connection:
                connection.recv(65536)
                connection.sendall(answer)
                connection.recv(65536)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        thread.join()


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 8\r\n\r\nno page\n", "404 no page"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "200"),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", "Bad accept"),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "No emulator answers"),
        (b"", "not answered"),
    ],
)
def test_what_is_no_websocket(answer, said, monkeypatch):
    monkeypatch.setattr(stream, "ANSWER_SECONDS", 0.5)
    with answering(answer) as url, pytest.raises(StreamRefused, match=said):
        ClientStream(url, "socket")


@pytest.mark.parametrize("make", [Emulator, ChannelServer])
def test_one_message_to_many_client_ids(make):
    with make() as emulator:
        ann, bob = emulator.client("ann").open(), emulator.client("bob").open()
        emulator.send_message("ann", "before")
        sent = emulator.send_many(iter(["ann", "bob", "zoe", "ann"]), "to all")
        emulator.send_message("bob", "after")
        assert [ann.receive(), ann.receive(), bob.receive(), bob.receive()] == ["before", "to all", "to all", "after"]
        assert {name: outcome.delivered_to for name, outcome in sent.items()} == {"ann": 1, "bob": 1, "zoe": 0}
        assert emulator.send_many([], "to nobody") == {}
        for bad in ("ann", ["ann", 1], ["bob", b"ann"]):
            with pytest.raises(TypeError, match=r"send_many\(\) takes client ids"):
                emulator.send_many(bad, "x")
        with pytest.raises(BadMessage):
            emulator.send_many(["ann", "bob"], "")
        assert ann.messages + bob.messages == ["before", "to all", "to all", "after"]
        assert 'was sent to "ann"' not in emulator.explain("bob")
