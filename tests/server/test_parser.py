"""Heads that are not read twice: what a repeated one says is what reading it again would say."""

from __future__ import annotations

import pytest
from waitress.adjustments import Adjustments

from appengine_channel_emu.server.parser import LONGEST_REPEATED, RequestParser

POLL = (
    b"GET /_ah/channel/poll?socket=a%20b&after=0&wait=25 HTTP/1.1\r\nHost: localhost:8080\r\n"
    b"Cookie: a=1\r\nCookie: b=2\r\nConnection: keep-alive\r\n\r\n"
)
KEPT_APART = {"before", "adj", "_head"}
"""What is not read from a head."""


def read(data: bytes, before: RequestParser | None = None) -> RequestParser:
    parser = RequestParser(Adjustments())
    parser.before = before
    while data:
        data = data[parser.received(data) :]
    assert parser.completed
    return parser


@pytest.mark.parametrize(
    "head",
    [
        POLL,
        b"GET /a HTTP/1.0\r\n\r\n",
        b"GET /a HTTP/1.1\r\nConnection: close\r\n\r\n",
        b"HEAD http://localhost/%E2?x#y HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"POST /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n",
        b"GET /a HTTP/1.1\r\nX: " + b"x" * LONGEST_REPEATED + b"\r\n\r\n",
        b"GET /a HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n\r\n",
    ],
)
def test_a_repeated_head_says_what_it_said_at_first(head):
    once = read(head)
    again = read(head, read(head, once))
    for name in (vars(once) | vars(again)).keys() - KEPT_APART:
        assert repr(getattr(again, name)) == repr(getattr(once, name)), name


def test_a_poll_is_read_once(monkeypatch):
    once = read(POLL)
    monkeypatch.setattr("waitress.parser.crack_first_line", None)
    assert read(POLL, once).query == "socket=a%20b&after=0&wait=25"


def test_headers_are_each_requests_own():
    once = read(POLL)
    again = read(POLL, once)
    again.headers["CONNECTION"] = "close"
    assert once.headers["CONNECTION"] == "keep-alive"


@pytest.mark.parametrize("before", [POLL, POLL.replace(b"a%20b", b"c"), b"GET / HTTP/1.1\r\nHost: evil\r\n\r\n"])
def test_a_body_is_read_each_time(before):
    head = b"POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\n"
    first = read(head + b"abcd", read(before))
    second = read(head + b"efgh", first)
    assert (first.get_body_stream().read(), second.get_body_stream().read()) == (b"abcd", b"efgh")


@pytest.mark.parametrize("head", [b"GET /a HTTP/1.1\r\nbroken\r\n\r\n", b"GET /a HTTP/2.0\r\n\r\n"])
def test_what_is_wrong_is_wrong_again(head):
    once = read(head)
    assert read(head, once).error.body == once.error.body


def test_former_requests_are_let_go_of():
    parser = read(POLL, read(POLL, read(POLL)))
    assert parser.before is None
