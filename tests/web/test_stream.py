"""The stream of our own client: the handshake, and what goes over it, with a server that is played by the test."""

from __future__ import annotations

import json

import pytest
from webob import Request

from appengine_channel_emu.broker.broker import EmbeddedBroker
from appengine_channel_emu.broker.clock import ManualClock
from appengine_channel_emu.broker.turn import ClockScheduler
from appengine_channel_emu.host.visitors import SERVER_HINTS, ServerHints
from appengine_channel_emu.web.front import Front, NoApp
from appengine_channel_emu.web.guard import WebOptions
from appengine_channel_emu.web.upgrade import Closing, FrameCut, Upgrade, Upgraded
from appengine_channel_emu.web.waiting import Waiting
from appengine_channel_emu.web.wsgi import ConnectionCut, close

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
HANDSHAKE = {
    "Host": "localhost:8080",
    "User-Agent": "Chromium",
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": KEY,
}
EMPTY = {"messages": [], "next": 0}


class Answered(Exception):
    """A request was answered, and its connection is none of a stream."""

    def __init__(self, status, headers, body):
        super().__init__(status)
        self.status, self.text = status, b"".join(body).decode()
        self.headers = {name.lower(): value for name, value in headers}


class Connection:
    """A page's connection, once it is a WebSocket: what a server of ours does for it."""

    def __init__(self, upgrade):
        self.headers = upgrade.headers
        self.page = upgrade.page
        self.frames = []
        self.end = None
        """What ended it: a `Closing`, or a `ConnectionCut`."""
        self.woken = 0
        self.page.opened(self.wake)
        self.send()

    def wake(self):
        self.woken += 1

    def send(self):
        """What the server does once it was woken."""
        self.woken = 0
        try:
            for text in self.page.outgoing():
                self.frames.append(json.loads(text))
        except (Closing, ConnectionCut) as end:
            self.end = end
            self.page.left()

    def new(self):
        """The frames since the last time."""
        if self.woken:
            self.send()
        frames, self.frames = self.frames, []
        return frames


class World:
    """An emulator without a server."""

    def __init__(self):
        self.clock = ManualClock()
        self.broker = EmbeddedBroker(self.clock)
        self.front = Front(self.broker, NoApp(), WebOptions(), ClockScheduler(self.broker._turn))
        self.token = self.broker.create_channel("ann").token
        self.socket = self.broker.open(self.token).socket

    def ask(self, path, headers, upgrades=True, protocol="HTTP/1.1", method="GET"):
        """The answer's body as the application gives it; raises `Answered` if there is one already."""
        environ = Request.blank(path, method=method).environ
        environ["SERVER_PROTOCOL"] = protocol
        del environ["HTTP_HOST"]
        for name, value in headers.items():
            environ["HTTP_" + name.upper().replace("-", "_")] = value
        environ[SERVER_HINTS] = ServerHints(upgrades=upgrades)
        started = []
        body = self.front(environ, lambda status, headers: started.extend((status, headers)))
        if not started:
            return body
        raise Answered(*started, body)

    def stream(self, after=0, socket=None, headers=HANDSHAKE, **more):
        """A stream of the socket, which is open."""
        path = f"/_ah/channel/stream?socket={socket or self.socket}&after={after}"
        return Connection(self.ask(path, headers, **more))

    def refusal(self, path=None, **more):
        """How the request for a stream is refused."""
        with pytest.raises(Answered) as answered:
            self.ask(path or f"/_ah/channel/stream?socket={self.socket}&after=0", **{"headers": HANDSHAKE, **more})
        return answered.value

    def send(self, *texts):
        for text in texts:
            self.broker.send_message("ann", text)

    def open(self, **more):
        waiting = self.ask(f"/_ah/channel/open?channel={self.token}", HANDSHAKE, **more)
        return json.loads(waiting.at_once().body)

    def transport(self):
        return self.broker.control.channel("ann").sockets_shown[0].transport

    def fault(self, text):
        self.broker.faults.add(f"{text} count=1")


@pytest.fixture
def world():
    return World()


