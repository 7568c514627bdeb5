"""The server API over real connections: pipelined, chunked, large, and from a client that does not read."""

from __future__ import annotations

import socket
import threading

import pytest

from appengine_channel_emu.server.listening import CannotListen
from appengine_channel_emu.web.api.messages import CreateChannelRequest, Request, Response
from tests.support.waiting import LONG_ENOUGH

LARGE = 2 * 1024 * 1024


def call(client_id=b"bob", service=b"channel", method=b"CreateChannel"):
    inner = CreateChannelRequest(application_key=client_id).SerializeToString()
    return Request(service_name=service, method=method, request=inner).SerializeToString()


def http(body, chunked=False):
    head = b"POST /rpc_http HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/octet-stream\r\n"
    if chunked:
        halves = body[:7], body[7:]
        return (
            head
            + b"Transfer-Encoding: chunked\r\n\r\n"
            + b"".join(b"%x\r\n%b\r\n" % (len(each), each) for each in (*halves, b""))
        )
    return head + b"Content-Length: %d\r\n\r\n%b" % (len(body), body)


class Connection:
    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=LONG_ENOUGH)
        self.file = self.socket.makefile("rb")

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self.file.close()
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)
        return self

    def answer(self):
        assert self.file.readline() == b"HTTP/1.1 200 OK\r\n"
        headers = {}
        while (line := self.file.readline()) != b"\r\n":
            name, _, value = line.partition(b":")
            headers[name.lower()] = value.strip()
        assert b"transfer-encoding" not in headers
        return Response.FromString(self.file.read(int(headers[b"content-length"])))


@pytest.fixture
def connection(service):
    with Connection(service.port) as made:
        yield made


def test_calls_one_after_the_other_on_one_connection(connection):
    for _ in range(3):
        assert connection.send(http(call())).answer().HasField("response")


def test_pipelined_calls_are_answered_in_order(connection):
    connection.send(http(call()) + http(call(b"")) + http(call(method=b"Nothing")) + http(call()))
    kinds = [[field.name for field, _ in connection.answer().ListFields()] for _ in range(4)]
    assert kinds == [["response"], ["exception", "application_error"], ["exception", "rpc_error"], ["response"]]


def test_a_call_in_chunks(connection):
    assert connection.send(http(call(), chunked=True)).answer().HasField("response")


def test_a_call_that_is_too_large_leaves_the_connection_usable(connection):
    assert connection.send(http(call(b"x" * LARGE))).answer().rpc_error.code == 5
    assert connection.send(http(call())).answer().HasField("response")


def test_a_truncated_call_is_answered_and_one_that_never_comes_holds_nobody_up(service, connection):
    assert connection.send(http(call()[:-1])).answer().rpc_error.code == 2
    with Connection(service.port) as other:
        connection.send(http(call())[:-1])
        assert other.send(http(call())).answer().HasField("response")


def test_a_client_that_does_not_read_holds_nobody_up(service, connection):
    # Answers pile up beyond what the sockets hold; the loop, which serves calls, must not wait for this client.
    flood = threading.Thread(target=lambda: _flood(connection.socket), daemon=True)
    flood.start()
    with Connection(service.port) as other:
        for _ in range(200):
            assert other.send(http(call())).answer().HasField("response")
    connection.socket.shutdown(socket.SHUT_RDWR)
    flood.join(LONG_ENOUGH)
    assert not flood.is_alive()


def _flood(sock):
    many = http(call()) * 500
    try:
        for _ in range(40):
            sock.sendall(many)
    except OSError:
        return


def test_the_api_port_serves_any_path_to_this_machine(make_service):
    service = make_service(api_port=0)
    with Connection(int(service.api_address.rpartition(":")[2])) as connection:
        assert connection.send(http(call()).replace(b"/rpc_http", b"/", 1)).answer().HasField("response")
    # The front is another server: its other paths are not on that port, nor the other way round.
    with Connection(service.port) as connection:
        connection.send(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n")
        assert connection.file.readline().startswith(b"HTTP/1.1 404")


def test_an_api_port_in_use_names_the_flag(make_service):
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(CannotListen, match="--api-port"):
        make_service(api_port=taken.getsockname()[1])
