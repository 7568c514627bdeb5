"""What is refused is said, with the cure, in a measure that no attack exceeds (behaviour.md 11)."""

from __future__ import annotations

import pytest
from webtest import TestApp

from appengine_channel_emu.broker.broker import EmbeddedBroker
from appengine_channel_emu.broker.clock import ManualClock
from appengine_channel_emu.broker.contract import BrokerOptions
from appengine_channel_emu.testing import Emulator
from appengine_channel_emu.web.api.messages import CreateChannelRequest, Request, SendMessageRequest
from appengine_channel_emu.web.front import Front
from appengine_channel_emu.web.guard import WebOptions
from tests.support.backend import PlayedBackend

OPEN = "/_ah/channel/open"


def refused(emulator):
    return [event for event in emulator.broker.events.after(0) if event.kind.endswith("_refused")]


def the_only(emulator):
    (event,) = refused(emulator)
    return event


@pytest.mark.parametrize(
    ("ask", "rule", "status", "cure"),
    [
        (lambda http: http.get("/x", headers={"Host": "evil.example"}, status=421), "host", 421, "--allow-host"),
        (
            lambda http: http.get("/_emu/events", extra_environ={"REMOTE_ADDR": "192.168.1.7"}, status=403),
            "admin-peer",
            403,
            "--allow-remote-admin",
        ),
        (
            lambda http: http.post("/_emu/reset", headers={"Origin": "http://evil.example"}, status=403),
            "site",
            403,
            "http://evil.example",
        ),
        (
            lambda http: http.post("/_ah/channel/connected/", {"from": "anna"}, status=403),
            "presence",
            403,
            "--presence-from-visitors",
        ),
        (lambda http: http.post("/_emu/messages", "{}", status=415), "content-type", 415, "application/json"),
        (lambda http: http.post("/rpc_http", "x", status=415), "content-type", 415, "application/octet-stream"),
    ],
)
def test_each_rule_of_the_guard_says_what_to_do(http, emulator, ask, rule, status, cure):
    ask(http)
    event = the_only(emulator)
    assert event.kind == "request_refused"
    assert cure in event.text
    assert (event.detail["rule"], event.detail["status"], event.detail["before"]) == (rule, status, 0)
    assert emulator.broker.figures.refused[rule] == 1


def test_a_request_without_a_host_is_not_told_to_allow_one(http, emulator):
    request = http.RequestClass.blank("/", environ={"SERVER_PROTOCOL": "HTTP/1.1"})
    del request.environ["HTTP_HOST"]
    http.do_request(request, status=400)
    assert the_only(emulator).text.endswith("was refused with 400: it has no Host header.")


def test_a_link_on_another_sites_page_has_no_origin(http, emulator):
    http.get("/_emu/", headers={"Sec-Fetch-Site": "cross-site"}, status=403)
    assert "403: a page of another site asked for it, or has a link to it, and" in the_only(emulator).text


@pytest.mark.parametrize(
    ("token", "says"),
    [
        ("undefined", 'came with the text "undefined" instead of a token'),
        ("null", 'came with the text "null" instead of a token'),
        ("", 'came with the text "" instead of a token'),
        ("anna", "this is a client id. It needs the token that create_channel returned"),
        pytest.param(
            Emulator().create_channel("anna"),
            "this token is not of this emulator: it is another app's, another emulator's, or of one whose state was "
            "not kept",
            id="another-emulators",
        ),
    ],
)
def test_a_token_that_opens_nothing(http, emulator, token, says):
    emulator.create_channel("anna")
    http.get(OPEN, {"channel": token}, status=401)
    event = the_only(emulator)
    assert (event.kind, event.detail["token"], event.detail["why"]) == ("open_refused", token[:8], "unknown")
    assert says in event.text
    if len(token) > 9:
        assert token[:9] not in f"{event}"


@pytest.mark.parametrize("path", ["open", "dev?command=connect", "dev?command=poll"])
def test_an_expired_token_names_whose_it_was(http, emulator, path):
    token = emulator.create_channel("anna", 1)
    emulator.advance(61)
    http.get(f"/_ah/channel/{path}", {"channel": token}, status=401)
    event = the_only(emulator)
    assert (event.client_id, event.detail["why"]) == ("anna", "expired")
    assert "has timed out" in event.text
    assert token not in f"{event}"


def test_too_many_sockets():
    broker = EmbeddedBroker(ManualClock(), BrokerOptions(max_sockets=1))
    http = TestApp(Front(broker, PlayedBackend(), WebOptions()))
    token = broker.create_channel("anna").token
    http.get(OPEN, {"channel": token})
    http.get(OPEN, {"channel": token}, status=429)
    event = broker.events.after(0)[-1]
    assert (event.kind, event.client_id, event.detail["why"]) == ("open_refused", "anna", "too_many_sockets")
    assert "--max-sockets" in event.text


def test_a_socket_of_before_the_start(http, emulator):
    http.get("/_ah/channel/poll", {"socket": "of-another-emulator", "after": 0}, status=410)
    event = the_only(emulator)
    assert event.detail["why"] == "unknown_socket"
    assert "--state-dir" in event.text


def test_a_poll_behind_a_close_is_no_refusal(http, emulator):
    socket = http.get(OPEN, {"channel": emulator.create_channel("anna")}).json["socket"]
    http.post(f"/_ah/channel/close?socket={socket}")
    http.get("/_ah/channel/poll", {"socket": socket, "after": 0}, status=410)
    assert refused(emulator) == []


