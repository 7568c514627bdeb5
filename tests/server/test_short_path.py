"""Requests that are answered below WSGI: which they are, and that nobody can tell by the answer."""

from __future__ import annotations

import json
import re
import socket as sockets
import threading

import pytest
from waitress.adjustments import Adjustments

from appengine_channel_emu.faults.faults import parse_fault
from appengine_channel_emu.server.parked import ParkingChannel
from appengine_channel_emu.server.parser import RequestParser
from appengine_channel_emu.server.plain_connection import PlainConnection
from appengine_channel_emu.web.api.messages import Request, SendMessageRequest
from tests.support import wire
from tests.support.service import running_service
from tests.support.waiting import until

CHROME = (
    'Host: localhost\r\nConnection: keep-alive\r\nsec-ch-ua-platform: "Linux"\r\nUser-Agent: Mozilla/5.0 (X11) Chrome/1'
    "\r\nAccept: */*\r\nSec-Fetch-Site: same-origin\r\nReferer: http://localhost/\r\n"
)
BARE = "Host: localhost\r\n"
JSON = "Host: localhost\r\nContent-Type: application/json\r\n"
CALL = "Host: localhost\r\nContent-Type: application/octet-stream\r\n"


def poll(
    headers=CHROME, query="socket={socket}&after=0&wait=0", method="GET", path="/_ah/channel/poll", end="HTTP/1.1"
):
    return f"{method} {path}?{query} {end}\r\n{headers}\r\n".encode()


def send(body=b'{"client_id": "anna", "message": "x"}', headers=JSON, path="/_emu/messages", more=b"", length=None):
    length = len(body) if length is None else length
    return f"POST {path} HTTP/1.1\r\n{headers}Content-Length: {length}\r\n\r\n".encode() + body + more


def call(client_id=b"anna", message=b"x", method=b"SendChannelMessage", headers=CALL, path="/rpc_http"):
    request = SendMessageRequest(application_key=client_id, message=message).SerializeToString()
    body = Request(service_name=b"channel", method=method, request=request).SerializeToString()
    return send(body, headers, path)


SHORT = {
    "as Chrome polls": poll(),
    "as our script polls": poll(query="socket={socket}&after=0&wait=0&early=1&pauses=1"),
    "without a User-Agent": poll(BARE),
    "with one in small letters": poll("Host: localhost\r\nuser-agent: x\r\n"),
    "at an address": poll("Host: 127.0.0.1:8080\r\n"),
    "at a name in capitals": poll("HOST: LocalHost\r\n"),
    "from another site's page": poll(
        "Host: localhost\r\nOrigin: http://other.example\r\nSec-Fetch-Site: cross-site\r\n"
    ),
    "with a header that only App Engine sends": poll(BARE + "X-AppEngine-Fake-Is-Admin: 1\r\n"),
    "with a forwarded address": poll(BARE + "X-Forwarded-For: 10.0.0.1\r\n"),
    "with cookies": poll(BARE + "Cookie: a=1\r\nCookie: b=2\r\n"),
    "of a socket that nobody knows": poll(query="socket=unknown&after=0&wait=0"),
    "beyond what was sent": poll(query="socket={socket}&after=9&wait=0"),
    "a send": send(),
    "a send to many": send(b'{"client_ids": ["anna", "bert"], "message": "x"}'),
    "a send to nobody": send(b'{"client_id": "nobody", "message": "x"}'),
    "a send of an empty message": send(b'{"client_id": "anna", "message": ""}'),
    "a send of more than 32 KiB": send(json.dumps({"client_id": "anna", "message": "x" * 40_000}).encode()),
    "a send from a page of ours": send(headers=JSON + "Origin: http://localhost\r\nSec-Fetch-Site: same-origin\r\n"),
    "a send as UTF-8": send(headers="Host: localhost\r\nContent-Type: application/json; charset=utf-8\r\n"),
    "a call": call(),
    "a call to nobody": call(b"nobody"),
    "a call that is refused": call(message=b"x" * 40_000),
    "a call of something else": call(method=b"Nothing"),
    "a call that is none": send(b"nonsense", CALL, "/rpc_http"),
}