def without(name):
    return {each: value for each, value in HANDSHAKE.items() if each != name}


class TestHandshake:
    def test_it_is_answered_as_the_protocol_says(self, world):
        stream = world.stream()
        assert dict(stream.headers) == {
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Accept": "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
        }
        assert stream.new() == [EMPTY]

    @pytest.mark.parametrize(
        "change",
        [
            {"Connection": "keep-alive, Upgrade"},
            {"Upgrade": "WebSocket"},
            {"Origin": "https://example.com"},
            {"Sec-WebSocket-Extensions": "permessage-deflate", "Sec-WebSocket-Protocol": "chat"},
        ],
        ids=str,
    )
    def test_what_browsers_and_other_sites_send_is_taken_and_no_extension_or_protocol_accepted(self, world, change):
        stream = world.stream(headers=HANDSHAKE | change)
        assert not {"Sec-WebSocket-Extensions", "Sec-WebSocket-Protocol"} & dict(stream.headers).keys()

    @pytest.mark.parametrize(
        ("asked", "says"),
        [
            ({"headers": without("Upgrade")}, "Upgrade: websocket"),
            ({"headers": HANDSHAKE | {"Upgrade": "h2c"}}, "Upgrade: websocket"),
            ({"headers": without("Connection")}, "Connection: Upgrade"),
            ({"headers": HANDSHAKE | {"Connection": "keep-alive"}}, "Connection: Upgrade"),
            ({"protocol": "HTTP/1.0"}, "HTTP/1.1"),
            ({"headers": without("Sec-WebSocket-Version")}, "is 13"),
            ({"headers": HANDSHAKE | {"Sec-WebSocket-Version": "7"}}, "is 13"),
            ({"headers": HANDSHAKE | {"Sec-WebSocket-Version": "13, 8"}}, "is 13"),
            ({"upgrades": False}, "GET /_ah/channel/poll"),
        ],
    )
    def test_no_upgrade(self, world, asked, says):
        refusal = world.refusal(**asked)
        assert refusal.status == "426 Upgrade Required"
        assert refusal.headers["sec-websocket-version"] == "13"
        assert says in refusal.text
        assert world.transport() is None

    @pytest.mark.parametrize("key", [None, "", "c2hvcnQ=", "not base64 at all, not!!", KEY[:-1], "é" * 24])
    def test_a_bad_key(self, world, key):
        headers = without("Sec-WebSocket-Key") if key is None else HANDSHAKE | {"Sec-WebSocket-Key": key}
        refusal = world.refusal(headers=headers)
        assert refusal.status == "400 Bad Request"
        assert "16 bytes in base64" in refusal.text

    @pytest.mark.parametrize(
        ("query", "status", "says"),
        [
            ("after=0", "400 Bad Request", "'socket' is missing"),
            ("socket={}", "400 Bad Request", "'after' is missing"),
            ("socket={}&after=x", "400 Bad Request", "'after' is a whole number"),
            ("socket={}&after=0&after=1", "400 Bad Request", "more than once"),
            ("socket=nobody&after=0", "410 Socket+gone.", "Socket+gone."),
            ("socket={}&after=1", "410 Socket+gone.", "Socket+gone."),
        ],
    )
    def test_a_bad_query(self, world, query, status, says):
        refusal = world.refusal("/_ah/channel/stream?" + query.format(world.socket))
        assert (refusal.status, says in refusal.text) == (status, True)

    def test_a_token_that_has_timed_out(self, world):
        world.broker.control.travel(7200)
        assert world.refusal().status == "401 Token+timed+out."

    def test_head_and_post(self, world):
        for method in ("HEAD", "POST"):
            refusal = world.refusal(method=method)
            assert refusal.status == "405 Method Not Allowed"
            assert refusal.headers["allow"] == "GET, OPTIONS"

    def test_a_name_that_is_not_ours_is_refused_first(self, world):
        assert world.refusal(headers={"Host": "evil.example"}).status == "421 Misdirected Request"

    def test_a_client_that_vanishes_before_the_upgrade_leaves_nothing(self, world):
        body = world.ask(f"/_ah/channel/stream?socket={world.socket}&after=0", HANDSHAKE)
        assert world.transport() == "stream"
        close(body)
        assert world.transport() is None

    def test_a_server_that_does_not_know_what_it_is_answers_426(self, world):
        body = world.ask(f"/_ah/channel/stream?socket={world.socket}&after=0", HANDSHAKE)
        started = []
        body.begin(lambda *start: started.append(start))
        assert b"WebSocket" in b"".join(body)
        assert started[0][0] == "426 Upgrade Required"
        assert world.transport() is None

    def test_open_says_whether_there_are_streams(self, world):
        assert world.open()["stream"] is True
        assert "stream" not in world.open(upgrades=False)


