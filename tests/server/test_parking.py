"""The seams of waitress that parking stands on, each with what a client sees of it."""

from __future__ import annotations

import http.client
import json
import random
import re
import socket
import struct
import threading
from dataclasses import replace

import pytest
from waitress.channel import ClientDisconnected
from waitress.task import ErrorTask

from appengine_channel_emu.server.parked import ParkingChannel
from tests.support.backend import PlayedBackend, ok
from tests.support.garbage import no_garbage_of
from tests.support.waiting import LONG_ENOUGH, until


class Wire:
    """A connection, byte by byte; on `sock`, if that is given."""

    def __init__(self, service, sock=None):
        self.sock = sock or socket.socket()
        self.sock.settimeout(10)
        self.sock.connect(("127.0.0.1", service.port))
        self.file = self.sock.makefile("rb")

    def send(self, *requests, version="1.1", headers=""):
        data = "".join(f"GET {path} HTTP/{version}\r\nHost: localhost\r\n{headers}\r\n" for path in requests)
        self.sock.sendall(data.encode())

    def head(self):
        status = self.file.readline().decode().strip()
        return status, http.client.parse_headers(self.file)

    def chunks(self):
        body = b""
        while size := int(self.file.readline(), 16):
            body += self.file.read(size)
            assert self.file.readline() == b"\r\n"
        assert self.file.readline() == b"\r\n"
        return body

    def answer(self):
        status, headers = self.head()
        return status, headers, self.file.read(int(headers["Content-Length"]))

    def poll(self, version="1.1"):
        status, _, body = self.answer()
        assert status == f"HTTP/{version} 200 OK"
        return json.loads(body)["messages"]

    def close(self):
        self.file.close()
        self.sock.close()


@pytest.fixture
def wire(service):
    wires = []

    def connect():
        wires.append(Wire(service))
        return wires[-1]

    yield connect
    for each in wires:
        each.close()


def open_socket(service, client_id="bob"):
    token = service.broker.create_channel(client_id).token
    return service.broker.open(token).socket


def open_busy_socket(service, client_id="bob"):
    """One that has had a message, and so gets the head of an answer early; its number is 1."""
    socket_id = open_socket(service, client_id)
    service.broker.send_message(client_id, "first")
    return socket_id


def poll_path(socket_id, after=0, wait=20):
    return f"/_ah/channel/poll?socket={socket_id}&after={after}&wait={wait}"


def parked(service):
    """How many polls are parked."""
    return sum(len(bucket) for bucket in list(service._parked_polls._buckets.values()))


def connected(service):
    """How many connections are open."""
    return sum(len(server.active_channels) for server in service._acceptor.servers)


def test_an_idle_poll_holds_no_thread(service, wire):
    threads = threading.active_count()
    wires = [wire() for _ in range(100)]
    for number, each in enumerate(wires):
        each.send(poll_path(open_socket(service, f"c{number}")))
    until(lambda: parked(service) == 100)
    assert threading.active_count() == threads
    for number in range(100):
        service.broker.send_message(f"c{number}", str(number))
    assert [each.poll() for each in wires] == [[str(number)] for number in range(100)]
    until(lambda: parked(service) == 0)


def test_a_poll_ends_empty_when_its_wait_is_over(service, wire):
    each = wire()
    each.send(poll_path(open_socket(service), wait=0.3))
    assert each.poll() == []


def test_a_connection_serves_many_polls(service, wire):
    each, socket_id = wire(), open_socket(service)
    for number in range(20):
        each.send(poll_path(socket_id, after=number))
        until(lambda: parked(service) == 1)
        service.broker.send_message("bob", str(number))
        assert each.poll() == [str(number)]


def test_a_pipelined_request_waits_for_the_poll_before_it(service, wire):
    each, socket_id = wire(), open_socket(service)
    each.send(poll_path(socket_id), "/_emu/health", poll_path(socket_id, after=1, wait=0))
    until(lambda: parked(service) == 1)
    service.broker.send_message("bob", "one")
    assert each.poll() == ["one"]
    assert each.answer()[0] == "HTTP/1.1 200 OK"
    assert each.poll() == []


def test_the_head_of_an_answer_comes_early_to_who_asks(service, wire):
    each, socket_id = wire(), open_busy_socket(service)
    for number in range(1, 4):
        each.send(poll_path(socket_id, after=number) + "&early=1")
        status, headers = each.head()
        assert (status, headers["Content-Type"]) == ("HTTP/1.1 200 OK", "application/json")
        assert headers["Access-Control-Allow-Origin"] == "*"
        assert headers["Connection"] is None
        until(lambda: parked(service) == 1)
        service.broker.send_message("bob", str(number))
        assert each.chunks() == b'{"messages":["%d"],"next":%d}\n' % (number, number + 1)