LONG = {
    "HEAD": poll(method="HEAD"),
    "POST": poll(method="POST"),
    "HTTP/1.0": poll(end="HTTP/1.0"),
    "no version": poll(end=""),
    "two spaces": poll(end=" HTTP/1.1"),
    "an address as a proxy gets it": poll(path="http://localhost/_ah/channel/poll"),
    "an escaped path": poll(path="/_ah/channel/pol%6c"),
    "an empty segment": poll(path="//_ah/channel/poll"),
    "an escaped query": poll(query="socket=%61&after=0&wait=0"),
    "another order": poll(query="after=0&socket={socket}&wait=0"),
    "an unknown parameter": poll(query="socket={socket}&after=0&wait=0&x=1"),
    "a parameter twice": poll(query="socket={socket}&socket={socket}&after=0&wait=0"),
    "no number": poll(query="socket={socket}&after=x&wait=0"),
    "a large number": poll(query="socket={socket}&after=1000000000000000000&wait=0"),
    "a negative wait": poll(query="socket={socket}&after=0&wait=-1"),
    "a fragment": poll(query="socket={socket}&after=0&wait=0#x"),
    "early=2": poll(query="socket={socket}&after=0&wait=0&early=2"),
    "no Host": poll("Accept: */*\r\n"),
    "two Hosts": poll(BARE + BARE),
    "a name that is not ours": poll("Host: rebound.example\r\n"),
    "an empty Host": poll("Host: \r\n"),
    "two User-Agents": poll(CHROME + "User-Agent: other\r\n"),
    "two User-Agents, one in small letters": poll(CHROME + "user-agent: other\r\n"),
    "an empty User-Agent": poll(BARE + "User-Agent: \r\n"),
    "a User-Agent in Latin-1": poll(BARE + "User-Agent: \u00e9\r\n").replace(b"\xc3\xa9", b"\xe9"),
    "a folded User-Agent": poll(BARE + "User-Agent: a\r\n b\r\n"),
    "a folded line": poll(BARE + "Accept: a\r\n\tb\r\n"),
    "a line without a colon": poll(BARE + "nonsense\r\n"),
    "a bare line feed": poll("Host: localhost\nAccept: x\r\n"),
    "a null": poll(BARE + "Accept: \0\r\n"),
    "Connection: close": poll(BARE + "Connection: close\r\n"),
    "Connection: a list with close": poll(BARE + "Connection: x, Close\r\n"),
    "Content-Length: 0": poll(BARE + "Content-Length: 0\r\n"),
    "a body": poll(BARE + "Content-Length: 2\r\n") + b"ab",
    "chunks": poll(BARE + "Transfer-Encoding: chunked\r\n") + b"0\r\n\r\n",
    "Expect": poll(BARE + "Expect: 100-continue\r\n"),
    "Upgrade": poll(BARE + "Connection: Upgrade\r\nUpgrade: h2c\r\n"),
    "a fault": poll(BARE + "X-Channel-Emu-Fault: poll error error=503\r\n"),
    "a fault that is none": poll(BARE + "X-Channel-Emu-Fault: nonsense\r\n"),
    "an empty line before it": b"\r\n" + poll(),
    "more than 8 KiB": poll(BARE + f"X: {'x' * 8192}\r\n"),
    "198 headers": poll(CHROME + "X: x\r\n" * 191),
    "199 headers": poll(CHROME + "X: x\r\n" * 192),
    "199 headers without a User-Agent": poll(BARE + "X: x\r\n" * 198),
    "a send in two lengths": send(headers=JSON + "Content-Length: 37\r\n"),
    "a send with a signed length": send(length="+37"),
    "a send with a zero in front": send(length="037"),
    "a send in chunks": send(headers=JSON + "Transfer-Encoding: chunked\r\n"),
    "a send without a body": send(b""),
    "a send of more than 64 KiB": send(json.dumps({"client_id": "anna", "message": "x" * 70_000}).encode()),
    "a send as text": send(headers="Host: localhost\r\nContent-Type: text/plain\r\n"),
    "a send without a type": send(headers=BARE),
    "a send from another site": send(headers=JSON + "Origin: http://other.example\r\n"),
    "a send that a page of another site makes": send(headers=JSON + "Sec-Fetch-Site: cross-site\r\n"),
    "a send at a name that is not ours": send(headers=JSON.replace("localhost", "rebound.example")),
    "a send with a query": send(path="/_emu/messages?x=1"),
    "a send of no JSON": send(b"nonsense"),
    "a send of a field that is not known": send(b'{"client_id": "anna", "message": "x", "more": 1}'),
    "a send of a lone surrogate": send(b'{"client_id": "anna", "message": "\\ud800"}'),
    "a send with Expect": send(headers=JSON + "Expect: 100-continue\r\n"),
    "a send with a fault": send(headers=JSON + "X-Channel-Emu-Fault: send error error=BAD_MESSAGE\r\n"),
    "a call as JSON": call(headers=JSON),
    "a call from another site": call(headers=CALL + "Origin: http://other.example\r\n"),
    "a call elsewhere": call(path="/rpc_http/"),
}


