"""Where a request ends: what two servers might read in two ways is refused, so that nothing is smuggled past the guard.

Each test is a client that writes bytes to the emulator, in front of a real instance.
"""

from __future__ import annotations

import re
import textwrap

import pytest

from tests.support.emulator import RunningEmulator
from tests.support.wire import ask, connect, rest

APP = """
    import json

    seen = []

    def app(environ, start_response):
        body = environ["wsgi.input"].read().decode("latin-1")
        headers = {name: value for name, value in environ.items() if name.startswith(("HTTP_", "CONTENT_"))}
        seen.append([environ["REQUEST_METHOD"], environ["PATH_INFO"], headers, body])
        start_response("200 OK", [("Content-Type", "application/json")])
        return [json.dumps(seen).encode()] if environ["PATH_INFO"] == "/seen" else [b"ok"]
"""

INNER = b"POST /_ah/channel/connected/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n"
SECOND = b"GET /smuggled HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


@pytest.fixture(scope="module")
def emulator(tmp_path_factory):
    folder = tmp_path_factory.mktemp("framing")
    (folder / "main.py").write_text(textwrap.dedent(APP))
    with RunningEmulator("main:app", "--app-dir", str(folder), log=folder / "log") as running:
        yield running
        assert "Traceback" not in running.log.read_text()


def seen_since(emulator, number):
    return [(method, path) for method, path, _, _ in emulator.get_json("/seen")[number:-1]]


def send(emulator, *parts):
    """The answers' statuses, and the requests that reached the app."""
    before = len(emulator.get_json("/seen"))
    answers = ask(emulator.port, b"".join(parts))
    return re.findall(rb"^HTTP/1\.[01] (\d{3}) ", answers, re.MULTILINE), seen_since(emulator, before)


def post(*headers, body=b"", version=b"1.1"):
    return b"\r\n".join([b"POST /a HTTP/" + version, b"Host: localhost", *headers, b"", body])


