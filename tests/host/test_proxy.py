"""What crosses the proxy and what does not, from the visitor's side and from the app's."""

from __future__ import annotations

import hashlib
import json
import os
import threading
import time

import pytest

from appengine_channel_emu.host.app_kinds import upstream_backend
from tests.host.conftest import visit
from tests.support import wire
from tests.support.emulator import RunningEmulator
from tests.support.waiting import LONG_ENOUGH

ECHO = """
    import hashlib, json, os

    def app(environ, start_response):
        path = environ["PATH_INFO"]
        if path == "/die":
            os._exit(1)
        if path == "/cookies":
            headers = [("Set-Cookie", "a=1"), ("X-One", "x"), ("Set-Cookie", "b=2; Path=/")]
            start_response("302 Found", headers + [("Location", "http://elsewhere/")])
            return []
        if path.startswith("/status/"):
            start_response(path[8:] + " Something", [("Content-Type", "text/plain")])
            return [b"body"]
        if path == "/hop":
            names = ("Connection", "Keep-Alive", "Transfer-Encoding", "Upgrade", "Trailer", "Server", "Date")
            start_response("200 OK", [(name, "x-private") for name in names] + [("X-Private", "1"), ("X-Kept", "1"),
                           ("Channel-Emu-Result", '{"cpu": 99}'), ("Content-Length", "99999")])
            return [b"body"]
        if path == "/big":
            start_response("200 OK", [("Content-Type", "application/octet-stream")])
            return (bytes([n % 251]) * 65536 for n in range(160))
        body = environ["wsgi.input"].read()
        seen = {key: value for key, value in environ.items() if isinstance(value, str)}
        seen["body"] = [len(body), hashlib.sha256(body).hexdigest()]
        start_response("200 OK", [("Content-Type", "application/json"), ("X-Path", "p")])
        return [json.dumps(seen).encode()]
"""


@pytest.fixture(scope="module")
def emulator(tmp_path_factory):
    """The whole emulator in front of the echo."""
    import textwrap

    folder = tmp_path_factory.mktemp("echo")
    (folder / "main.py").write_text(textwrap.dedent(ECHO))
    with RunningEmulator("main:app", "--app-dir", str(folder), log=folder / "log") as emulator:
        yield emulator


def exchange(emulator, request):
    """The lines of the answer's head, and its body, to a raw request that asks for the connection to be closed."""
    head, _, body = wire.ask(emulator.port, request).partition(b"\r\n\r\n")
    return head.decode("latin-1").split("\r\n"), body


def ask(emulator, target=b"/", method=b"GET", *lines, body=b"", version=b"1.1"):
    fields = [b"Host: localhost:8080", *([b"Connection: close"] if version == b"1.1" else []), *lines]
    return exchange(emulator, b"%s %s HTTP/%s\r\n%s\r\n\r\n%s" % (method, target, version, b"\r\n".join(fields), body))


def seen_by_app(emulator, *request, **further):
    return json.loads(ask(emulator, *request, **further)[1])


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        (b"/a/../b/./c", "/a/../b/./c", ""),
        (b"/a%2Fb%2fc", "/a/b/c", ""),
        # Without its repeated slashes in front, as the front has routed it.
        (b"//x//y", "/x//y", ""),
        (b"/100%?a=%", "/100%", "a=%"),
        (b"/caf%C3%A9", "/caf\xc3\xa9", ""),
        (b"/?a=b?c=d&e=%20+", "/", "a=b?c=d&e=%20+"),
        (b"http://localhost:8080/absolute?x", "/absolute", "x"),
        (b"/;p=1", "/;p=1", ""),
    ],
)
def test_the_target_reaches_the_app_as_it_was_sent(target, path, query, emulator):
    seen = seen_by_app(emulator, target)
    assert (seen["PATH_INFO"], seen["QUERY_STRING"]) == (path, query)
    assert seen["REQUEST_URI"] == target.decode().removeprefix("http://localhost:8080")


def test_bytes_beyond_ascii_in_a_target_are_escaped_or_refused(emulator, make_backend):
    assert ask(emulator, b"/caf\xc3\xa9")[0][0] == "HTTP/1.1 400 Bad Request"
    # Other servers let them through to us.
    seen = json.loads(visit(make_backend(ECHO), "/caf\xc3\xa9").body)
    assert (seen["REQUEST_URI"], seen["PATH_INFO"]) == ("/caf%C3%A9", "/caf\xc3\xa9")


