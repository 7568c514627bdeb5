"""When a connection is kept after an answer, and when it ends (RFC 9112, sections 6.3 and 9.3)."""

from __future__ import annotations

import contextlib
import socket

import pytest

from appengine_channel_emu.host.backend import AppAnswer
from tests.server.test_parking import Wire, connected
from tests.support.backend import PlayedBackend
from tests.support.waiting import LONG_ENOUGH, until


class App(PlayedBackend):
    """Answers with the status that the path names, and the body behind it: `/204`, `/200/hello`."""

    def serve(self, environ, request_id):
        _, status, *body = environ["PATH_INFO"].split("/")
        answer = "".join(body).encode()
        fields = [] if environ["QUERY_STRING"] == "no-length" else [("Content-Length", str(len(answer)))]
        body = iter([answer]) if environ["REQUEST_METHOD"] != "HEAD" or b"body" in answer else []
        return AppAnswer(f"{status} Status", fields, body)


@pytest.fixture
def wire(make_service):
    with contextlib.closing(Wire(make_service(App()))) as made:
        yield made


def ask(wire, method, path, *headers, version="1.1"):
    """Send a request; the answer's status and headers."""
    lines = [f"{method} {path} HTTP/{version}", "Host: localhost", *headers, "", ""]
    wire.sock.sendall("\r\n".join(lines).encode())
    status, fields = wire.head()
    return int(status.split()[1]), fields


def assert_kept(wire, version="1.1"):
    headers = ["Connection: keep-alive"] if version == "1.0" else []
    status, fields = ask(wire, "GET", "/200/next", *headers, version=version)
    assert (status, wire.file.read(int(fields["Content-Length"]))) == (200, b"next")


def assert_ended(wire):
    assert wire.file.read() == b""