class Asked:
    """A service with one page's socket, and a connection to it."""

    def __init__(self, service, socket=None, receive_buffer=None):
        self.service = service
        self.socket = socket
        if socket is None:
            self.socket = service.broker.open(service.broker.create_channel("anna").token).socket
            service.broker.send_message("anna", "first")
        self.connection = wire.connect(service.port, receive_buffer)
        self.file = self.connection.makefile("rb")

    @classmethod
    def beside(cls, other):
        """Another connection, about the same socket."""
        return cls(other.service, other.socket)

    def taken(self):
        """Requests that have taken the short path."""
        return self.service.short_path.taken if self.service.short_path is not None else 0

    def ask(self, request):
        self.send(request)
        return self.answer(has_body=not request.startswith(b"HEAD"))

    def send(self, request):
        self.connection.sendall(request.replace(b"{socket}", self.socket.encode()))

    def answer(self, has_body=True):
        """The next one, but for what no two have the same."""
        head = b""
        while not head.endswith(b"\r\n\r\n") and (line := self.file.readline()):
            head += line
        if head.startswith(b"HTTP/1.1 100 "):
            return head + self.answer(has_body)
        length = re.search(rb"Content-Length: (\d+)", head)
        body = self.file.read(int(length[1])) if length and has_body else b""
        if b"Transfer-Encoding: chunked" in head:
            while not body.endswith(b"0\r\n\r\n"):
                body += self.file.readline()
        return re.sub(rb"Date: [^\r]*", b"Date: then", head) + body

    def state(self):
        """What the request has left behind."""
        broker = self.service.broker
        events = [(event.kind, event.text, event.client_id, event.detail) for event in broker.events.after(0)]
        sent = [(each.text, each.delivered_to, each.reason) for each in broker.journal.after(0)]
        figures = broker.figures
        return events, sent, figures.polls, figures.sent, dict(figures.dropped), dict(figures.refused)

    def close(self):
        self.file.close()
        self.connection.close()


@pytest.fixture
def asked(make_service, any_loop):
    made = []

    def make(short_path=True, **settings):
        made.append(Asked(make_service(short_path=short_path, **settings)))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture(scope="module")
def both():
    """One service with a short path, and one without."""
    with running_service(short_path=True) as short, running_service(short_path=False) as long:
        yield short, long


def compare(both, request):
    """What is answered and left behind, whichever path it takes; whether it took the short one."""
    asked = [Asked(service) for service in both]
    taken = both[0].short_path.taken
    answers = [each.ask(request) for each in asked]
    states = [each.state() for each in asked]
    for each in asked:
        each.close()
        each.service.front.reset()
    assert answers[0] == answers[1]
    assert answers[0].startswith(b"HTTP/1.")
    assert states[0] == states[1]
    return both[0].short_path.taken > taken


@pytest.mark.parametrize("name", SHORT)
def test_the_usual_takes_the_short_path(both, name):
    assert compare(both, SHORT[name])


@pytest.mark.parametrize("name", LONG)
def test_everything_else_takes_the_long_one(both, name):
    assert not compare(both, LONG[name])


MESSAGE = rb'{"messages":["first"],"next":1}'
PARKED_SECONDS = 24
PARKED = poll(query=f"socket={{socket}}&after=1&wait={PARKED_SECONDS}")


def waits(asked):
    """Returns once a poll is parked."""
    until(lambda: asked.service.broker.control.totals().sockets["poll"] == 1)


