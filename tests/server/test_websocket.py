"""A connection that becomes a WebSocket, as a client sees it: `websockets`' own, and bytes that no client sends."""

from __future__ import annotations

import contextlib
import gc
import os
import socket
import struct
import threading
import time

import pytest
from websockets.sync.client import connect

from appengine_channel_emu.server import websocket
from appengine_channel_emu.server.acceptor import _end_idle
from appengine_channel_emu.web.upgrade import Closing, FrameCut
from appengine_channel_emu.web.wsgi import ConnectionCut
from tests.server.played_page import BAD_FRAMES, BINARY, CLOSE, EMPTY, PING, PONG, TEXT, Client, frame, gone, page_of
from tests.server.test_parking import Wire, open_socket, parked, poll_path
from tests.support import wire
from tests.support.garbage import no_garbage_of
from tests.support.waiting import LONG_ENOUGH, until

UPGRADES = 10_000 if os.environ.get("SOAK") else 1_000


@pytest.fixture
def service(make_streams):
    return make_streams()


@pytest.fixture
def client(service):
    clients = []

    def make(**how):
        clients.append(Client(service.port, **how))
        return clients[-1]

    yield make
    for each in clients:
        each.close()


def channels(service):
    return [channel for server in service._acceptor.servers for channel in list(server.active_channels.values())]


@pytest.mark.usefixtures("any_loop")
class TestAClient:
    def test_hears_and_is_heard(self, service):
        with connect(f"ws://127.0.0.1:{service.port}/stream") as ws:
            page = page_of(service)
            assert ws.recv().encode() == EMPTY
            for number in range(20):
                page.say(b"number %d" % number)
                assert ws.recv() == f"number {number}"
                ws.send(str(number))
                assert page.heard.get(timeout=LONG_ENOUGH) == str(number)
            assert ws.ping(b"are you there").wait(LONG_ENOUGH)
        assert (ws.close_code, page.ended.wait(LONG_ENOUGH)) == (1000, True)
        until(lambda: gone(service))

    def test_hears_texts_of_all_sizes(self, service):
        sizes = [0, 1, 125, 126, 127, 65_535, 65_536, 1_000_000]
        with connect(f"ws://127.0.0.1:{service.port}/stream", max_size=None) as ws:
            ws.recv()
            page_of(service).say(*(b"x" * size for size in sizes))
            assert [len(ws.recv()) for _ in sizes] == sizes

    def test_hears_all_that_other_threads_say_and_in_their_order(self, service):
        with connect(f"ws://127.0.0.1:{service.port}/stream") as ws:
            ws.recv()
            page = page_of(service)

            def say(who):
                for number in range(200):
                    page.say(b"%d %d" % (who, number))

            threads = [threading.Thread(target=say, args=(who,)) for who in range(4)]
            for thread in threads:
                thread.start()
            heard = [tuple(map(int, ws.recv().split())) for _ in range(800)]
            for thread in threads:
                thread.join()
        assert all([n for w, n in heard if w == who] == list(range(200)) for who in range(4))
        assert page.ended.wait(LONG_ENOUGH)
        # Its page is never called by two at once.
        assert page.threads == {service._loop.thread.ident}

    def test_is_told_when_the_emulator_ends(self, service):
        with connect(f"ws://127.0.0.1:{service.port}/stream") as ws:
            ws.recv()
            service.stop()
            with contextlib.suppress(Exception):
                ws.recv()
            assert ws.close_code == 1001

    @pytest.mark.parametrize("manner", ["close", "half-close", "reset"])
    def test_that_vanishes_is_noticed_at_once(self, service, client, manner):
        each = client()
        each.switched()
        page = page_of(service)
        if manner == "half-close":
            each.sock.shutdown(socket.SHUT_WR)
        else:
            if manner == "reset":
                each.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            each.close()
        until(lambda: gone(service))
        assert page.times_left == 1
        page.say(b"too late")