def rpc(method, request):
    call = Request(service_name=b"channel", method=method, request=request.SerializeToString())
    return call.SerializeToString(), {"Content-Type": "application/octet-stream"}


@pytest.mark.parametrize(
    ("ask", "call", "error", "says"),
    [
        (
            lambda http: http.post_json("/_emu/channels", {"client_id": ""}, status=400),
            "create_channel",
            "INVALID_CHANNEL_KEY",
            "1 to 256 bytes",
        ),
        (
            lambda http: http.post_json("/_emu/channels", {"client_id": "a", "duration_minutes": 2000}, status=400),
            "create_channel",
            "INVALID_CHANNEL_TOKEN_DURATION",
            "1 to 1440 minutes",
        ),
        (
            lambda http: http.post_json("/_emu/messages", {"client_id": "a", "message": "x" * 32768}, status=400),
            "send_message",
            "BAD_MESSAGE",
            "this one has 32768",
        ),
        (
            lambda http: http.post("/rpc_http", *rpc(b"CreateChannel", CreateChannelRequest(application_key=b"\xff"))),
            "create_channel",
            "INVALID_CHANNEL_KEY",
            "not UTF-8",
        ),
        (
            lambda http: http.post(
                "/rpc_http", *rpc(b"SendChannelMessage", SendMessageRequest(application_key=b"a", message=b""))
            ),
            "send_message",
            "BAD_MESSAGE",
            "this one has 0",
        ),
    ],
)
def test_a_call_over_a_limit(http, emulator, ask, call, error, says):
    ask(http)
    event = the_only(emulator)
    assert (event.kind, event.detail["call"], event.detail["error"]) == ("call_refused", call, error)
    assert says in event.text
    assert "xxxx" not in f"{event}"


def test_a_fault_on_request_is_no_refusal(http, emulator):
    emulator.faults.add("create error count=1")
    http.post_json("/_emu/channels", {"client_id": "a"}, status=400)
    assert refused(emulator) == []


class TestMeasure:
    def test_one_a_minute_for_each_rule_and_peer_and_the_rest_is_counted(self, http, emulator):
        for number in range(50):
            http.get(f"/path-{number}", headers={"Host": "evil.example"}, status=421)
        assert the_only(emulator).detail["path"] == "/path-0"
        http.get("/x", headers={"Host": "evil.example"}, extra_environ={"REMOTE_ADDR": "::1"}, status=421)
        assert len(refused(emulator)) == 2
        emulator.advance(60)
        http.get("/later", headers={"Host": "evil.example"}, status=421)
        event = refused(emulator)[-1]
        assert (event.detail["path"], event.detail["before"]) == ("/later", 49)
        assert "not shown: 49" in event.text
        assert emulator.broker.figures.refused["host"] == 52

    def test_sixty_a_minute_in_all_whatever_an_attacker_varies(self, http, emulator):
        for number in range(500):
            http.get(OPEN, {"channel": f"{number:08d}"}, status=401)
        assert len(refused(emulator)) == 60
        emulator.advance(60)
        http.get(OPEN, {"channel": "another"}, status=401)
        assert refused(emulator)[-1].detail["before"] == 440

    def test_polls_behind_a_close_take_no_place_of_refusals(self, http, emulator):
        token = emulator.create_channel("anna")
        for number in range(70):
            http.get(OPEN, {"channel": f"{number:08d}"}, status=401)
        emulator.advance(60)
        for _ in range(60):
            socket = http.get(OPEN, {"channel": token}).json["socket"]
            http.post(f"/_ah/channel/close?socket={socket}")
            http.get("/_ah/channel/poll", {"socket": socket, "after": 0}, status=410)
        http.get("/x", headers={"Host": "evil.example"}, status=421)
        event = refused(emulator)[-1]
        assert (event.kind, event.detail["before"]) == ("request_refused", 10)

    def test_no_more_than_a_tenth_of_the_event_log_and_little_memory(self):
        clock = ManualClock()
        broker = EmbeddedBroker(clock, BrokerOptions(event_log=200))
        front = Front(broker, PlayedBackend(), WebOptions())
        http = TestApp(front)
        broker.create_channel("what else has happened")
        for number in range(1000):
            http.get(OPEN, {"channel": f"{number:08d}"}, status=401)
            clock.advance(5)
        kinds = [event.kind for event in broker.events.after(0)]
        assert kinds.count("open_refused") == 20
        assert "token_created" in kinds
        assert len(front._refusals._known) <= 256
        for number in range(200):
            broker.create_channel(f"client-{number}")
        http.get(OPEN, {"channel": "seen again"}, status=401)
        assert broker.events.after(0)[-1].kind == "open_refused"

    def test_after_a_reset_it_begins_anew(self, http, emulator):
        http.get("/x", headers={"Host": "evil.example"}, status=421)
        http.post_json("/_emu/reset", {})
        http.get("/x", headers={"Host": "evil.example"}, status=421)
        assert the_only(emulator).detail["before"] == 0

    def test_long_and_strange_texts_are_cut_and_escaped(self, http, emulator):
        http.get("/" + "x" * 5000, headers={"Host": "evil.example" * 40}, status=421)
        http.get(
            "/a%0Ab%1B", headers={"Origin": "http://x", "Host": "b"}, status=421, extra_environ={"REMOTE_ADDR": "9"}
        )
        first, second = refused(emulator)
        assert len(first.text) < 600
        assert second.detail["path"] == "/a\\nb\\x1b"