@pytest.mark.parametrize("short_path", [True, False])
@pytest.mark.parametrize("early", ["", "&early=1"])
def test_a_parked_poll_is_answered_by_a_send(asked, short_path, early):
    page = asked(short_path)
    page.send(poll(query=f"socket={{socket}}&after=1&wait=20{early}"))
    waits(page)
    sender = Asked.beside(page)
    assert json.loads(sender.ask(send()).partition(b"\r\n\r\n")[2]) == {"delivered_to": 1}
    answer = page.answer()
    assert (b"chunked" in answer) == bool(early)
    assert b'{"messages":["x"],"next":2}\n' in answer
    assert page.taken() == 2 * short_path
    sender.close()


@pytest.mark.parametrize("short_path", [True, False])
def test_a_parked_poll_is_answered_when_its_time_has_come(asked, short_path):
    page = asked(short_path)
    assert b'{"messages":[],"next":1}\n' in page.ask(poll(query="socket={socket}&after=1&wait=0.01"))


@pytest.mark.parametrize("short_path", [True, False])
@pytest.mark.parametrize("behind", [poll(), send(), b"nonsense\r\n\r\n", poll(BARE + "Connection: close\r\n")])
def test_what_is_behind_a_parked_poll_waits_for_it(asked, short_path, behind):
    page = asked(short_path)
    page.send(PARKED)
    waits(page)
    page.send(behind)
    page.service.broker.send_message("anna", "second")
    assert b'{"messages":["second"],"next":2}\n' in page.answer()
    status = page.answer().partition(b"\r\n")[0].partition(b" ")[2]
    assert status == (b"400 Bad Request" if behind.startswith(b"nonsense") else b"200 OK")


@pytest.mark.parametrize("short_path", [True, False])
@pytest.mark.parametrize(
    "request_", [poll(), send(), send(json.dumps({"client_id": "anna", "message": "x" * 20_000}).encode())]
)
def test_two_at_once_are_both_answered(asked, short_path, request_):
    page = asked(short_path)
    page.send(request_ + request_)
    assert [page.answer()[:15] for _ in range(2)] == [b"HTTP/1.1 200 OK"] * 2
    assert page.taken() == 0


class Read(dict):
    """An environ that knows what was read of it."""

    def __init__(self, values):
        super().__init__(values)
        self.names = set()

    def get(self, name, default=None):
        self.names.add(name)
        return super().get(name, default)

    def __getitem__(self, name):
        self.names.add(name)
        return super().__getitem__(name)


@pytest.mark.parametrize("request_", [poll(), send(), call(), send(headers=JSON + "Origin: http://localhost\r\n")])
def test_whether_a_head_is_admitted_is_told_by_what_it_is_remembered_by(asked, request_):
    answers = asked().service.front.short_answers
    parser = RequestParser(Adjustments())
    parser.received(request_.replace(b"{socket}", b"x"))
    environ = Read(
        {"CONTENT_TYPE" if name == "CONTENT_TYPE" else f"HTTP_{name}": value for name, value in parser.headers.items()}
        | {"REMOTE_ADDR": "127.0.0.1", "PATH_INFO": parser.path, "REQUEST_METHOD": parser.command}
    )
    assert answers.admits(environ)
    # These differ from one request of the same remembered head to the next.
    assert "HTTP_HOST" in environ.names
    assert environ.names.isdisjoint({"HTTP_USER_AGENT", "HTTP_CONTENT_LENGTH", "CONTENT_LENGTH", "QUERY_STRING"})


def test_a_head_is_remembered_of_one_address_alone(asked):
    short_path = asked().service.short_path
    assert short_path.answer(send(), "127.0.0.1") is not None
    assert short_path.answer(send(), "192.0.2.1") is None
    assert short_path.answer(send(), "127.0.0.1") is not None


@pytest.mark.parametrize("short_path", [True, False])
def test_limits_of_the_users_hold(asked, short_path):
    page = asked(short_path, max_request_size=1000, max_header_size=1000)
    body = json.dumps({"client_id": "anna", "message": "x" * 2000}).encode()
    assert page.ask(send(body)).startswith(b"HTTP/1.1 413 ")
    page = Asked.beside(page)
    assert page.ask(poll(BARE + f"X: {'x' * 1000}\r\n")).startswith(b"HTTP/1.0 431 ")
    page.close()


