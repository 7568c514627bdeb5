"""Streams of the real thing over a real server: what is refused, numbers, taking over, and none lost in between."""

from __future__ import annotations

import contextlib
import json
import threading

import pytest
from websockets.sync.client import connect

from appengine_channel_emu.server.service import Service
from appengine_channel_emu.settings import Settings
from tests.server.played_page import TEXT, Client, frame, gone
from tests.server.test_parking import Wire, open_socket, parked, poll_path
from tests.support import wire
from tests.support.waiting import LONG_ENOUGH, until

WINDOW = 512 * 1024
"""Bytes that may be under way to a page that has not said that it has them (behaviour.md 5)."""


def path_of(socket_id, after=0):
    return f"/_ah/channel/stream?socket={socket_id}&after={after}"


def handshake(path, *removed, version="1.1", method="GET", body="", **headers):
    """The request, without some headers, and with others."""
    lines = {
        "Host": "localhost",
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    lines |= {name.replace("_", "-"): value for name, value in headers.items()}
    kept = "".join(f"{name}: {value}\r\n" for name, value in lines.items() if name not in removed)
    return f"{method} {path} HTTP/{version}\r\n{kept}\r\n{body}".encode("latin-1")


def messages_of(client, count):
    """The next so many messages."""
    found = []
    while len(found) < count:
        found += json.loads(client.texts(1)[0])["messages"]
    return found


@pytest.fixture
def stream(service):
    clients = []

    def make(socket_id, after=0, **how):
        clients.append(Client(service.port, path_of(socket_id, after), **how))
        return clients[-1]

    yield make
    for each in clients:
        each.close()


class TestTheHandshake:
    @pytest.mark.parametrize(
        ("how", "status"),
        [
            ({"Sec_WebSocket_Version": "7"}, b"426"),
            ({"Sec_WebSocket_Version": "13, 8"}, b"426"),
            ({"Sec_WebSocket_Key": "c2hvcnQ="}, b"400"),
            ({"Sec_WebSocket_Key": "none"}, b"400"),
            ({"Upgrade": "h2c"}, b"426"),
            # A space to Python, and to nobody else.
            ({"Upgrade": "websocket\xa0"}, b"426"),
            ({"Connection": "keep-alive"}, b"426"),
            ({"version": "1.0"}, b"426"),
            ({"method": "HEAD"}, b"405"),
            ({"method": "POST", "Content_Length": "0"}, b"405"),
            ({"Content_Length": "2", "body": "hi"}, b"426"),
            ({"Transfer_Encoding": "chunked", "body": "2\r\nhi\r\n0\r\n\r\n"}, b"426"),
            ({"Host": "evil.example"}, b"421"),
        ],
    )
    def test_that_is_wrong_is_told_so(self, service, how, status):
        socket_id = open_socket(service)
        data = handshake(path_of(socket_id), **how)
        whole = wire.ask(service.port, data, half_close=True)
        assert whole.split(b" ")[1] == status
        if status == b"426":
            assert b"\r\nsec-websocket-version: 13\r\n" in whole.lower()
        # However its bytes come.
        with wire.connect(service.port) as sock:
            for byte in data:
                sock.send(bytes((byte,)))
            assert sock.recv(4096).split(b" ")[1] == status

    @pytest.mark.parametrize("missing", ["Upgrade", "Connection", "Sec-WebSocket-Version", "Sec-WebSocket-Key"])
    def test_that_lacks_a_header_is_told_so(self, service, missing):
        data = handshake(path_of(open_socket(service)), missing)
        status = b"400" if missing == "Sec-WebSocket-Key" else b"426"
        assert wire.ask(service.port, data, half_close=True).split(b" ")[1] == status

    def test_of_a_socket_that_is_gone(self, service):
        assert wire.ask(service.port, handshake(path_of("nobody"))).startswith(b"HTTP/1.1 410 Socket+gone.\r\n")


class TestNumbers:
    def test_free_what_the_page_has(self, service, stream):
        socket_id = open_socket(service)
        each = stream(socket_id)
        each.switched()
        for number in range(1, 4):
            service.broker.send_message("bob", str(number))
            assert json.loads(each.texts(1)[0]) == {"messages": [str(number)], "next": number}
        each.send(frame(TEXT, b"2") + frame(TEXT, b"1"))
        until(lambda: service.broker._sockets.get(socket_id).acknowledged == 2)
        # What it has not said that it has comes again.
        assert messages_of(stream(socket_id, after=2), 1) == ["3"]

    @pytest.mark.parametrize("text", [b"1", b"9" * 16])
    def test_that_were_never_sent_end_the_socket(self, service, stream, text):
        each = stream(open_socket(service))
        each.switched()
        each.send(frame(TEXT, text))
        assert json.loads(each.texts(1)[0]) == {"error": 410, "reason": "Socket+gone."}
        assert each.end()[0] == 1000

    @pytest.mark.parametrize("text", [b"", b"-1", b"1.5", b"0x1", b"1" * 17, b"null", b"{}", "\u0661".encode()])
    def test_that_are_none_end_the_stream(self, service, stream, text):
        socket_id = open_socket(service)
        each = stream(socket_id)
        each.switched()
        each.send(frame(TEXT, text))
        assert each.end()[0] == 1008
        # And not its socket.
        stream(socket_id).switched()


class TestEnds:
    def test_the_token_times_out(self, service, stream):
        each = stream(open_socket(service))
        each.switched()
        service.broker.clock.advance(7200)
        service.broker.run_due()
        assert json.loads(each.texts(1)[0]) == {"error": 401, "reason": "Token+timed+out."}
        assert each.end()[0] == 1000

    def test_cut_by_hand(self, service, stream):
        socket_id = open_socket(service)
        each = stream(socket_id)
        each.switched()
        service.broker.control.cut(socket_id)
        assert each.end() is None

    def test_polls_and_streams_take_over_from_each_other(self, service, stream):
        socket_id, page = open_socket(service), Wire(service)
        page.send(poll_path(socket_id))
        until(lambda: parked(service) == 1)
        first = stream(socket_id)
        assert page.poll() == []
        first.switched()
        second = stream(socket_id)
        second.switched()
        assert first.end()[0] == 1000
        page.send(poll_path(socket_id))
        assert second.end()[0] == 1000
        service.broker.send_message("bob", "to the poll")
        assert page.poll() == ["to the poll"]
        page.close()

    def test_a_client_that_vanishes_leaves_its_socket_waiting(self, service, stream):
        socket_id = open_socket(service)
        each = stream(socket_id)
        each.switched()
        each.close()
        until(lambda: gone(service))
        service.broker.send_message("bob", "kept")
        assert messages_of(stream(socket_id), 1) == ["kept"]

    def test_the_emulator_ends_and_the_next_one_goes_on(self, tmp_path):
        def emulator():
            return Service(Settings(port=0, state_dir=str(tmp_path)), lambda address: None)

        service = emulator()
        service.start()
        socket_id = open_socket(service)
        with connect(f"ws://127.0.0.1:{service.port}{path_of(socket_id)}") as ws:
            ws.recv()
            service.broker.send_message("bob", "one")
            assert json.loads(ws.recv()) == {"messages": ["one"], "next": 1}
            service.stop()
            with contextlib.suppress(Exception):
                ws.recv()
            assert ws.close_code == 1001
        service = emulator()
        service.start()
        try:
            service.broker.send_message("bob", "two")
            with connect(f"ws://127.0.0.1:{service.port}{path_of(socket_id, after=1)}") as ws:
                assert json.loads(ws.recv()) == {"messages": ["two"], "next": 2}
        finally:
            service.stop()


class TestFaults:
    """On the way that each takes through a server of ours; what they are is tests/web/test_stream.py."""

    def fault(self, service, text):
        service.broker.faults.add(f"{text} count=1")

    def test_an_upgrade_that_is_delayed_has_its_bytes_behind_it(self, service, stream):
        socket_id = open_socket(service)
        self.fault(service, "stream delay seconds=0.3")
        each = stream(socket_id, behind=frame(TEXT, b"0"))
        until(lambda: parked(service) == 1)
        service.broker.send_message("bob", "meanwhile")
        assert messages_of(each, 1) == ["meanwhile"]

    def test_a_client_that_vanishes_meanwhile_leaves_nothing(self, service, stream):
        self.fault(service, "stream delay seconds=20")
        each = stream(open_socket(service))
        until(lambda: parked(service) == 1)
        each.close()
        until(lambda: gone(service))
        until(lambda: parked(service) == 0)

    def test_one_that_fails_ends_its_connection(self, service):
        self.fault(service, "stream error error=503")
        answer = wire.ask(service.port, handshake(path_of(open_socket(service))))
        assert answer.startswith(b"HTTP/1.1 503 ")

    @pytest.mark.parametrize(("action", "comes"), [("drop", b""), ("cut", b'\x81\x1d{"messages":[')])
    def test_a_delivery_breaks_off(self, service, stream, action, comes):
        socket_id = open_socket(service)
        each = stream(socket_id)
        each.switched()
        self.fault(service, f"poll {action}")
        service.broker.send_message("bob", "ann")
        assert wire.rest(each.sock) == comes
        assert messages_of(stream(socket_id), 1) == ["ann"]


class TestMany:
    def test_a_page_that_reads_nothing_is_not_sent_more_than_its_window(self, make_service):
        service = make_service(backlog=5_000, answer_timeout=60)
        socket_id = open_socket(service)
        each = Client(service.port, path_of(socket_id), receive_buffer=4096)
        each.switched()
        for number in range(5_000):
            service.broker.send_message("bob", f"{number:<1000}")
        (channel,) = (channel for server in service._acceptor.servers for channel in server.active_channels.values())
        # A probe: what the loop was asked to do before it is done by now.
        wire.ask(service.port, b"GET /_emu/health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert channel.total_outbufs_len <= WINDOW + 5_000
        received = []
        while len(received) < 5_000:
            received += [int(text) for text in messages_of(each, 1)]
            each.send(frame(TEXT, b"%d" % len(received)))
        assert received == list(range(5_000))
        each.close()

    def test_none_is_lost_while_streams_and_polls_come_and_go(self, make_service):
        service = make_service(backlog=10_000)
        socket_id, total = open_socket(service), 1_000
        sender = threading.Thread(
            target=lambda: [service.broker.send_message("bob", str(number)) for number in range(total)]
        )
        sender.start()
        received = []
        while len(received) < total:
            if len(received) % 3:
                each = Client(service.port, path_of(socket_id, len(received)))
                received += messages_of(each, 1)
                each.close()
            else:
                page = Wire(service)
                page.send(poll_path(socket_id, after=len(received), wait=0.1))
                received += page.poll()
                page.close()
        sender.join()
        assert received == [str(number) for number in range(total)]
        until(lambda: gone(service))

    def test_idle_streams_hold_no_thread(self, service, stream):
        threads = threading.active_count()
        streams = [stream(open_socket(service, f"c{number}")) for number in range(100)]
        for each in streams:
            each.switched()
        assert threading.active_count() == threads
        service.broker.send_many([f"c{number}" for number in range(100)], "all")
        assert [messages_of(each, 1) for each in streams] == [["all"]] * 100


def test_a_stream_of_a_page_that_ends_its_side_at_once(service):
    """Such a page has gone."""
    socket_id = open_socket(service)
    wire.ask(service.port, handshake(path_of(socket_id)), half_close=True)
    until(lambda: gone(service))
    service.broker.send_message("bob", "kept")
    with connect(f"ws://127.0.0.1:{service.port}{path_of(socket_id)}", open_timeout=LONG_ENOUGH) as ws:
        assert json.loads(ws.recv())["messages"] == ["kept"]