@pytest.mark.parametrize(
    "request_bytes",
    [
        pytest.param(
            post(b"Content-Length: 3", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n"), id="both, length first"
        ),
        pytest.param(
            post(b"Transfer-Encoding: chunked", b"Content-Length: 5", body=b"0\r\n\r\n"), id="both, chunks first"
        ),
        pytest.param(post(b"Content-Length: 5", b"Content-Length: 0", body=b"0\r\n\r\n"), id="two lengths"),
        pytest.param(post(b"Content-Length: 5", b"Content-Length: 5", body=b"01234"), id="the same length twice"),
        pytest.param(post(b"Content-Length: 5, 5", body=b"01234"), id="a list of lengths"),
        pytest.param(post(b"Content-Length: +5", body=b"01234"), id="a sign"),
        pytest.param(post(b"Content-Length: 0x5", body=b"01234"), id="hexadecimal"),
        pytest.param(post(b"Content-Length: 1_0", body=b"0123456789"), id="underscore"),
        pytest.param(post(b"Content-Length:", body=b"01234"), id="no length"),
        pytest.param(post(b"Content-Length : 5", body=b"01234"), id="space before the colon"),
        pytest.param(post(b"Transfer-Encoding : chunked", body=b"0\r\n\r\n"), id="space before the colon, chunks"),
        pytest.param(post(b"Transfer-Encoding: xchunked", body=b"0\r\n\r\n"), id="unknown encoding"),
        pytest.param(post(b"Transfer-Encoding: chunked, identity", body=b"0\r\n\r\n"), id="chunks not last"),
        pytest.param(post(b"Transfer-Encoding: chunked, chunked", body=b"0\r\n\r\n"), id="chunked twice"),
        pytest.param(
            post(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n"), id="two headers"
        ),
        pytest.param(post(b"Transfer-Encoding: gzip, chunked", body=b"0\r\n\r\n"), id="another encoding before"),
        pytest.param(
            post(b"Transfer-Encoding: gzip", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n"), id="in two headers"
        ),
        pytest.param(post(b"Transfer-Encoding: chunked,", body=b"0\r\n\r\n"), id="a comma behind"),
        pytest.param(post(b"Transfer-Encoding: , chunked", body=b"0\r\n\r\n"), id="a comma before"),
        pytest.param(post(b"Transfer-Encoding: chunked;q=1", body=b"0\r\n\r\n"), id="a parameter"),
        pytest.param(post(b'Transfer-Encoding: "chunked"', body=b"0\r\n\r\n"), id="quoted"),
        pytest.param(post(b"Transfer-Encoding:", body=b""), id="no encoding"),
        pytest.param(post(b"Transfer-Encoding:", b"Content-Length: 3", body=b"abc"), id="no encoding, and a length"),
        pytest.param(post(b"Content-Length: 3", b"Transfer-Encoding: ", body=b"abc"), id="a length, and no encoding"),
        pytest.param(
            post(b"Transfer-Encoding: ,", b"Content-Length: 3", body=b"abc"), id="an empty list, and a length"
        ),
        pytest.param(post(b"Transfer-Encoding: identity", b"Content-Length: 3", body=b"abc"), id="identity"),
        pytest.param(post(b"Transfer-Encoding:\r\n chunked", body=b"0\r\n\r\n"), id="a folded encoding"),
        pytest.param(post(b"Transfer-Encoding: chunked\r\n , x", body=b"0\r\n\r\n"), id="an encoding folded behind"),
        pytest.param(post(b"Content-Length:\r\n\t5", body=b"01234"), id="a folded length"),
        pytest.param(post(b"Content-Length: 1\r\n 0", body=b"0123456789"), id="a length in two lines"),
        pytest.param(post(b"Transfer-Encoding: \x0bchunked", body=b"0\r\n\r\n"), id="a control character"),
        pytest.param(post(b"Transfer-Encoding: chunked", body=b"0\r\n\r\n", version=b"1.0"), id="chunks in 1.0"),
        pytest.param(post(b"Transfer-Encoding: chunked", body=b"0\r\n\r\n", version=b"1.2"), id="another version"),
        pytest.param(post(b"X: a\nTransfer-Encoding: chunked", body=b"0\r\n\r\n"), id="a bare line feed"),
        pytest.param(post(b"X: a\rTransfer-Encoding: chunked", body=b"0\r\n\r\n"), id="a bare carriage return"),
        pytest.param(post(b"X: a\0b", body=b""), id="a zero byte"),
        pytest.param(
            post(b"Transfer-Encoding: chunked", body=b"5;\nabc\r\n01234\r\n0\r\n\r\n"), id="line feed in a chunk"
        ),
        pytest.param(post(b"Transfer-Encoding: chunked", body=b"5;a\n\r\n01234\r\n0\r\n\r\n"), id="it ends the line"),
        pytest.param(post(b"Transfer-Encoding: chunked", body=b"5\n\r\n01234\r\n0\r\n\r\n"), id="behind the size"),
        pytest.param(post(b"Transfer-Encoding: chunked", body=b"5\n01234\n0\n\n"), id="line feeds alone"),
        pytest.param(post(b"Transfer-Encoding: chunked", body=b"5\r\r\n01234\r\n0\r\n\r\n"), id="a second return"),
        pytest.param(post(b"Transfer-Encoding: chunked", body=b"1\r\na\r\n\r\n0\r\n\r\n"), id="a line between chunks"),
        pytest.param(post(b"Transfer-Encoding: chunked", body=b"1 \r\na\r\n0\r\n\r\n"), id="a space behind the size"),
        pytest.param(post(b"Transfer-Encoding: chunked", body=b"1\r\na\n0\r\n\r\n"), id="a chunk's end of one byte"),
        pytest.param(post(b"Transfer-Encoding: chunked", body=b"0\r\nX: a\n\r\n"), id="line feed in a trailer"),
        pytest.param(
            post(b"Transfer-Encoding: chunked", body=b"00000000000000000\r\n\r\n"), id="a size of seventeen digits"
        ),
        pytest.param(post(b"Transfer-Encoding: chunked", body=b"-1\r\n0\r\n\r\n"), id="a negative chunk"),
        pytest.param(post(b"Transfer-Encoding: chunked", body=b"0x5\r\n01234\r\n0\r\n\r\n"), id="hexadecimal chunk"),
        pytest.param(post(b"Transfer-Encoding: chunked", body=b"5\r\n0123456\r\n0\r\n\r\n"), id="a chunk too long"),
    ],
)
def test_an_end_that_could_be_read_in_two_ways_is_refused_and_ends_the_connection(emulator, request_bytes):
    statuses, reached = send(emulator, request_bytes, SECOND)
    assert statuses in ([b"400"], [b"501"])
    assert reached == []


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64])
def test_chunks_may_come_in_pieces_of_any_size(emulator, size):
    body = b'3\r\nabc\r\nA;ext;n=v;q="a;\\"b"\r\n0123456789\r\n000\r\nX-Trailer: 1\r\nY:\r\n\r\n'
    request = post(b"Connection: close", b"transfer-ENCODING:\tChunked ", body=body)
    with connect(emulator.port) as made:
        for at in range(0, len(request), size):
            made.sendall(request[at : at + size])
        assert rest(made).startswith(b"HTTP/1.1 200 ")
    assert [entry[3] for entry in emulator.get_json("/seen") if entry[1] == "/a"][-1] == "abc0123456789"


def test_a_presence_post_within_a_body_stays_a_body(emulator):
    close = b"Connection: close"
    length = b"Content-Length: %d" % len(INNER)
    assert send(emulator, post(close, length, body=INNER)) == ([b"200"], [("POST", "/a")])
    chunks = b"%x\r\n%b\r\n0\r\n\r\n" % (len(INNER), INNER)
    assert send(emulator, post(close, b"Transfer-Encoding: chunked", body=chunks)) == ([b"200"], [("POST", "/a")])
    headers, body = [entry[2:] for entry in emulator.get_json("/seen") if entry[1] == "/a"][-1]
    assert body == INNER.decode()
    # One way to tell its end, whatever the visitor's was.
    assert headers["CONTENT_LENGTH"] == str(len(INNER))
    assert "HTTP_TRANSFER_ENCODING" not in headers


def test_a_folded_header_reaches_the_app_as_one_line(emulator):
    folded = b"GET /folded HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX-A: one\r\n\tX-B: two\r\n\r\n"
    assert send(emulator, folded) == ([b"200"], [("GET", "/folded")])
    headers = next(headers for _, path, headers, _ in emulator.get_json("/seen") if path == "/folded")
    assert "HTTP_X_B" not in headers
    assert headers["HTTP_X_A"].split() == ["one", "X-B:", "two"]


def test_a_header_with_an_underscore_is_no_other_name_of_one_with_a_dash(emulator):
    request = (
        b"GET /underscore HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX_AppEngine_User_Email: a@b.c\r\n\r\n"
    )
    send(emulator, request)
    headers = next(headers for _, path, headers, _ in emulator.get_json("/seen") if path == "/underscore")
    assert not [name for name in headers if "APPENGINE_USER_EMAIL" in name]


@pytest.mark.parametrize("name", ["Host", "Cookie", "X-Forwarded-For", "Content-Type"])
def test_a_visitor_cannot_have_a_header_left_out_on_the_way(emulator, name):
    fields = b"Host: localhost:1\r\nCookie: a=b\r\nX-Forwarded-For: 10.0.0.1\r\nContent-Type: text/x\r\n"
    path = f"/dropped-{name.lower()}"
    request = b"GET %b HTTP/1.1\r\n%bConnection: close, %b\r\n\r\n" % (path.encode(), fields, name.encode())
    # Not `Connection: close` alone, so the end is told by another request.
    ask(emulator.port, request + SECOND)
    headers = next(headers for _, seen, headers, _ in emulator.get_json("/seen") if seen == path)
    found = {"Host": "HTTP_HOST", "Cookie": "HTTP_COOKIE", "X-Forwarded-For": "HTTP_X_FORWARDED_FOR"}
    assert headers[found.get(name, "CONTENT_TYPE")] in ("localhost:1", "a=b", "10.0.0.1", "text/x")


@pytest.mark.parametrize(
    "target",
    [
        b"/a%0d%0aX-Injected:%201",
        b"/a?b=%0d%0aX-Injected:%201",
        b"/%0d%0a%0d%0aGET%20/smuggled%20HTTP/1.1",
        b"/a\tb",
        b"/a\x0bb",
        b"/\xe4",
    ],
)
def test_a_target_cannot_begin_another_header_or_request(emulator, target):
    close = b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    statuses, reached = send(emulator, b"GET ", target, close)
    assert (statuses, len(reached)) in (([b"200"], 1), ([b"400"], 0))
    assert not [headers for _, _, headers, _ in emulator.get_json("/seen") if "HTTP_X_INJECTED" in headers]


def test_https_is_told_at_once_that_http_is_served(emulator):
    """Without a line's end in it, such a request would be waited for, and the browser with it."""
    answer = ask(emulator.port, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\xa5" * 32)
    assert answer.startswith(b"HTTP/1.0 400 ")
    assert b"the address begins with http://, not https://" in answer


def test_a_target_that_is_not_ascii_is_refused_with_what_to_write_instead(emulator):
    answer = ask(emulator.port, "GET /é HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"%C3%A9" in answer