def test_sends_to_a_broker_that_answers_later_take_the_long_path(asked):
    page = asked()
    page.service.broker.immediate = False
    assert page.ask(send()).startswith(b"HTTP/1.1 200 OK")
    assert page.ask(call()).startswith(b"HTTP/1.1 200 OK")
    assert page.taken() == 0
    assert b'"next":3}' in page.ask(poll())
    assert page.taken() == 1


def test_a_call_that_is_late_answers_no_other_poll(asked):
    page = asked()
    page.send(PARKED)
    waits(page)
    # As one that was queued for a poll before it.
    page.service._loop.soon(connections(page.service)[0])
    page.service._loop.wake()
    page.send(b"GET /_emu/health HTTP/1.1\r\nHost: localhost\r\n\r\n")
    until(lambda: any(len(each.requests) == 2 for each in channels(page.service)))
    page.service.broker.send_message("anna", "second")
    assert b'{"messages":["second"],"next":2}\n' in page.answer()


@pytest.mark.parametrize("early", ["", "&early=1"])
def test_the_same_where_the_head_may_have_gone(asked, early):
    page = asked()
    page.send(poll(query=f"socket={{socket}}&after=1&wait=20{early}"))
    waits(page)
    page.send(b"GET /_emu/health HTTP/1.1\r\nHost: localhost\r\n\r\n")
    until(lambda: any(len(each.requests) == 2 for each in channels(page.service)))
    page.service.broker.send_message("anna", "second")
    assert b'{"messages":["second"],"next":2}\n' in page.answer()
    assert page.answer().startswith(b"HTTP/1.1 200")


def test_a_newer_poll_takes_over(asked):
    page = asked()
    page.send(PARKED)
    waits(page)
    other = Asked.beside(page)
    other.send(PARKED)
    assert b'{"messages":[],"next":1}\n' in page.answer()
    page.service.broker.send_message("anna", "second")
    assert b"second" in other.answer()
    other.close()