@pytest.mark.parametrize(
    ("end", "error"),
    [
        (lambda broker, socket_id: broker.clock.advance(7200), {"error": 401, "reason": "Token+timed+out."}),
        (lambda broker, socket_id: broker.control.close(socket_id), {"error": 410, "reason": "Closed+by+the+server."}),
    ],
)
def test_what_ends_a_socket_after_the_head_is_in_the_body(service, wire, end, error):
    each, socket_id = wire(), open_busy_socket(service)
    each.send(poll_path(socket_id, after=1) + "&early=1", "/_emu/health")
    each.head()
    until(lambda: parked(service) == 1)
    end(service.broker, socket_id)
    assert json.loads(each.chunks()) == error
    assert each.answer()[0] == "HTTP/1.1 200 OK"


def test_a_connection_that_is_cut_after_the_head_ends_in_the_middle(service, wire):
    each, socket_id = wire(), open_busy_socket(service)
    each.send(poll_path(socket_id, after=1) + "&early=1")
    each.head()
    until(lambda: parked(service) == 1)
    service.broker.control.cut(socket_id)
    assert each.file.read() == b""  # No last chunk: to HTTP this answer is broken.


def test_a_page_without_messages_for_a_minute_is_not_worth_another_packet(service, wire):
    each, socket_id = wire(), open_busy_socket(service)
    service.broker.clock.advance(60)
    for number in (1, 2):
        each.send(poll_path(socket_id, after=number) + "&early=1")
        until(lambda: parked(service) == 1)
        service.broker.send_message("bob", "one")
        headers = each.head()[1]
        if number == 1:
            assert each.file.read(int(headers["Content-Length"])) == b'{"messages":["one"],"next":2}\n'
        else:
            assert each.chunks() == b'{"messages":["one"],"next":3}\n'


def test_no_body_waits_until_its_early_head_is_acknowledged(service, wire):
    """Which a client may put off for 40 ms (RFC 896, RFC 1122 4.2.3.2)."""
    wire().send("/_emu/health")
    until(lambda: connected(service) == 1)
    (channel,) = (channel for server in service._acceptor.servers for channel in server.active_channels.values())
    assert channel.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_what_is_known_at_once_keeps_its_status_and_its_length(service, wire):
    each, socket_id = wire(), open_busy_socket(service)
    each.send(poll_path(socket_id, after=7) + "&early=1", poll_path(socket_id, after=1, wait=0) + "&early=1")
    assert each.answer()[0] == "HTTP/1.1 410 Socket+gone."
    assert each.poll() == []


def test_http_1_0_knows_no_chunks_and_gets_no_early_head(service, wire):
    each = wire()
    each.send(poll_path(open_busy_socket(service), after=1) + "&early=1", version="1.0")
    until(lambda: parked(service) == 1)
    service.broker.send_message("bob", "one")
    assert each.poll("1.0") == ["one"]


def test_an_early_head_and_connection_close(service, wire):
    each = wire()
    each.send(poll_path(open_busy_socket(service), after=1) + "&early=1", headers="Connection: close\r\n")
    assert each.head()[1]["Connection"] == "close"
    until(lambda: parked(service) == 1)
    service.broker.send_message("bob", "one")
    assert json.loads(each.chunks())["messages"] == ["one"]
    assert each.file.read() == b""


def test_http_1_0_gets_its_answer_and_the_end(service, wire):
    each = wire()
    each.send(poll_path(open_socket(service)), version="1.0")
    until(lambda: parked(service) == 1)
    service.broker.send_message("bob", "one")
    status, headers, body = each.answer()
    assert (status, headers["Connection"]) == ("HTTP/1.0 200 OK", "close")
    assert json.loads(body)["messages"] == ["one"]
    assert each.file.read() == b""


def test_connection_close_is_honoured(service, wire):
    each = wire()
    each.send(poll_path(open_socket(service)), headers="Connection: close\r\n")
    until(lambda: parked(service) == 1)
    service.broker.send_message("bob", "one")
    assert each.poll() == ["one"]
    assert each.file.read() == b""


@pytest.mark.parametrize("manner", ["close", "half-close", "reset"])
def test_a_client_that_vanishes_is_noticed_at_once(service, wire, manner):
    each, socket_id = wire(), open_socket(service)
    each.send(poll_path(socket_id))
    until(lambda: parked(service) == 1)
    if manner == "half-close":
        each.sock.shutdown(socket.SHUT_WR)
    else:
        if manner == "reset":
            each.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        each.close()
    until(lambda: parked(service) == 0)
    until(lambda: service.broker._sockets.get(socket_id).receiver is None)
    service.broker.send_message("bob", "kept")
    assert [m.text for m in service.broker.take(service.broker.poll(socket_id, 0)).messages] == ["kept"]


