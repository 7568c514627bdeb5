"""The SDK's own wire, as its script and the native clients read it (facts.md 4.1)."""

from __future__ import annotations

import pytest


def dev(http, **params):
    return http.get("/_ah/channel/dev", params, expect_errors=True)


@pytest.fixture
def token(emulator):
    return emulator.create_channel("bob")


def test_connect_answers_1(http, token):
    answer = dev(http, command="connect", channel=token)
    assert (answer.status_int, answer.body, answer.content_type) == (200, b"1", "text/plain")
    assert answer.headers["Content-Length"] == "1"
    assert answer.headers["Cache-Control"] == "no-cache"


def test_a_poll_brings_one_message(http, emulator, token):
    dev(http, command="connect", channel=token)
    emulator.send_message("bob", "füür\n")
    emulator.send_message("bob", "two")
    answer = dev(http, command="poll", channel=token)
    assert answer.body == "füür\n".encode()
    assert (answer.content_type, answer.charset) == ("application/json", "utf-8")
    assert answer.headers["Content-Length"] == "7"
    assert dev(http, command="poll", channel=token).body == b"two"


def test_a_poll_that_brings_nothing_is_an_empty_200(http, token):
    answer = dev(http, command="poll", channel=token, client="1")
    assert (answer.status, answer.body) == ("200 OK", b"")
    assert answer.headers["Content-Length"] == "0"
    assert "Content-Type" not in answer.headers


def test_a_poll_connects(http, emulator, token):
    dev(http, command="poll", channel=token)
    assert emulator.send_message("bob", "x").delivered_to == 1


def test_disconnect_disconnects(http, emulator, token):
    dev(http, command="connect", channel=token)
    assert dev(http, channel=token, command="disconnect").status_int == 200
    assert emulator.send_message("bob", "x").delivered_to == 0


def test_connecting_again_keeps_the_queue(http, emulator, token):
    dev(http, command="connect", channel=token)
    emulator.send_message("bob", "x")
    emulator.advance(50)
    dev(http, command="connect", channel=token)
    assert dev(http, command="poll", channel=token).body == b"x"


def test_pages_that_share_a_token_share_its_messages_and_other_tokens_have_their_own(http, emulator, token):
    other = emulator.create_channel("bob")
    dev(http, command="connect", channel=token)
    dev(http, command="connect", channel=token)
    dev(http, command="connect", channel=other)
    assert emulator.send_message("bob", "x").delivered_to == 2


@pytest.mark.parametrize("command", ["connect", "poll", "disconnect"])
class TestTokens:
    def test_a_bad_one(self, http, command):
        for bad in ("x", "", "a&b c+d-e"):
            assert dev(http, command=command, channel=bad).status == "401 Invalid+token."

    def test_one_that_timed_out(self, http, emulator, token, command):
        dev(http, command="connect", channel=token)
        emulator.advance(7200)
        assert dev(http, command=command, channel=token).status == "401 Token+timed+out."


def test_bad_requests(http, token):
    for params in ({}, {"command": "poll"}, {"channel": token}, {"command": "dance", "channel": token}):
        assert dev(http, **params).status_int == 400
    post = http.post("/_ah/channel/dev", expect_errors=True)
    assert (post.status_int, post.headers["Allow"]) == (405, "GET, OPTIONS")


def test_a_slow_poller_never_flaps_once_its_pace_is_known():
    from webtest import TestApp

    from appengine_channel_emu.testing import Emulator

    told = []

    def app(environ, start_response):
        told.append(environ["PATH_INFO"].split("/")[3])
        start_response("200 OK", [("Content-Type", "text/plain")])
        return []

    emulator = Emulator(app)
    http = TestApp(emulator)
    token = emulator.create_channel("bob")
    dev(http, command="connect", channel=token)
    for _ in range(3):
        emulator.advance(3)
        dev(http, command="poll", channel=token)
    told.clear()
    for _ in range(50):
        emulator.advance(8)
        dev(http, command="poll", channel=token)
    assert told == []
    emulator.advance(100)
    assert told == ["disconnected"]