class TestTheHandshake:
    def test_may_come_byte_by_byte(self, service, client):
        each = client(piece=1, behind=frame(TEXT, b"17"))
        each.switched()
        assert page_of(service).heard.get(timeout=LONG_ENOUGH) == "17"

    @pytest.mark.parametrize("cut", [1, 5, 8])
    def test_may_have_frames_behind_it(self, service, client, cut):
        """A client may not send them yet (RFC 6455, section 4.1), and a proxy may join what it sends."""
        behind = frame(TEXT, b"1") + frame(TEXT, b"22")
        each = client(behind=behind[:cut])
        each.send(behind[cut:])
        each.switched()
        page = page_of(service)
        assert [page.heard.get(timeout=LONG_ENOUGH) for _ in range(2)] == ["1", "22"]

    def test_accepts_no_extension(self, client):
        headers = [("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits, x-webkit-deflate-frame")]
        assert "Sec-WebSocket-Extensions" not in client(headers=headers).switched().headers

    def test_comes_after_the_requests_before_it(self, service):
        ask = b"GET /_emu/health HTTP/1.1\r\nHost: localhost\r\n\r\n"
        upgrade = handshake()
        with wire.connect(service.port) as sock:
            sock.sendall(ask + ask + upgrade)
            page = page_of(service)
            page.say(Closing(1000))
            answers = wire.rest(sock)
        assert answers.count(b"HTTP/1.1 200 OK") == 2
        assert answers.endswith(EMPTY + b"\x88\x02\x03\xe8")

    @pytest.mark.parametrize(
        "data",
        [
            lambda: handshake(version=b"1.0"),
            lambda: handshake().replace(b"GET", b"POST"),
            lambda: handshake(b"Content-Length: 1\r\n") + b"1",
            lambda: handshake(b"Transfer-Encoding: chunked\r\n") + b"1\r\nx\r\n0\r\n\r\n",
            lambda: handshake().replace(b"Sec-WebSocket-Key", b"X"),
        ],
    )
    def test_is_refused_where_none_can_be_met(self, service, data):
        assert b" 426 " in wire.ask(service.port, data(), half_close=True).splitlines()[0]
        until(lambda: gone(service))

    def test_that_is_refused_ends_the_connection(self, service):
        """What is behind it might have been for a WebSocket."""
        refused = handshake().replace(b"Sec-WebSocket-Key", b"X")
        answers = wire.ask(service.port, refused + b"GET /_emu/health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert answers.count(b"HTTP/1.1") == 1
        assert b"\r\nConnection: close\r\n" in answers

    def test_has_no_request_behind_it(self, client):
        each = client(behind=b"GET /_emu/health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        each.switched()
        assert each.end()[0] == 1002

    def test_of_other_protocols_is_none(self, service):
        """Curl and Java offer HTTP/2 with a request, which is then answered as it is."""
        headers = b"Host: localhost\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
        offer = b"GET /_emu/health HTTP/1.1\r\n%b\r\n" % headers
        assert wire.ask(service.port, offer + offer, half_close=True).count(b"HTTP/1.1 200 OK") == 2


def handshake(headers=b"", version=b"1.1"):
    return (
        b"GET /stream HTTP/%b\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n%b"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n" % (version, headers)
    )


class TestFrames:
    @pytest.mark.parametrize(("data", "code"), [case[1:] for case in BAD_FRAMES], ids=[case[0] for case in BAD_FRAMES])
    def test_that_end_a_stream_say_why(self, service, client, data, code):
        each = client()
        each.switched()
        page = page_of(service)
        # Whole or in pieces, and what is behind them counts no more.
        each.send(frame(TEXT, b"7") + data + frame(TEXT, b"8"), piece=1 if len(data) < 20 else None)
        assert (each.end()[0], page.ended.wait(LONG_ENOUGH)) == (code, True)
        assert list(page.heard.queue) == ["7"]
        each.close()
        until(lambda: gone(service))

    def test_may_come_byte_by_byte(self, service, client):
        each = client()
        each.switched()
        each.send(frame(TEXT, b"123") + frame(PING, b"?") + frame(PONG) + frame(TEXT, b"4" * 125), piece=1)
        page = page_of(service)
        assert [page.heard.get(timeout=LONG_ENOUGH) for _ in range(2)] == ["123", "4" * 125]
        page.say(Closing(1000))
        assert each.rest() == [(PONG, b"?"), (CLOSE, b"\x03\xe8")]

    def test_may_come_by_thousands_at_once(self, service, client):
        each = client()
        each.switched()
        page = page_of(service)
        each.send(b"".join(frame(TEXT, b"%d" % number) for number in range(5_000)))
        assert [page.heard.get(timeout=LONG_ENOUGH) for _ in range(5_000)] == [str(number) for number in range(5_000)]


class TestAPage:
    def test_ends_its_stream(self, service, client):
        each = client()
        each.switched()
        page = page_of(service)
        page.say(b"last words", Closing(1000, "Done."), b"never said")
        assert each.rest() == [(TEXT, b"last words"), (CLOSE, b"\x03\xe8Done.")]
        assert page.times_left == 1

    def test_may_end_at_once(self, service, client):
        class Streamed(Closing):
            pass

        each = client()
        each.switched()
        page_of(service).say(Streamed(1000, "\N{SNOWMAN}" * 60))
        # A close frame has room for 123 bytes, and no half characters.
        assert each.end() == (1000, "\N{SNOWMAN}" * 41)

    def test_is_cut(self, service, client):
        each = client()
        each.switched()
        page_of(service).say(ConnectionCut())
        assert each.end() is None
        until(lambda: gone(service))

    def test_is_cut_in_the_middle_of_a_frame(self, service, client):
        each = client()
        each.switched()
        received = []
        each.protocol.receive_data = received.append
        page_of(service).say(FrameCut(b"0123456789"))
        assert each.next() is None
        assert b"".join(received) == b"\x81\x0a0123"

    def test_that_fails_ends_and_says_so(self, service, client, caplog):
        each = client()
        each.switched()
        page_of(service).say(ZeroDivisionError())
        assert each.end()[0] == 1011
        assert "A stream was closed after an error." in caplog.text

    def test_keeps_the_rest_for_a_client_that_reads_later(self, service, client):
        each = client(receive_buffer=4096)
        each.switched()
        texts = [bytes((65 + number,)) * 300_000 for number in range(20)]
        page_of(service).say(*texts)
        (channel,) = channels(service)
        until(lambda: channel.total_outbufs_len > 1_000_000)
        assert each.texts(20) == texts


class TestTime:
    def test_a_heartbeat_comes_where_nothing_else_did(self, make_streams, monkeypatch):
        monkeypatch.setattr(websocket, "HEARTBEAT_SECONDS", 0.1)
        service = make_streams()
        each = Client(service.port)
        each.switched()
        assert each.texts(3) == [EMPTY] * 3
        each.close()
        until(lambda: gone(service))

    def test_a_page_that_says_nothing_is_let_go_of(self, make_streams, monkeypatch):
        monkeypatch.setattr(websocket, "SILENCE_SECONDS", 0.3)
        service = make_streams()
        each = Client(service.port)
        each.switched()
        page = page_of(service)
        assert each.end() == (1008, "Nothing was heard for 0.3 s.")
        assert page.times_left == 1
        each.close()
        until(lambda: gone(service))

    def test_a_page_that_answers_stays(self, make_streams, monkeypatch):
        monkeypatch.setattr(websocket, "HEARTBEAT_SECONDS", 0.1)
        monkeypatch.setattr(websocket, "SILENCE_SECONDS", 30)
        service = make_streams()
        each = Client(service.port)
        each.switched()
        (stream,) = [channel.websocket for channel in channels(service)]
        for _ in range(3):
            before = stream._heard_at
            each.texts(1)
            each.send(frame(TEXT, b"0"))
            until(lambda since=before: stream._heard_at > since)
        each.close()

    def test_waitress_closes_idle_connections_and_hears_of_heartbeats(self, make_streams, monkeypatch):
        monkeypatch.setattr(websocket, "HEARTBEAT_SECONDS", 0.1)
        service = make_streams()
        each = Client(service.port)
        each.switched()
        (channel,) = channels(service)
        channel.last_activity -= 1_000
        each.texts(2)
        _end_idle(channel.server, time.time())
        assert not channel.will_close
        each.close()

    def test_a_client_that_never_reads_is_closed_in_the_end(self, make_streams, monkeypatch):
        monkeypatch.setattr(websocket, "HEARTBEAT_SECONDS", 0.1)
        service = make_streams(answer_timeout=1)
        each = Client(service.port, receive_buffer=4096)
        page = page_of(service)
        page.say(*[b"x" * 500_000] * 20)
        while not page.ended.wait(0.05):
            # It goes on saying that it is there, and messages go on coming.
            page.say(b"x")
            with contextlib.suppress(OSError):
                each.send(frame(TEXT, b"0"))
        assert "read nothing" in [event.text for event in service.broker.events.after(0)][-1]
        until(lambda: gone(service))
        each.close()

    def test_a_flood_of_pings_by_one_that_reads_none_is_bounded(self, make_streams):
        service = make_streams(answer_timeout=1)
        each = Client(service.port, receive_buffer=4096)
        page = page_of(service)
        each.sock.settimeout(0.2)
        pings = frame(PING, b"x" * 125) * 1_000
        most = 0
        with contextlib.suppress(ConnectionError):
            while not page.ended.is_set():
                with contextlib.suppress(TimeoutError):
                    each.sock.sendall(pings)
                most = max([most, *(channel.total_outbufs_len for channel in channels(service))])
        assert most <= websocket.MOST_UNSENT + 64 * 1024
        each.close()


def vanish(service, count, at_once):
    """`count` streams, of which at most `at_once` live, each ended in one of many ways."""
    living = []
    for number in range(count):
        behind = frame(TEXT, b"1") if number % 3 else b""
        living.append(Client(service.port, behind=behind))
        if number % 5:
            living[-1].switched()
        if len(living) >= at_once:
            gone = living.pop(0)
            if number % 7 == 0:
                gone.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            elif number % 7 == 1:
                gone.send(frame(CLOSE))
            elif number % 7 == 2:
                gone.send(frame(BINARY))
            gone.close()
    for each in living:
        each.close()


def test_upgrades_and_vanishings_leave_nothing_behind(service):
    vanish(service, 20, 5)
    until(lambda: gone(service))
    gc.collect()
    descriptors = len(os.listdir("/proc/self/fd"))
    with no_garbage_of("ParkingChannel", "ParkingTask", "RequestParser", "WebSocket", "Upgrade", "FrameDecoder"):
        vanish(service, 200, 20)
        until(lambda: gone(service))
        assert len(os.listdir("/proc/self/fd")) <= descriptors
        until(lambda: not service._slow_clients._watched)
    pages = [service.front.pages.get() for _ in range(service.front.pages.qsize())]
    assert {page.times_left for page in pages} == {1}


@pytest.mark.soak
def test_thousands_of_upgrades_and_vanishings(service):
    vanish(service, UPGRADES // 10, 50)
    until(lambda: gone(service))
    descriptors, service.front.pages.queue = len(os.listdir("/proc/self/fd")), type(service.front.pages.queue)()
    vanish(service, UPGRADES, 50)
    until(lambda: gone(service))
    assert len(os.listdir("/proc/self/fd")) <= descriptors
    assert {page.times_left for page in service.front.pages.queue} == {1}


def test_it_is_beside_polls_and_requests(service, client):
    each = client()
    each.switched()
    page = Wire(service)
    page.send(poll_path(open_socket(service)))
    until(lambda: parked(service) == 1)
    page_of(service).say(b"stream")
    assert each.texts(1) == [b"stream"]
    service.broker.send_message("bob", "poll")
    assert page.poll() == ["poll"]
    page.close()