class LingeringApp(PlayedBackend):
    """A backend whose answer has been written, and is not sent before the test lets it go."""

    def __init__(self):
        self.written = threading.Event()
        self.release = threading.Event()

    def stop(self):
        self.release.set()

    def serve(self, environ, request_id):
        return replace(ok(b"app"), body=self)

    def __iter__(self):
        return iter([b"app"])

    def close(self):
        self.written.set()
        self.release.wait(LONG_ENOUGH)


def test_a_client_that_vanishes_just_before_its_answer_is_sent_is_no_error(make_service, caplog):
    app = LingeringApp()
    service = make_service(app)
    each = Wire(service)
    each.send("/")
    assert app.written.wait(LONG_ENOUGH)
    each.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    each.close()
    until(lambda: not connected(service))
    app.release.set()
    service.stop()
    assert not caplog.records


def test_a_client_that_vanishes_while_its_broken_request_is_refused_is_no_error(service, wire, caplog, monkeypatch):
    class Vanished(ErrorTask):
        def service(self):
            raise ClientDisconnected

    monkeypatch.setattr(ParkingChannel, "error_task_class", Vanished)
    each = wire()
    each.sock.sendall(b"GET / HTTP/1.1\r\nHost : localhost\r\n\r\n")
    assert each.file.read() == b""
    assert not caplog.records


def test_a_newer_poll_takes_over(service, wire):
    older, newer, socket_id = wire(), wire(), open_socket(service)
    older.send(poll_path(socket_id))
    until(lambda: parked(service) == 1)
    newer.send(poll_path(socket_id))
    assert older.poll() == []
    service.broker.send_message("bob", "one")
    assert newer.poll() == ["one"]


def test_expiry_answers_a_parked_poll_with_the_exact_reason(service, wire):
    each, socket_id = wire(), open_socket(service)
    each.send(poll_path(socket_id))
    until(lambda: parked(service) == 1)
    service.broker.clock.advance(7200)
    status, headers, body = each.answer()
    assert (status, body) == ("HTTP/1.1 401 Token+timed+out.", b"Token+timed+out.")
    assert headers["Access-Control-Allow-Origin"] == "*"


def test_close_answers_a_parked_poll(service, wire):
    each, socket_id = wire(), open_socket(service)
    each.send(poll_path(socket_id))
    until(lambda: parked(service) == 1)
    service.broker.close(socket_id)
    assert each.answer()[0] == "HTTP/1.1 410 Socket+gone."


def test_messages_sent_while_polls_are_being_parked_all_arrive(make_service):
    """The race between a poll that finds nothing and a message that finds no poll."""
    service = make_service(backlog=10_000)
    each, socket_id = Wire(service), open_socket(service)
    total = 2_000
    sender = threading.Thread(
        target=lambda: [service.broker.send_message("bob", str(number)) for number in range(total)]
    )
    received = []
    sender.start()
    while len(received) < total:
        each.send(poll_path(socket_id, after=len(received)))
        received += each.poll()
    sender.join()
    each.close()
    assert received == [str(number) for number in range(total)]


def test_an_expect_header_and_a_poll_in_one_connection(service, wire):
    each = wire()
    each.send(poll_path(open_socket(service), wait=0.3))
    assert each.poll() == []
    body = b'{"client_id": "x"}'
    each.sock.sendall(
        b"POST /_emu/channels HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(body)
    )
    assert each.file.readline() == b"HTTP/1.1 100 Continue\r\n"
    assert each.file.readline() == b"\r\n"
    each.sock.sendall(body)
    assert each.answer()[0] == "HTTP/1.1 200 OK"


def test_random_opens_and_closes_leave_nothing_behind(service):
    rng = random.Random(5)
    living = {}
    for number in range(1_500):
        if living and rng.random() < 0.5:
            living.pop(rng.choice(list(living))).close()
        else:
            each = Wire(service)
            each.send(poll_path(open_socket(service, f"c{number}")))
            living[number] = each
        if living and rng.random() < 0.3:
            service.broker.send_message(f"c{rng.choice(list(living))}", "x")
    for each in living.values():
        each.close()
    until(lambda: parked(service) == 0)
    until(lambda: not connected(service))
    until(lambda: not any(s.receiver for s in service.broker._sockets._sockets.values()))