@pytest.mark.parametrize("version", ["1.1", "1.0"])
@pytest.mark.parametrize("path", ["/204", "/304", "/304/representation", "/204?no-length", "/304?no-length"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_after_an_answer_without_a_body(wire, method, path, version, caplog):
    if "representation" in path and method == "GET":
        path = "/304"  # Waitress warns of a body that the status forbids, and rightly.
    headers = ["Connection: keep-alive"] if version == "1.0" else []
    for _ in range(3):
        status, fields = ask(wire, method, path, *headers, version=version)
        assert status == int(path[1:4])
        assert (fields["Connection"] or "").lower() == ("keep-alive" if version == "1.0" else "")
        assert fields["Content-Length"] is None
        assert fields["Transfer-Encoding"] is None
    assert_kept(wire, version)
    assert not caplog.records


@pytest.mark.parametrize("path", ["/200/hello", "/200/a-body-all-the-same", "/200/hello?no-length", "/404/hello"])
def test_after_an_answer_to_head(wire, path, caplog):
    for _ in range(3):
        status, fields = ask(wire, "HEAD", path)
        assert status == int(path[1:4])
        assert fields["Connection"] is None
        if "no-length" not in path:
            assert int(fields["Content-Length"]) == len(path.removeprefix(f"/{status}/"))
    assert_kept(wire)
    assert not caplog.records


def test_after_a_page_of_our_own_that_answers_head(make_service):
    """It has a body, which the app's absence is told in."""
    with contextlib.closing(Wire(make_service())) as each:
        status, fields = ask(each, "HEAD", "/nobody-here")
        assert (status, fields["Connection"]) == (404, None)
        each.send("/_emu/health")
        assert each.answer()[0] == "HTTP/1.1 200 OK"


def test_after_an_answer_in_chunks(wire):
    status, fields = ask(wire, "GET", "/200/hello?no-length")
    assert (status, fields["Transfer-Encoding"], fields["Connection"]) == (200, "chunked", None)
    assert wire.chunks() == b"hello"
    assert_kept(wire)


def test_http_1_0_without_a_length_ends_with_the_connection(wire):
    status, fields = ask(wire, "GET", "/200/hello?no-length", "Connection: keep-alive", version="1.0")
    assert (status, fields["Connection"]) == (200, "close")
    assert wire.file.read() == b"hello"


@pytest.mark.parametrize(
    "headers",
    [
        ["Connection: close"],
        ["Connection: CLOSE"],
        ["Connection: close, x"],
        ["Connection: x,close"],
        ["Connection: x ,\tClose , y"],
        ["Connection: keep-alive, close"],
        ["Connection: x", "Connection: close"],
        ["Connection: close", "Connection: keep-alive"],
        ["connection: ,close,"],
    ],
)
@pytest.mark.parametrize(("method", "path"), [("GET", "/200/hello"), ("GET", "/204"), ("HEAD", "/200/hello")])
def test_one_that_its_client_wants_closed(wire, method, path, headers):
    status, fields = ask(wire, method, path, *headers)
    assert (status, fields["Connection"]) == (int(path[1:4]), "close")
    if method == "GET" and "hello" in path:
        assert wire.file.read(5) == b"hello"
    assert_ended(wire)


@pytest.mark.parametrize("headers", [["Connection: x"], ["Connection: closed"], ["Connection: keep-alive, x"], []])
def test_one_that_nobody_wants_closed(wire, headers):
    assert ask(wire, "GET", "/200/hello", *headers)[1]["Connection"] is None
    assert wire.file.read(5) == b"hello"
    assert_kept(wire)


@pytest.mark.parametrize("option", ["keep-alive", "Keep-Alive", "keep-alive, x", "x, keep-alive"])
def test_http_1_0_that_asks_for_it(wire, option):
    status, fields = ask(wire, "GET", "/200/hello", f"Connection: {option}", version="1.0")
    assert (status, fields["Connection"], wire.file.read(5)) == (200, "Keep-Alive", b"hello")
    assert_kept(wire, "1.0")


@pytest.mark.parametrize("option", ["close", "keep-alive, close", "x"])
def test_http_1_0_that_does_not(wire, option):
    ask(wire, "GET", "/200/hello", f"Connection: {option}", version="1.0")
    assert wire.file.read() == b"hello"


@pytest.mark.parametrize("expect", ["100-continue", "100-Continue", "100-continue, x", "x"])
@pytest.mark.parametrize("headers", [[], ["Content-Length: 0"]])
def test_an_expect_without_a_body_waits_for_nothing(wire, expect, headers):
    assert ask(wire, "GET", "/200/hello", f"Expect: {expect}", *headers)[0] == 200
    assert wire.file.read(5) == b"hello"
    assert_kept(wire)


@pytest.mark.parametrize("expect", ["100-continue", "100-CONTINUE", "100-continue, x"])
def test_an_expect_is_told_to_continue_once(wire, expect):
    assert ask(wire, "POST", "/200/hello", f"Expect: {expect}", "Content-Length: 3")[0] == 100
    wire.sock.sendall(b"abc")
    status, _ = wire.head()
    assert status == "HTTP/1.1 200 Status"
    assert wire.file.read(5) == b"hello"
    assert_kept(wire)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (["Content-Length: 99999999999"], 413),
        (["Content-Length: x"], 400),
        (["Transfer-Encoding: chunked, chunked"], 400),
    ],
)
def test_what_is_refused_is_not_told_to_continue(wire, headers, status):
    assert ask(wire, "POST", "/200", "Expect: 100-continue", *headers)[0] == status
    assert b"HTTP/1.1" not in wire.file.read()