def test_the_app_sees_the_visitor_as_if_it_were_at_the_front(emulator):
    seen = seen_by_app(emulator, b"/", b"GET", b"User-Agent: ua", b"Accept: */*")
    wanted = {
        "REMOTE_ADDR": "127.0.0.1",
        "HTTP_HOST": "localhost:8080",
        "SERVER_PORT": str(emulator.port),
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.url_scheme": "http",
        "HTTPS": "off",
        "SCRIPT_NAME": "",
        "HTTP_USER_AGENT": "ua",
    }
    assert {name: seen[name] for name in wanted} == wanted
    assert not [name for name in seen if "CHANNEL_EMU_" in name]


def test_repeated_cookies_and_redirects_reach_the_visitor(emulator):
    head, body = ask(emulator, b"/cookies")
    assert head[0] == "HTTP/1.1 302 Found"
    assert [line for line in head if line.lower().startswith("set-cookie")] == [
        "Set-Cookie: a=1",
        "Set-Cookie: b=2; Path=/",
    ]
    assert "Location: http://elsewhere/" in head
    assert "Content-Length: 0" in head
    assert body == b""


def test_hop_by_hop_headers_of_the_visitor_stop_here(emulator):
    lines = (b"Connection: X-Private", b"X-Private: 1", b"Keep-Alive: 5", b"TE: trailers", b"X-Kept: 1")
    further = (b"Proxy-Authorization: x", b"Proxy-Connection: x")
    seen = seen_by_app(emulator, b"/", b"GET", *lines, *further, version=b"1.0")
    names = {name for name in seen if name.startswith("HTTP_")}
    assert "HTTP_X_KEPT" in names
    assert not names & {"HTTP_X_PRIVATE", "HTTP_KEEP_ALIVE", "HTTP_TE", "HTTP_PROXY_AUTHORIZATION"}
    assert "HTTP_PROXY_CONNECTION" not in names


def test_hop_by_hop_headers_of_the_app_stop_here(make_backend):
    page = visit(make_backend(ECHO), "/hop")
    assert page.body == b"body"
    assert page.header("X-Kept") == ["1"]
    assert page.header("Content-Length") == ["4"]
    for name in ("Connection", "Keep-Alive", "Transfer-Encoding", "Upgrade", "Trailer", "Server", "Date"):
        assert page.header(name) == [], name
    assert page.header("Channel-Emu-Result") == []


def test_forged_internal_headers_change_nothing(emulator):
    forged = b'{"REMOTE_ADDR": "0.1.0.10", "USER_IS_ADMIN": "1", "wsgi.url_scheme": "https"}'
    for name in (b"Channel-Emu-Request", b"channel_emu_request", b"CHANNEL-EMU-REQUEST"):
        seen = seen_by_app(emulator, b"/", b"GET", name + b": " + forged)
        assert (seen["REMOTE_ADDR"], seen["HTTPS"]) == ("127.0.0.1", "off")
        assert "USER_IS_ADMIN" not in seen
        assert not [name for name in seen if "CHANNEL_EMU_" in name]
    head, _ = ask(emulator, b"/hop")
    assert not [line for line in head if line.lower().startswith("channel-emu")]


def test_two_cookie_headers_are_one_list(emulator):
    assert seen_by_app(emulator, b"/", b"GET", b"Cookie: a=1", b"Cookie: b=2")["HTTP_COOKIE"] == "a=1; b=2"


def test_a_large_body_with_its_length(emulator):
    body = os.urandom(5 * 2**20)
    seen = seen_by_app(emulator, b"/", b"POST", b"Content-Length: %d" % len(body), b"Content-Type: x/y", body=body)
    assert seen["body"] == [len(body), hashlib.sha256(body).hexdigest()]
    assert (seen["CONTENT_LENGTH"], seen["CONTENT_TYPE"]) == (str(len(body)), "x/y")


def test_a_large_body_in_chunks(emulator):
    blocks = [os.urandom(100_000) for _ in range(40)]
    chunked = b"".join(b"%x\r\n%s\r\n" % (len(block), block) for block in blocks) + b"0\r\n\r\n"
    seen = seen_by_app(emulator, b"/", b"POST", b"Transfer-Encoding: chunked", body=chunked)
    assert seen["body"] == [4_000_000, hashlib.sha256(b"".join(blocks)).hexdigest()]
    assert seen["CONTENT_LENGTH"] == "4000000"
    assert "HTTP_TRANSFER_ENCODING" not in seen


