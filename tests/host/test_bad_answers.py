"""What an app behind `--upstream` may answer, and what its visitor then gets: never half of it, never another's."""

from __future__ import annotations

import re
import socket
import struct

import pytest

from appengine_channel_emu.host.app_kinds import upstream_backend
from appengine_channel_emu.server.service import Service
from appengine_channel_emu.settings import Settings
from tests.support import wire
from tests.support.waiting import LONG_ENOUGH

OK = b"HTTP/1.1 200 OK\r\n"
TWO = b"Content-Length: 2\r\n\r\nOK"
FINE = OK + TWO
CHUNKS = OK + b"Transfer-Encoding: chunked\r\n\r\n"

RESET = "reset"
SERVED = [
    # name, what the app says, and what its visitor gets: status, body, and a header that is there (or, with "!", not)
    ("100", b"HTTP/1.1 100 Continue\r\n\r\n" + FINE, 200, b"OK", ""),
    ("102", b"HTTP/1.1 102 Processing\r\n\r\n" + FINE, 200, b"OK", ""),
    ("103", b"HTTP/1.1 103 Early Hints\r\nLink: </s.css>; rel=preload\r\n\r\n" + FINE, 200, b"OK", "!Link"),
    ("199", b"HTTP/1.1 199 Own\r\n\r\n" + FINE, 200, b"OK", ""),
    ("many-1xx", b"HTTP/1.1 103 Early Hints\r\nLink: </s.css>\r\n\r\n" * 50 + FINE, 200, b"OK", ""),
    ("1xx-before-304", b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 304 Not Modified\r\n\r\n", 304, b"", ""),
    ("line-feeds", b"HTTP/1.1 200 OK\nContent-Length: 2\nX-A: b\n\nOK", 200, b"OK", "X-A: b"),
    ("no-reason", b"HTTP/1.1 200\r\n" + TWO, 200, b"OK", ""),
    ("odd-reason", b"HTTP/1.1 200 caf\xe9 \x07bell\r\n" + TWO, 200, b"OK", "200 caf\xe9 bell"),
    ("http-1.0", b"HTTP/1.0 200 OK\r\n" + TWO, 200, b"OK", ""),
    ("999", b"HTTP/1.1 999 Request denied\r\n" + TWO, 999, b"OK", "999 Request denied"),
    ("until-close", OK + b"\r\nto the end", 200, b"to the end", "Content-Length: 10"),
    ("same-length-twice", OK + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\nOK", 200, b"OK", "Content-Length: 2"),
    ("same-length-listed", OK + b"Content-Length: 2, 2\r\n\r\nOK", 200, b"OK", "Content-Length: 2"),
    ("204-with-a-body", b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nHELLO", 204, b"", "!Content-Length"),
    ("304-with-a-length", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", 304, b"", ""),
    ("folded", OK + b"X-A: a\r\n Set-Cookie: evil=1\r\n\tb\r\n" + TWO, 200, b"OK", "X-A: a Set-Cookie: evil=1 b"),
    ("space-before-colon", OK + b"X-A : a\r\n" + TWO, 200, b"OK", "X-A: a"),
    ("utf-8", OK + "X-A: ünï ☃\r\n".encode() + TWO, 200, b"OK", "X-A: ünï ☃".encode().decode("latin-1")),
    ("next-line", OK + b"X-A: a\x85Set-Cookie: c=2\r\n" + TWO, 200, b"OK", "X-A: a\x85Set-Cookie: c=2"),
    ("form-feed", OK + b"X-A: a\x0cSet-Cookie: c=2\r\n" + TWO, 200, b"OK", "!X-A"),
    ("our-own-headers", OK + b'Channel-Emu-Result: {"cut": true}\r\n' + TWO, 200, b"OK", "!Channel-Emu-Result"),
    ("connection-names", OK + b"Connection: Set-Cookie\r\nSet-Cookie: a=1\r\n" + TWO, 200, b"OK", "!Set-Cookie"),
    ("500-headers", OK + b"X-A: a\r\n" * 500 + TWO, 200, b"OK", "X-A: a"),
    ("long-header", OK + b"X-A: " + b"a" * 100_000 + b"\r\n" + TWO, 200, b"OK", ""),
    (
        "not-gzip",
        OK + b"Content-Encoding: gzip\r\nContent-Length: 4\r\n\r\nabcd",
        200,
        b"abcd",
        "Content-Encoding: gzip",
    ),
    ("chunks", CHUNKS + b"2;a=b\r\nOK\r\n 0\r\n\r\n".replace(b" 0", b"0"), 200, b"OK", "Content-Length: 2"),
    ("trailers", CHUNKS + b"2 \r\nOK\r\n000\r\nX-A: a\r\nX-B: b\r\n\r\n", 200, b"OK", "!X-A"),
    # Longer than they say: it is the rest that is too much.
    ("length-too-short", FINE + b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nEVIL", 200, b"OK", ""),
    ("behind-the-chunks", CHUNKS + b"2\r\nOK\r\n0\r\n\r\n" + FINE.replace(b"OK", b"NO"), 200, b"OK", ""),
]
REFUSED = [
    ("nothing", b"", "closed the connection without an answer"),
    ("reset", RESET, "closed the connection without an answer"),
    ("half-a-status", b"HTTP/1.1 20", "ended early"),
    ("half-a-head", OK + b"X-A: b", "ended early"),
    ("a-1xx-alone", b"HTTP/1.1 103 Early Hints\r\n\r\n", "ended early"),
    ("endless-1xx", b"HTTP/1.1 100 Continue\r\n\r\n" * 1000, "one interim answer"),
    ("101", b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\n\r\nframes", "answered 101, which was not asked for"),
    ("http-0.9", b"hello world\r\n", "did not answer in HTTP"),
    ("ssh", b"SSH-2.0-OpenSSH_9\r\n", "did not answer in HTTP"),
    ("tls", b"\x15\x03\x01\x00\x02\x02\x16", "did not answer in HTTP"),
    ("http-2", b"HTTP/2 200\r\n" + TWO, "did not answer in HTTP"),
    ("blank-line-first", b"\r\n" + FINE, "did not answer in HTTP"),
    ("status-0", b"HTTP/1.1 0 x\r\n" + TWO, "its first line"),
    ("status-099", b"HTTP/1.1 099 x\r\n" + TWO, "its first line"),
    ("status-99999", b"HTTP/1.1 99999 x\r\n" + TWO, "its first line"),
    ("status-letters", b"HTTP/1.1 abc x\r\n" + TWO, "its first line"),
    ("status-carriage-return", b"HTTP/1.1 200 OK\rX-A: b\r\n" + TWO, "its first line"),
    ("carriage-return", OK + b"X-A: a\rSet-Cookie: evil=1\r\n" + TWO, "its header X-A holds a carriage return"),
    ("two-carriage-returns", OK + b"X-A: a\r\rSet-Cookie: evil=1\r\n" + TWO, "its header X-A holds"),
    ("carriage-return-at-the-end", OK + b"X-A: a\r\r\n" + TWO, "its header X-A holds a carriage return"),
    ("folded-carriage-return", OK + b"X-A: a\r\n b\rSet-Cookie: c\r\n" + TWO, "its header X-A holds"),
    ("null", OK + b"X-A: a\0b\r\n" + TWO, "its header X-A holds a null byte"),
    ("no-colon", OK + b"Garbage line\r\nX-A: b\r\n" + TWO, "is no header"),
    ("no-name", OK + b": b\r\n" + TWO, "is no header"),
    ("name-with-a-space", OK + b"Set Cookie: a=1\r\n" + TWO, "is no header"),
    ("fold-first", OK + b" X-A: b\r\n" + TWO, "its first header begins with a space"),
    ("length-too-long", OK + b"Content-Length: 20\r\n\r\nOK", "ended early"),
    ("two-lengths", OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nOKK", "its Content-Length is"),
    ("negative-length", OK + b"Content-Length: -2\r\n\r\nOK", "its Content-Length is"),
    ("length-with-an-underscore", OK + b"Content-Length: 2_0\r\n\r\nOK", "its Content-Length is"),
    ("length-with-a-plus", OK + b"Content-Length: +2\r\n\r\nOK", "its Content-Length is"),
    ("length-of-words", OK + b"Content-Length: two\r\n\r\nOK", "its Content-Length is"),
    ("empty-length", OK + b"Content-Length:\r\n\r\nOK", "its Content-Length is"),
    ("length-of-5000-digits", OK + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\nOK", "its Content-Length is"),
    ("length-and-chunks", OK + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "has both"),
    ("gzip-coding", OK + b"Transfer-Encoding: gzip\r\n\r\nxx", "its Transfer-Encoding is"),
    ("gzip-chunks", OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "its Transfer-Encoding is"),
    ("chunks-of-chunks", OK + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", "its Transfer-Encoding is"),
    ("empty-coding", OK + b"Transfer-Encoding:\r\n\r\nOK", "its Transfer-Encoding is"),
    ("chunks-in-1.0", b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "its Transfer-Encoding is"),
    ("chunk-size-of-letters", CHUNKS + b"zz\r\nabc\r\n0\r\n\r\n", "is not the size of a chunk"),
    ("negative-chunk", CHUNKS + b"-5\r\nabc\r\n0\r\n\r\n", "is not the size of a chunk"),
    ("chunk-size-with-0x", CHUNKS + b"0x2\r\nOK\r\n0\r\n\r\n", "is not the size of a chunk"),
    ("chunk-size-with-a-space-first", CHUNKS + b" 2\r\nOK\r\n0\r\n\r\n", "is not the size of a chunk"),
    ("empty-chunk-size", CHUNKS + b"\r\nOK\r\n0\r\n\r\n", "is not the size of a chunk"),
    ("chunk-of-17-digits", CHUNKS + b"FFFFFFFFFFFFFFFFF\r\nabc", "is not the size of a chunk"),
    ("chunk-size-of-2-megabytes", CHUNKS + b"0" * 2_000_000 + b"5\r\nabcde\r\n0\r\n\r\n", "has no end"),
    ("chunk-size-with-a-line-feed", CHUNKS + b"2\nOK\r\n0\r\n\r\n", "does not end with CRLF"),
    ("chunk-extension-with-a-carriage-return", CHUNKS + b"2;a\rb\r\nOK\r\n0\r\n\r\n", "is not the size of a chunk"),
    ("chunk-too-long", CHUNKS + b"2\r\nOKOK\r\n0\r\n\r\n", "a chunk is longer than its size"),
    ("chunk-without-its-end", CHUNKS + b"2\r\nOK0\r\n\r\n", "a chunk is longer than its size"),
    ("chunk-cut", CHUNKS + b"5\r\nab", "ended early"),
    ("no-last-chunk", CHUNKS + b"2\r\nOK\r\n", "ended early"),
    ("endless-trailer", CHUNKS + b"0\r\n" + b"X-A: a\r\n" * 100_000, "has no end"),
    ("endless-headers", OK + b"X-A: a\r\n" * 200_000, "its headers have no end"),
]  # fmt: skip
TOO_LARGE = [
    ("length-of-18-digits", OK + b"Content-Length: " + b"9" * 18 + b"\r\n\r\nOK"),
    ("huge-chunk", CHUNKS + b"FFFFFFFFFFFFFFFF\r\nabc"),
]
ANSWERS = {name: said for name, said, *_ in [*SERVED, *REFUSED, *TOO_LARGE]}
ENDING = ("until-close", "nothing", "half-", "a-1xx-alone", "length-too-long", "chunk-cut", "no-last-chunk")
"""Those that end with the connection; it stays open after all others, for whoever comes next."""


def serve_badly(connection):
    """Answers each path, on a connection that it keeps open, with the bytes of that name."""
    while request := connection.recv(65536):
        name = request.split()[1].decode().strip("/")
        said = ANSWERS.get(name, FINE)
        if said == RESET:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return
        connection.sendall(said)
        if name.startswith(ENDING):
            return


@pytest.fixture(scope="module")
def service():
    app = wire.Listener(serve_badly)
    settings = Settings(port=0, state_dir="none", quiet=True)
    service = Service(settings, lambda address: upstream_backend(app.url, address, LONG_ENOUGH))
    service.start()
    yield service
    service.stop()
    app.close()


def ask(service, name, method=b"GET"):
    """The head and the body of the answer, as they came."""
    request = b"%s /%s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n" % (method, name.encode())
    head, _, body = wire.ask(service.port, request).partition(b"\r\n\r\n")
    return head.decode("latin-1"), body


def check_the_next_one(service):
    """Who asks after that gets the answer to their own question."""
    head, body = ask(service, "fine")
    assert (head.split()[1], body) == ("200", b"OK")


@pytest.mark.parametrize(("name", "said", "status", "body", "field"), SERVED, ids=[case[0] for case in SERVED])
def test_what_can_be_understood_is_passed_on(name, said, status, body, field, service):
    head, got = ask(service, name)
    assert (int(head.split()[1]), got) == (status, body)
    lines = head.split("\r\n")
    if field.startswith("!"):
        assert not [line for line in lines if line.lower().startswith(field[1:].lower() + ":")]
    else:
        assert any(field in line for line in lines)
    assert not [line for line in lines if line.startswith("Set-Cookie")]
    check_the_next_one(service)


@pytest.mark.parametrize(("name", "said", "text"), REFUSED, ids=[case[0] for case in REFUSED])
def test_what_cannot_is_a_bad_gateway_that_says_why(name, said, text, service):
    head, body = ask(service, name)
    assert head.startswith("HTTP/1.1 502 Bad Gateway")
    assert re.search(r"^The app at http://127.0.0.1:\d+ (.*)$", body.decode(), re.MULTILINE)
    assert text in body.decode()
    assert "Set-Cookie" not in head
    check_the_next_one(service)


@pytest.mark.parametrize(("name", "said"), TOO_LARGE, ids=[case[0] for case in TOO_LARGE])
def test_what_is_too_large_is_said_to_be(name, said, service):
    head, body = ask(service, name)
    assert head.startswith("HTTP/1.1 500 ")
    assert b"larger than 32 MiB" in body
    check_the_next_one(service)


@pytest.mark.parametrize(
    ("name", "status", "length"),
    [
        ("fine", 200, "Content-Length: 2"),
        ("until-close", 200, None),
        ("chunks", 200, None),
        ("304-with-a-length", 304, None),
        ("two-lengths", 502, ""),
        ("negative-length", 502, ""),
    ],
)
def test_head_is_answered_without_a_body(name, status, length, service):
    """The length is the app's own, if it gave one."""
    head, body = ask(service, name, b"HEAD")
    assert (int(head.split()[1]), body) == (status, b"")
    assert ("Content-Length" in head) == (length is not None)
    assert (length or "") in head
    assert "Transfer-Encoding" not in head
    check_the_next_one(service)