@pytest.mark.parametrize("end", ["half", "whole", "reset"])
def test_a_page_that_goes_is_no_longer_there(asked, end):
    page = asked()
    page.send(PARKED)
    waits(page)
    if end == "half":
        page.connection.shutdown(sockets.SHUT_WR)
        assert page.file.read() == b""
    else:
        if end == "reset":
            page.connection.setsockopt(sockets.SOL_SOCKET, sockets.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        page.close()
    until(lambda: page.service.broker.control.totals().sockets["none"] == 1)
    until(lambda: not connections(page.service))


class Held:
    """Keeps the loop from its next look until it may go on."""

    resumes = False

    def __init__(self, service):
        self.may_go_on, self._holds = threading.Event(), threading.Event()
        service._loop.soon(self)
        assert self._holds.wait(30)

    def service(self):
        self._holds.set()
        self.may_go_on.wait(30)


@pytest.mark.parametrize("short_path", [True, False])
@pytest.mark.parametrize("before", [poll(), b"GET /_emu/health HTTP/1.1\r\nHost: localhost\r\n\r\n"])
@pytest.mark.parametrize("request_", [PARKED, send(), b"GET /_emu/health HTTP/1.1\r\nHost: localhost\r\n\r\n"])
def test_a_page_that_asks_and_is_gone_at_the_same_moment(asked, short_path, before, request_):
    page = asked(short_path)
    page.ask(before)
    loop = Held(page.service)
    page.send(request_)
    page.connection.setsockopt(sockets.SOL_SOCKET, sockets.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    page.close()
    loop.may_go_on.set()
    # Long before the poll ends by itself.
    until(lambda: not connections(page.service) and not len(page.service._parked_polls), seconds=PARKED_SECONDS / 2)
    assert page.service.broker.control.totals().sockets["poll"] == 0


@pytest.mark.parametrize("request_", [poll(), PARKED, send(), call()])
@pytest.mark.parametrize("fails", ["poll", "take", "send_message"])
def test_what_fails_is_answered_the_same_and_logged(asked, caplog, monkeypatch, request_, fails):
    answers = []
    for page in (asked(True), asked(False)):

        def fail(*given, **named):
            raise RuntimeError("as a bug would")

        with monkeypatch.context() as patches:
            patches.setattr(page.service.broker, fails, fail)
            page.send(request_)
            if request_ == PARKED and fails != "poll":
                waits(page)
                page.service.broker.control.reset()
            answers.append(page.answer())
        assert ("as a bug would" in caplog.text) == answers[-1].startswith(b"HTTP/1.1 500 ")
        caplog.clear()
    assert answers[0] == answers[1]


def test_a_poll_that_is_cut_has_no_answer(asked):
    page = asked()
    page.send(PARKED)
    waits(page)
    page.service.broker.control.cut(page.socket)
    assert page.file.read() == b""


def test_a_socket_that_ends_tells_its_poll(asked):
    page = asked()
    page.send(PARKED)
    waits(page)
    page.service.broker.close(page.socket)
    assert page.answer().startswith(b"HTTP/1.1 410 ")


def test_a_fault_in_force_is_met(asked):
    page = asked()
    page.service.broker.faults.add(parse_fault("poll error error=503"))
    assert page.ask(poll()).startswith(b"HTTP/1.1 503 ")
    assert page.taken() == 0


def test_one_connection_takes_either_path(asked):
    page = asked()
    for number in range(3):
        assert MESSAGE in page.ask(poll())
        assert page.ask(b"GET /_emu/health HTTP/1.1\r\nHost: localhost\r\n\r\n").startswith(b"HTTP/1.1 200")
        assert MESSAGE in page.ask(poll(end="HTTP/1.1", query="socket={socket}&after=0&wait=0&early=2"))
        until(lambda: all(type(each) is PlainConnection for each in connections(page.service)) or not page.ask(poll()))
        assert page.taken() >= number + 1


def test_a_request_in_pieces_is_answered(asked):
    page = asked()
    for request in (poll(), send()):
        for at in (1, 30, len(request) - 3):
            whole = request.replace(b"{socket}", page.socket.encode())
            page.send(whole[:at])
            # Not for ever: --header-timeout and --body-timeout hold.
            until(lambda: any(each in page.service._slow_clients._watched for each in channels(page.service)))
            page.send(whole[at:])
            assert page.answer().startswith(b"HTTP/1.1 200 OK")
    assert page.taken() == 0


def test_a_client_that_does_not_read_gets_all_of_its_answer(make_service):
    page = Asked(make_service(), receive_buffer=4096)
    until(lambda: connections(page.service))
    # As if the system were to keep no more of an answer.
    connections(page.service)[0].socket.setsockopt(sockets.SOL_SOCKET, sockets.SO_SNDBUF, 4096)
    for number in range(200):
        page.service.broker.send_message("anna", f"{number}-" + "x" * 30_000)
    read = []
    while len(read) < 201:
        page.send(poll(query=f"socket={{socket}}&after={len(read)}&wait=0"))
        if not read:
            # The rest of the answer is waitress's to send.
            until(lambda: any(each.total_outbufs_len for each in channels(page.service)))
        read += json.loads(page.answer().partition(b"\r\n\r\n")[2])["messages"]
    assert [text.partition("-")[0] for text in read] == ["first", *map(str, range(200))]
    assert page.taken() > 10
    page.close()


@pytest.mark.parametrize("limit", [{"answer_timeout": 0.3}, {"max_buffered": 20_000}])
def test_a_client_that_never_reads_is_let_go(make_service, any_loop, limit):
    page = Asked(make_service(**limit), receive_buffer=4096)
    until(lambda: connections(page.service))
    connections(page.service)[0].socket.setsockopt(sockets.SOL_SOCKET, sockets.SO_SNDBUF, 4096)
    for number in range(60):
        page.service.broker.send_message("anna", f"{number}-" + "x" * 30_000)
    page.send(poll(query="socket={socket}&after=0&wait=0"))
    until(lambda: page.taken() == 1)
    until(lambda: not connections(page.service))
    assert "client_too_slow" in {event.kind for event in page.service.broker.events.after(0)}
    page.close()


def test_a_stop_ends_what_is_parked(asked):
    page = asked()
    page.send(PARKED)
    waits(page)
    page.service.stop()
    assert page.file.read() == b""


def connections(service):
    return [each for server in service._acceptor.servers for each in list(server.active_channels.values())]


def channels(service):
    """Those that waitress serves."""
    return [each for each in connections(service) if isinstance(each, ParkingChannel)]


def test_there_is_none_behind_a_trusted_proxy(make_service):
    assert make_service(trusted_proxy="127.0.0.1").short_path is None
