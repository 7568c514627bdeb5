"""A client that ends its sending side after its request (`nc -N`, HTTP/1.0 scripts): it waits for the answer."""

from __future__ import annotations

import contextlib
import functools
import json
import re
import socket

import pytest

from tests.server.test_parking import Wire, connected, open_socket, parked, poll_path
from tests.support import wire
from tests.support.backend import PlayedBackend, ok
from tests.support.waiting import LONG_ENOUGH, until

GET = b"GET %b HTTP/1.1\r\nHost: localhost\r\n%b\r\n"
POST = b"POST %b HTTP/1.1\r\nHost: localhost\r\n%b\r\n"


pytestmark = pytest.mark.usefixtures("any_loop")


ask = functools.partial(wire.ask, half_close=True)
"""Everything that comes back to `data` and the end of our side."""


def statuses(answers):
    return re.findall(rb"HTTP/1\.[01] (\d{3}) ", answers)


class Echo(PlayedBackend):
    """An app that says what it was sent."""

    def serve(self, environ, request_id):
        return ok(environ["PATH_INFO"].encode() + b":" + environ["wsgi.input"].read())


@pytest.mark.parametrize("close", [b"", b"Connection: close\r\n", b"Connection: keep-alive\r\n"])
@pytest.mark.parametrize("path", [b"/x", b"/_emu/health", b"/_ah/channel/jsapi", b"/_emu/"])
def test_it_gets_its_answer_and_the_end(make_service, path, close):
    service = make_service(Echo())
    for _ in range(10):
        assert statuses(ask(service.port, GET % (path, close))) == [b"200"]
    until(lambda: not connected(service))


def test_every_answer_of_what_was_pipelined(make_service):
    service = make_service(Echo())
    paths = [b"/1", b"/_emu/health", b"/2", b"/3", b"/_emu/health", b"/4"]
    answers = ask(service.port, b"".join(GET % (path, b"") for path in paths))
    assert statuses(answers) == [b"200"] * 6
    assert re.findall(rb"/(\d):", answers) == [b"1", b"2", b"3", b"4"]


def test_with_a_body_by_length_and_in_chunks(make_service):
    service = make_service(Echo())
    assert ask(service.port, POST % (b"/a", b"Content-Length: 3\r\n") + b"abc").endswith(b"/a:abc")
    chunks = b"2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"
    assert ask(service.port, POST % (b"/a", b"Transfer-Encoding: chunked\r\n") + chunks).endswith(b"/a:abc")


def test_while_the_apps_handler_runs(make_service, slow_app):
    service = make_service(slow_app)
    each = Wire(service)
    each.send("/slow")
    assert slow_app.started.acquire(timeout=LONG_ENOUGH)
    each.sock.shutdown(socket.SHUT_WR)
    slow_app.release.set()
    assert each.answer()[2] == b"app"
    assert each.file.read() == b""
    each.close()


def test_a_whole_large_answer(make_service):
    large = PlayedBackend()
    large.text = b"x" * 8_000_000
    service = make_service(large)
    assert len(ask(service.port, GET % (b"/", b""))) > 8_000_000


def test_on_the_port_of_the_api(make_service):
    service = make_service(api_port=0)
    port = service._api_sockets[0].getsockname()[1]
    assert statuses(ask(port, POST % (b"/", b"Content-Length: 0\r\n"))) == [b"415"]


def test_a_send_that_was_accepted_says_so(service):
    socket_id = open_socket(service)
    body = json.dumps({"client_id": "bob", "message": "hello"}).encode()
    head = b"Content-Type: application/json\r\nContent-Length: %d\r\n" % len(body)
    assert b'"delivered_to"' in ask(service.port, POST % (b"/_emu/messages", head) + body)
    assert [m.text for m in service.broker.take(service.broker.poll(socket_id, 0)).messages] == ["hello"]


def test_an_open_that_waits_for_the_app_to_be_told(make_service, slow_app):
    class Told(type(slow_app)):
        def post(self, path, body, content_type, timeout):
            self.started.release()
            self.release.wait(LONG_ENOUGH)
            return 200

    app = Told()
    service = make_service(app)
    token = service.broker.create_channel("bob").token
    each = Wire(service)
    each.send(f"/_ah/channel/open?channel={token}")
    assert app.started.acquire(timeout=LONG_ENOUGH)
    each.sock.shutdown(socket.SHUT_WR)
    app.release.set()
    assert "socket" in json.loads(each.answer()[2])
    assert each.file.read() == b""
    each.close()


def test_a_poll_sent_and_ended_at_once_is_a_page_that_has_gone(service):
    socket_id = open_socket(service)
    ask(service.port, GET % (poll_path(socket_id).encode(), b""))
    until(lambda: parked(service) == 0)
    until(lambda: service.broker._sockets.get(socket_id).receiver is None)
    service.broker.send_message("bob", "kept")
    assert [m.text for m in service.broker.take(service.broker.poll(socket_id, 0)).messages] == ["kept"]


def test_a_poll_that_has_something_to_bring_brings_it(service):
    socket_id = open_socket(service)
    service.broker.send_message("bob", "there")
    assert b"there" in ask(service.port, GET % (poll_path(socket_id).encode(), b""))


def test_a_poll_behind_a_request_of_the_app_keeps_nothing_of_its_answer(make_service):
    service = make_service(Echo())
    socket_id = open_socket(service)
    answers = ask(service.port, GET % (b"/first", b"") + GET % (poll_path(socket_id).encode(), b""))
    assert b"/first:" in answers
    until(lambda: parked(service) == 0)


@pytest.mark.parametrize(
    "data",
    [
        POST % (b"/a", b"Content-Length: 10\r\n") + b"abc",
        POST % (b"/_emu/messages", b"Content-Length: 10\r\n") + b"abc",
        POST % (b"/a", b"Transfer-Encoding: chunked\r\n") + b"5\r\nab",
        POST % (b"/a", b"Transfer-Encoding: chunked\r\n") + b"2\r\nab\r\n",
        b"GET / HTTP/1.1\r\nHost: loc",
        b"GE",
    ],
)
def test_a_request_that_ends_early_is_told_so(make_service, data):
    service = make_service(Echo())
    answer = ask(service.port, data)
    assert statuses(answer) == [b"400"]
    assert b"ended early" in answer
    # Behind a whole one it comes second.
    assert statuses(ask(service.port, GET % (b"/b", b"") + data)) == [b"200", b"400"]


@pytest.mark.parametrize("data", [b"", b"\r\n", b"\r\n\r\n"])
def test_a_connection_without_a_request_just_ends(service, data):
    assert ask(service.port, data) == b""
    until(lambda: not connected(service))


def test_one_that_is_reset_instead_leaves_nothing_behind(make_service, slow_app):
    service = make_service(slow_app)
    with contextlib.closing(Wire(service)) as each:
        each.send("/slow")
        assert slow_app.started.acquire(timeout=LONG_ENOUGH)
        each.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    until(lambda: not connected(service))
    slow_app.release.set()