def test_a_large_answer(emulator):
    head, body = ask(emulator, b"/big")
    assert f"Content-Length: {160 * 65536}" in head
    assert body == b"".join(bytes([n % 251]) * 65536 for n in range(160))


def test_head_has_the_length_and_no_body(emulator):
    head, body = ask(emulator, b"/big", b"HEAD")
    assert head[0] == "HTTP/1.1 200 OK"
    assert f"Content-Length: {160 * 65536}" in head
    assert body == b""


@pytest.mark.parametrize("status", [b"204", b"304"])
def test_statuses_without_a_body(status, emulator):
    head, body = ask(emulator, b"/status/" + status)
    assert head[0].startswith(f"HTTP/1.1 {status.decode()} ")
    assert body == b""
    assert not [line for line in head if line.lower().startswith(("content-length", "transfer-encoding"))]


def test_methods_of_all_kinds(emulator):
    for method in (b"PUT", b"DELETE", b"OPTIONS", b"PATCH", b"PROPFIND"):
        assert seen_by_app(emulator, b"/", method)["REQUEST_METHOD"] == method.decode()


def test_websockets_are_refused_in_words(emulator):
    lines = (b"Upgrade: websocket", b"Sec-WebSocket-Key: x", b"Sec-WebSocket-Version: 13")
    head, body = ask(emulator, b"/chat", b"GET", *lines)
    assert head[0] == "HTTP/1.1 501 Not Implemented"
    assert b"WebSocket is not served" in body


def test_an_app_that_dies_costs_one_request(emulator):
    head, body = ask(emulator, b"/die")
    assert head[0] == "HTTP/1.1 502 Bad Gateway"
    assert b"closed the connection without an answer" in body
    assert seen_by_app(emulator)["PATH_INFO"] == "/"


# A server that is not ours


class Scripted(wire.Listener):
    """Answers one connection after another with the next of its scripts, each a function of the connection."""

    def __init__(self, *scripts):
        self._scripts = iter(scripts)
        self.requests = []
        super().__init__(self._play)

    def _play(self, connection):
        self.requests.append(connection.recv(65536))
        next(self._scripts)(connection)


@pytest.fixture
def behind():
    """A proxy in front of a scripted server: visits it."""

    def make(*scripts, deadline=10.0):
        server = Scripted(*scripts)
        return upstream_backend(f"http://127.0.0.1:{server.port}", "127.0.0.1:8080", deadline)

    return make


def says(data):
    return lambda connection: connection.sendall(data)


def test_an_app_that_trickles_is_cut_at_the_deadline(behind):
    def trickle(connection):
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        give_up = time.monotonic() + LONG_ENOUGH
        while not over.wait(0.05) and time.monotonic() < give_up:
            connection.sendall(b"x")

    over = threading.Event()

    started = time.monotonic()
    page = visit(behind(trickle, deadline=0.5))
    over.set()
    assert time.monotonic() - started >= 0.5
    assert page.status == 500
    assert page.cut is True
    assert "within 0.5 seconds" in page.text


def test_a_compressed_answer_stays_compressed(behind):
    page = visit(
        behind(says(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\n\x1f\x8b\x00\x00"))
    )
    assert page.body == b"\x1f\x8b\x00\x00"
    assert page.header("Content-Encoding") == ["gzip"]


@pytest.mark.parametrize(
    ("answer", "length"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\n", ["5"]),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", []),
        (b"HTTP/1.1 200 OK\r\n\r\n", []),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", []),
    ],
)
def test_the_answer_to_head_has_the_length_that_the_app_says_and_no_other(answer, length, behind):
    page = visit(behind(says(answer)), method="HEAD")
    assert page.header("Content-Length") == length
    assert page.body == b""


def test_nobody_there(behind):
    page = visit(upstream_backend(f"http://127.0.0.1:{wire.free_port()}", "127.0.0.1:8080", None))
    assert page.status == 502
    assert "cannot be reached: Connection refused. Is it running?" in page.text


def test_a_post_is_never_sent_twice():
    ok = says(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    server = Scripted(ok, says(b""), ok)
    backend = upstream_backend(f"http://127.0.0.1:{server.port}", "127.0.0.1:8080", 10)
    assert visit(backend).status == 200
    assert visit(backend, method="POST", body=b"x").status == 502
    assert len(server.requests) == 2