class TestRefusals:
    """A client that is refused while it sends gets the answer, not a reset."""

    def test_a_body_too_large_names_the_setting(self, make_service, monkeypatch):
        monkeypatch.setattr("appengine_channel_emu.server.slow_clients.LINGER_SECONDS", 10 * LONG_ENOUGH)
        service = make_service(App(), max_request_size=1000)
        with contextlib.closing(Wire(service)) as each:
            # 16 MB: far more than the kernel takes without anybody who reads.
            each.sock.sendall(b"POST /200 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 16000000\r\n\r\n")
            each.sock.sendall(b"x" * 16_000_000)
            status, fields = each.head()
            assert (status.split()[1], fields["Connection"]) == ("413", "close")
            text = each.file.read(int(fields["Content-Length"])).decode()
            assert "1,000 bytes (--max-request-size)" in text
            assert "max_body" not in text
            assert_ended(each)
        until(lambda: not connected(service))  # Long before it would be cut off for lingering.

    def test_a_browser_gets_a_page_with_it(self, make_service):
        service = make_service(App(), max_request_size=1000)
        with contextlib.closing(Wire(service)) as each:
            fields = "Accept: text/html\r\nCookie: a=secret\r\nUser-Agent: <b>\r\nContent-Length: 16000000"
            each.sock.sendall(f"POST /200?<b> HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n\r\n".encode())
            status, fields = each.head()
            text = each.file.read(int(fields["Content-Length"])).decode()
            assert_ended(each)
        assert status.split()[1] == "413"
        assert fields["Content-Type"] == "text/html; charset=utf-8"
        assert "style-src 'sha256-" in fields["Content-Security-Policy"]
        assert ">--max-request-size 2000</pre>" in text
        assert "<dt>Cookie</dt><dd><i>not shown</i></dd>" in text
        assert "secret" not in text
        assert "POST /200?&lt;b&gt;" in text
        assert "<b>" not in text

    def test_in_chunks_too(self, make_service):
        service = make_service(App(), max_request_size=1000)
        with contextlib.closing(Wire(service)) as each:
            each.sock.sendall(b"POST /200 HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
            for _ in range(160):
                each.sock.sendall(b"186A0\r\n" + b"x" * 100_000 + b"\r\n")
            each.sock.sendall(b"0\r\n\r\n")
            assert each.head()[0].split()[1] == "413"
            assert b"--max-request-size" in each.file.read()

    def test_one_of_just_the_size_is_served(self, make_service):
        service = make_service(App(), max_request_size=1000)
        with contextlib.closing(Wire(service)) as each:
            each.sock.sendall(b"POST /200/ok HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n" + b"x" * 1000)
            assert each.head()[0].split()[1] == "200"

    def test_headers_too_large_name_theirs(self, make_service):
        service = make_service(App(), max_header_size=1000)
        with contextlib.closing(Wire(service)) as each:
            each.sock.sendall(b"GET /200 HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 500_000 + b"\r\n\r\n")
            assert each.head()[0].split()[1] == "431"
            text = each.file.read()
            assert b"--max-header-size" in text
            assert b"max_header " not in text

    def test_what_follows_a_refused_request_is_no_request(self, make_service):
        app = App()
        service = make_service(app, max_request_size=1000)
        with contextlib.closing(Wire(service)) as each:
            head = b"POST /200 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5000\r\n\r\n"
            each.sock.sendall(head + b"GET /200/smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n" * 50)
            answers = each.file.read()
            assert answers.count(b"HTTP/1.") == 1
            assert b"smuggled" not in answers

    def test_one_that_never_stops_sending_is_let_go(self, make_service, monkeypatch):
        monkeypatch.setattr("appengine_channel_emu.server.connection.LINGER_BYTES", 1_000_000)
        monkeypatch.setattr("appengine_channel_emu.server.slow_clients.LINGER_SECONDS", 10 * LONG_ENOUGH)
        service = make_service(App(), max_request_size=1000)
        with contextlib.closing(Wire(service)) as each:
            each.sock.sendall(b"POST /200 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999\r\n\r\n")
            with pytest.raises(ConnectionError):
                each.sock.sendall(b"x" * 99_999_999)
        until(lambda: not connected(service))  # Long before it would be cut off for lingering.

    def test_one_that_never_closes_is_let_go(self, make_service, monkeypatch):
        monkeypatch.setattr("appengine_channel_emu.server.slow_clients.LINGER_SECONDS", 0.0)
        service = make_service(App())
        with contextlib.closing(Wire(service)) as each:
            each.sock.sendall(b"nonsense\r\n\r\n")
            assert each.head()[0].split()[1] == "400"
            each.sock.shutdown(socket.SHUT_RD)
            until(lambda: not connected(service))