def test_slow_requests_of_the_app_delay_no_poll(make_service, slow_app):
    service = make_service(slow_app, threads=8)
    slow = [Wire(service) for _ in range(20)]
    for each in slow:
        each.send("/slow")
    for _ in range(8):
        assert slow_app.started.acquire(timeout=LONG_ENOUGH)
    page, socket_id = Wire(service), open_socket(service)
    page.send(poll_path(socket_id))
    until(lambda: parked(service) == 1)
    service.broker.send_message("bob", "one")
    assert page.poll() == ["one"]
    page.send("/_emu/health")
    assert page.answer()[0] == "HTTP/1.1 200 OK"
    slow_app.release.set()
    assert {each.answer()[0] for each in slow} == {"HTTP/1.1 200 OK"}
    for each in [*slow, page]:
        each.close()


def test_it_works_on_plain_waitress_at_a_thread_a_poll(service):
    """Were a seam to break, the application would still be right."""
    from waitress.server import create_server

    server = create_server(service.front, host="127.0.0.1", port=0, threads=4)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        connection = http.client.HTTPConnection("127.0.0.1", server.effective_port, timeout=LONG_ENOUGH)
        socket_id = open_socket(service)
        connection.request("GET", poll_path(socket_id))
        until(lambda: service.broker._sockets.get(socket_id).receiver is not None)
        service.broker.send_message("bob", "one")
        answer = connection.getresponse()
        assert json.loads(answer.read())["messages"] == ["one"]
        connection.close()
    finally:
        server.task_dispatcher.shutdown()
        server.close()


def test_oversized_headers_and_broken_requests_are_refused_and_the_server_goes_on(service, wire):
    for data, status in [
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 70_000 + b"\r\n\r\n", b"431"),
        (b"GET / HTTP/1.1\r\nHost : localhost\r\n\r\n", b"400"),
        (b"nonsense\r\n\r\n", b"400"),
        (b"GET http://[::1/ HTTP/1.1\r\nHost: localhost\r\n\r\n", b"400"),
        (
            b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n\r\n",
            b"4",
        ),
        (b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999\r\n\r\n", b"413"),
        (b"POST /rpc_http HTTP/1.1\r\nHost: localhost\r\nContent-Length: \xff 1\r\n\r\n", b"400"),
        (b"POST /rpc_http HTTP/1.1\r\nHost: localhost\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n", b"400"),
    ]:
        each = wire()
        each.sock.sendall(data)
        assert re.match(rb"HTTP/1\.[01] " + status, each.file.readline()), data[:60]
    each = wire()
    each.send("/_emu/health")
    assert each.answer()[0] == "HTTP/1.1 200 OK"


def test_a_connection_that_becomes_a_stream_has_no_request_left(service, wire):
    """Waitress reads nothing more while there is one, and closes no connection that has one, however idle it is."""
    each, socket_id = wire(), open_socket(service)
    each.send(
        f"/_ah/channel/stream?socket={socket_id}&after=0",
        headers="Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
    )
    status, headers = each.head()
    assert (status, headers["Sec-WebSocket-Accept"]) == (
        "HTTP/1.1 101 Switching Protocols",
        "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
    )
    (channel,) = (channel for server in service._acceptor.servers for channel in server.active_channels.values())
    assert (channel.requests, channel.request, channel.readable()) == ([], None, True)
    each.sock.sendall(b"\x89\x80mask")  # A ping, and the pong to it behind the first frame.
    assert each.file.read(28) == b'\x81\x18{"messages":[],"next":0}\x8a\x00'
    each.close()
    until(lambda: not connected(service))


@pytest.mark.parametrize("connections", ["kept", "early", "answered and closed", "closed in the wait"])
def test_a_poll_leaves_nothing_to_the_garbage_collector(service, connections):
    """The collector is slowed down while thousands of polls are parked: cycles would pile up."""
    page, socket_id = Wire(service), open_busy_socket(service)

    def exchange(number):
        page.send(poll_path(socket_id, after=number) + ("&early=1" if connections == "early" else ""))
        until(lambda: parked(service) == 1)
        service.broker.send_message("bob", str(number))
        if connections == "early":
            page.head()
            assert json.loads(page.chunks())["messages"] == [str(number)]
        else:
            assert page.poll() == [str(number)]
        if connections not in ("kept", "early"):
            other = Wire(service)
            other.send(poll_path(socket_id, after=number + 1, wait=0 if connections == "answered and closed" else 20))
            if connections == "answered and closed":
                assert other.poll() == []
            else:
                until(lambda: parked(service) == 1)
            other.close()
            until(lambda: connected(service) == 1)

    exchange(1)
    try:
        with no_garbage_of("ParkingChannel", "ParkingTask", "RequestParser", "Waiting", "Poll", "Parked"):
            for number in range(2, 102):
                exchange(number)
    finally:
        page.close()