class TestMessages:
    def test_they_come_as_a_polls_answer_has_them(self, world):
        world.send("one")
        stream = world.stream()
        assert stream.new() == [{"messages": ["one"], "next": 1}]
        world.send("two", "drei €")
        assert stream.new() == [{"messages": ["two", "drei €"], "next": 3}]
        assert stream.new() == []

    def test_from_the_number_that_the_page_has(self, world):
        world.send("one", "two")
        assert world.stream(after=1).new() == [{"messages": ["two"], "next": 2}]

    def test_what_was_not_acknowledged_comes_again(self, world):
        world.send("one", "two")
        stream = world.stream()
        stream.page.received("1")
        stream.page.left()
        assert world.stream(after=1).new() == [{"messages": ["two"], "next": 2}]

    def test_numbers_that_go_back_mean_nothing(self, world):
        world.send("one", "two")
        stream = world.stream()
        for number in ("2", "1", "0", "2"):
            stream.page.received(number)
        assert stream.end is None
        assert world.broker.control.channel("ann").sockets_shown[0].unread == 0

    def test_a_number_that_was_never_sent(self, world):
        stream = world.stream()
        stream.new()
        stream.page.received("1")
        assert stream.new() == [{"error": 410, "reason": "Socket+gone."}]
        assert stream.end.code == 1000

    def test_a_server_may_send_at_once_when_it_is_woken(self, world):
        """As ours does on its loop's thread."""
        stream = world.stream()
        stream.page.opened(stream.send)
        world.send("one", "two")
        stream.page.received("1")
        assert [frame["messages"] for frame in stream.frames] == [[], ["one"], ["two"]]
        stream.page.received("3")
        assert stream.frames[-1] == {"error": 410, "reason": "Socket+gone."}
        assert stream.end.code == 1000
        assert world.transport() is None

    @pytest.mark.parametrize("text", ["", "x", "-1", "1.0", " 1", "1\n", "٣", "1" * 17])
    def test_what_is_no_number(self, world, text):
        with pytest.raises(Closing) as closing:
            world.stream().page.received(text)
        assert closing.value.code == 1008
        assert len(closing.value.reason.encode()) <= 123

    def test_a_heartbeat_says_what_was_sent(self, world):
        world.send("one")
        assert json.loads(world.stream().page.heartbeat()) == {"messages": [], "next": 1}

    def test_a_connection_that_has_ended_is_asked_for_nothing(self, world):
        stream = world.stream()
        stream.page.left()
        stream.page.left()
        world.send("one")
        assert (stream.woken, list(stream.page.outgoing()), stream.page.heartbeat()) == (0, [], None)
        stream.page.received("1")


class TestEnd:
    def test_the_token_times_out(self, world):
        stream = world.stream()
        stream.new()
        world.clock.advance(7200)
        assert stream.new() == [{"error": 401, "reason": "Token+timed+out."}]
        assert (stream.end.code, stream.end.reason) == (1000, "")

    def test_the_socket_is_closed(self, world):
        stream = world.stream()
        stream.new()
        world.broker.control.close(world.socket)
        assert stream.new() == [{"error": 410, "reason": "Closed+by+the+server."}]

    def test_a_poll_takes_over(self, world):
        stream = world.stream()
        stream.new()
        world.broker.poll(world.socket, 0)
        assert stream.new() == []
        assert stream.end.code == 1000
        assert world.transport() == "poll"

    def test_cut_by_hand(self, world):
        stream = world.stream()
        stream.new()
        world.broker.control.cut(world.socket)
        assert stream.new() == []
        assert isinstance(stream.end, ConnectionCut)


