"""Every fault happens as docs/testing.md says: at each stage each action, as a client sees it over HTTP."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import urllib3

from appengine_channel_emu.faults import ACTIONS, STAGES
from appengine_channel_emu.testing import ChannelServer
from appengine_channel_emu.web.api.messages import CreateChannelRequest, Request, SendMessageRequest
from tests.support.waiting import LONG_ENOUGH

SECONDS = 0.3
http = urllib3.PoolManager(retries=False, timeout=LONG_ENOUGH)


class Wire:
    """The server as requests reach it, with a socket of anna's that has one message to fetch."""

    def __init__(self, server: ChannelServer) -> None:
        self.server = server
        self.broker = server._running.broker
        self.token = server.create_channel("anna")
        self.socket = self.broker.open(self.token).socket
        self.broker.send_message("anna", "first")

    def get(self, path, **query):
        return http.request("GET", self.server.url + path, fields=query)

    def post(self, path, **body):
        return http.request("POST", self.server.url + path, json=body)

    def call(self, url, method, request):
        call = Request(service_name=b"channel", method=method, request=request.SerializeToString())
        return http.request(
            "POST", url, body=call.SerializeToString(), headers={"Content-Type": "application/octet-stream"}
        )

    def call_create(self, url=None):
        request = CreateChannelRequest(application_key=b"bert")
        return self.call(url or f"{self.server.url}/rpc_http", b"CreateChannel", request)

    def call_send(self):
        request = SendMessageRequest(application_key=b"anna", message=b"x")
        return self.call(f"{self.server.url}/rpc_http", b"SendChannelMessage", request)

    def tokens(self):
        channel = self.broker.control.channel("bert")
        return channel.tokens if channel else 0

    def sent(self):
        return sum(sent.delivered_to > 0 for sent in self.broker.journal.after(0, "anna")) - 1

    def fetched(self):
        return 1 - self.broker.control.channel("anna").sockets_shown[0].unread

    def sockets(self):
        return self.broker.control.channel("anna").sockets - 1


@dataclass
class Way:
    """One way in which a request reaches a stage: how to make it, how often it was done, and how it is refused."""

    stage: str
    request: Callable[[Wire], urllib3.BaseHTTPResponse]
    done: Callable[[Wire], int]
    error: str
    status: int
    says: bytes


TIMED_OUT = ("Token+timed+out.", 401, b"Token+timed+out.")
WAYS = {
    "create by JSON": Way(
        "create",
        lambda wire: wire.post("/_emu/channels", client_id="bert"),
        Wire.tokens,
        "INTERNAL_ERROR",
        400,
        b'"code": 1, "name": "INTERNAL_ERROR"',
    ),
    "create by RPC": Way("create", Wire.call_create, Wire.tokens, "BAD_MESSAGE", 200, b"BAD_MESSAGE"),
    "send by JSON": Way(
        "send",
        lambda wire: wire.post("/_emu/messages", client_id="anna", message="x"),
        Wire.sent,
        "APPID_ALIAS_REQUIRED",
        400,
        b'"code": 5, "name": "APPID_ALIAS_REQUIRED"',
    ),
    "send by RPC": Way("send", Wire.call_send, Wire.sent, "INTERNAL_ERROR", 200, b"INTERNAL_ERROR"),
    "open": Way(
        "open",
        lambda wire: wire.get("/_ah/channel/open", channel=wire.token),
        Wire.sockets,
        "Invalid+token.",
        401,
        b"Invalid+token.",
    ),
    "open with 503": Way(
        "open",
        lambda wire: wire.get("/_ah/channel/open", channel=wire.token),
        Wire.sockets,
        "503",
        503,
        b"fault on request",
    ),
    "open on the old wire": Way(
        "open",
        lambda wire: wire.get("/_ah/channel/dev", command="connect", channel=wire.token),
        Wire.sockets,
        *TIMED_OUT,
    ),
    "poll": Way(
        "poll",
        lambda wire: wire.get("/_ah/channel/poll", socket=wire.socket, after=1, wait=0),
        Wire.fetched,
        *TIMED_OUT,
    ),
    "poll with 500": Way(
        "poll",
        lambda wire: wire.get("/_ah/channel/poll", socket=wire.socket, after=1, wait=0),
        Wire.fetched,
        "500",
        500,
        b"fault on request",
    ),
    "rpc": Way("rpc", Wire.call_create, Wire.tokens, "502", 502, b"fault on request"),
    "rpc at the API port": Way(
        "rpc",
        lambda wire: wire.call_create(f"http://{wire.server._running.api_address}/"),
        Wire.tokens,
        "500",
        500,
        b"fault on request",
    ),
    "app": Way("app", lambda wire: wire.get("/page"), lambda wire: wire.told.count("/page"), "503", 503, b"fault"),
}