class TestFaultOfTheUpgrade:
    def test_error(self, world):
        world.fault("stream error error=503")
        assert world.refusal().status == "503 A fault on request"
        world.fault("stream error")
        assert world.refusal().status == "401 Token+timed+out."
        assert world.transport() is None

    @pytest.mark.parametrize("action", ["drop", "cut"])
    def test_the_connection_breaks(self, world, action):
        poll = world.broker.poll(world.socket, 0)
        world.fault(f"stream {action}")
        with pytest.raises(ConnectionCut):
            world.stream()
        assert poll.superseded == (action == "cut")
        assert world.transport() == ("poll" if action == "drop" else None)

    def test_delay(self, world):
        """Nothing is done before: the poll stays. Then the upgrade comes out of what was waited with."""
        poll = world.broker.poll(world.socket, 0)
        world.fault("stream delay seconds=30")
        waiting = world.ask(f"/_ah/channel/stream?socket={world.socket}&after=0", HANDSHAKE)
        assert isinstance(waiting, Waiting)
        assert (waiting.ready, poll.superseded) == (False, False)
        waiting.expire()
        with pytest.raises(Upgraded) as upgraded:
            list(waiting)
        waiting.close()
        assert isinstance(upgraded.value.upgrade, Upgrade)
        assert poll.superseded
        assert Connection(upgraded.value.upgrade).new() == [EMPTY]

    def test_duplicate(self, world):
        world.fault("stream duplicate")
        assert world.stream().new() == [EMPTY]
        assert world.transport() == "stream"

    def test_by_a_header(self, world):
        assert world.refusal(headers=HANDSHAKE | {"X-Channel-Emu-Fault": "stream error error=500"}).status[:3] == "500"


class TestFaultOfADelivery:
    def start(self, world, fault):
        stream = world.stream()
        stream.new()
        world.fault(f"poll {fault}")
        world.send("one")
        return stream

    def test_delay(self, world):
        stream = self.start(world, "delay seconds=30")
        assert stream.new() == []
        world.send("two")
        world.clock.advance(29)
        assert (stream.new(), stream.page.heartbeat()) == ([], None)
        world.clock.advance(1)
        assert stream.new() == [{"messages": ["one"], "next": 1}, {"messages": ["two"], "next": 2}]
        assert stream.page.heartbeat() is not None

    def test_a_delay_ends_with_its_stream(self, world):
        stream = self.start(world, "delay seconds=30")
        stream.new()
        assert world.stream().new() == [{"messages": ["one"], "next": 1}]
        assert (stream.new(), stream.end.code) == ([], 1000)
        world.clock.advance(30)
        assert stream.woken == 0

    def test_error(self, world):
        stream = self.start(world, "error error=503")
        assert stream.new() == [{"error": 503, "reason": "A fault on request."}]
        assert stream.end.code == 1000

    def test_the_usual_error(self, world):
        assert self.start(world, "error").new() == [{"error": 401, "reason": "Token+timed+out."}]

    @pytest.mark.parametrize("action", ["drop", "cut"])
    def test_the_connection_breaks_and_the_messages_come_again(self, world, action):
        stream = self.start(world, action)
        assert stream.new() == []
        assert isinstance(stream.end, FrameCut if action == "cut" else ConnectionCut)
        assert action == "drop" or stream.end.text == b'{"messages":["one"],"next":1}'
        assert world.transport() is None
        assert world.stream().new() == [{"messages": ["one"], "next": 1}]

    def test_duplicate(self, world):
        assert self.start(world, "duplicate").new() == [{"messages": ["one"], "next": 1}] * 2

    def test_an_empty_frame_meets_none(self, world):
        world.fault("poll error")
        assert world.stream().new() == [EMPTY]

    def test_of_another_client_id(self, world):
        assert self.start(world, "drop client_id=bob").new() == [{"messages": ["one"], "next": 1}]