@pytest.fixture
def wire(server, told):
    wire = Wire(server)
    wire.told = told
    return wire


@pytest.fixture(params=WAYS.values(), ids=WAYS)
def way(request):
    return request.param


def ask_with_fault(wire, way, fault):
    wire.server.faults.add(f"{way.stage} {fault} count=1")
    return way.request(wire)


def test_every_stage_is_here():
    """Presence, which is no request to the emulator, is in test_survival.py, and stream in tests/web/test_stream.py."""
    assert {way.stage for way in WAYS.values()} == set(STAGES) - {"presence", "stream"}
    assert set(ACTIONS) == {"delay", "error", "drop", "cut", "duplicate"}


def test_delay(wire, way, happened):
    started = time.monotonic()
    answer = ask_with_fault(wire, way, f"delay seconds={SECONDS}")
    assert time.monotonic() - started >= SECONDS
    assert (answer.status, way.done(wire)) == (200, 1)
    assert happened(wire.broker) == [f"{way.stage} delay"]


def test_error(wire, way, happened):
    answer = ask_with_fault(wire, way, f"error error={way.error}")
    assert answer.status == way.status
    assert way.says in answer.data
    if way.status == 401:
        assert answer.reason == way.error
    assert way.done(wire) == 0
    assert happened(wire.broker) == [f"{way.stage} error"]
    assert (way.request(wire).status, way.done(wire)) == (200, 1)


def test_drop(wire, way, happened):
    if way.stage == "send":
        answer = ask_with_fault(wire, way, "drop")
        assert answer.status == 200
        if answer.data.startswith(b"{"):
            assert json.loads(answer.data) == {"delivered_to": 0, "reason": "A fault on request (send drop)."}
    else:
        with pytest.raises(urllib3.exceptions.ProtocolError):
            ask_with_fault(wire, way, "drop")
    assert way.done(wire) == 0
    assert happened(wire.broker) == [f"{way.stage} drop"]
    assert (way.request(wire).status, way.done(wire)) == (200, 1)


def test_cut(wire, way, happened):
    with pytest.raises(urllib3.exceptions.ProtocolError):
        ask_with_fault(wire, way, "cut")
    assert way.done(wire) == 1
    assert happened(wire.broker) == [f"{way.stage} cut"]


def test_duplicate(wire, way, happened):
    assert ask_with_fault(wire, way, "duplicate").status == 200
    # On the old wire all pages of a token share one socket; a poll that is done twice fetches nothing twice.
    once = way.stage == "poll" or way is WAYS["open on the old wire"]
    assert way.done(wire) == (1 if once else 2)
    assert happened(wire.broker) == [f"{way.stage} duplicate"]


def test_the_answer_to_a_poll_arrives_twice(wire):
    wire.server.faults.add("poll duplicate count=1")
    query = {"socket": wire.socket, "wait": 0}
    answers = [wire.get("/_ah/channel/poll", after=after, **query).json() for after in (0, 1, 1)]
    assert answers[0] == answers[1] == {"messages": ["first"], "next": 1}
    assert answers[2] == {"messages": [], "next": 1}


def test_and_to_nobody_else(wire):
    """Also on the old wire, where polls name a token."""
    other = wire.server.create_channel("bert")
    for token in (wire.token, other):
        wire.get("/_ah/channel/dev", command="connect", channel=token)
    wire.server.send_message("anna", "for anna")
    wire.server.faults.add("poll duplicate client_id=anna count=1")
    texts = [
        wire.get("/_ah/channel/dev", command="poll", channel=token).data for token in (wire.token, other, wire.token)
    ]
    assert texts == [b"for anna", b"", b"for anna"]


def test_remote_api_is_rpc_too(wire):
    wire.server.faults.add("rpc error error=502 count=1")
    assert wire.call_create(f"{wire.server.url}/_ah/remote_api").status == 502
