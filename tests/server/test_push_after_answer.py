"""A push does not overtake the answer of its own request, over real connections (behaviour.md 3).

That nothing comes before the answer is seen without a clock: when the message is here, the answer is here, too. How
long a message waits has a lower bound alone.
"""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from urllib.parse import quote

import pytest

from tests.support import parts
from tests.support.backend import PlayedBackend, ok
from tests.support.waiting import LONG_ENOUGH, until

MARGIN, NAVIGATION, LONGEST = 0.05, 0.3, 0.5
AGENT = "Mozilla/5.0 (X11; Linux x86_64) Chrome/120"
ANSWER = b"HTTP/1.1 200 OK"
LARGE = 16 * 1024 * 1024
"""Bytes of an answer that no system takes all at once."""


class Sender(PlayedBackend):
    """An app that sends "pushed" to ann. /wait is answered when a test says so; the answer to /large is `LARGE`."""

    def __init__(self):
        self.broker = None
        self.go = threading.Event()
        self.waits = threading.Event()
        self.told = []

    def post(self, path, body, content_type, timeout):
        if path.startswith("/_ah/channel/connected"):
            self.broker.send_message("ann", "welcome")
        return 200

    def serve(self, environ, request_id):
        path = environ["PATH_INFO"]
        sent = threading.Event()
        self.told.append(sent)
        environ["channel_emu.server"].when_sent(sent.set)
        if path == "/broken":
            raise RuntimeError
        self.broker.send_message("ann", "pushed", request_id)
        if path == "/wait":
            self.waits.set()
            self.go.wait(LONG_ENOUGH)
        return ok(b"x" * (LARGE if path == "/large" else 6))


@pytest.fixture
def app():
    app = Sender()
    yield app
    app.go.set()


@pytest.fixture
def make(make_service, app):
    def make(**settings):
        service = make_service(app, **{"presence": "never", **settings})
        app.broker = service.broker
        return service

    return make


@pytest.fixture
def connect():
    made = []

    def connect(service, address="127.0.0.1"):
        made.append(Line(socket.create_connection((address, service.port), timeout=LONG_ENOUGH)))
        return made[-1]

    yield connect
    for line in made:
        line.sock.close()


class Line:
    """A connection of a browser's."""

    def __init__(self, sock):
        self.sock = sock

    def ask(self, target, method="GET", **headers):
        headers = {"Host": "localhost", "User-Agent": AGENT, "Content-Length": "0"} | {
            name.replace("_", "-"): value for name, value in headers.items()
        }
        lines = [f"{name}: {value}" for name, value in headers.items() if value]
        self.sock.sendall("\r\n".join([f"{method} {target} HTTP/1.1", *lines, "", ""]).encode("ascii"))

    def read(self):
        """A whole answer, by its length."""
        data = b""
        while b"\r\n\r\n" not in data:
            data += self.sock.recv(65536)
        head, _, body = data.partition(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        while len(body) < length:
            body += self.sock.recv(65536)
        return body

    def is_here(self):
        """Whether the answer has come to this end already."""
        return ANSWER in self.sock.recv(65536, socket.MSG_PEEK | socket.MSG_DONTWAIT)


def open_socket(service, line, token=None, **headers):
    token = token or service.broker.create_channel("ann").token
    line.ask(f"/_ah/channel/open?channel={token}", **headers)
    return json.loads(line.read())["socket"]


def held(service):
    """Of each message sent, for how many sockets it waited."""
    return [event.detail.get("held", 0) for event in service.broker.events.after(0) if event.kind == "message_sent"]


def long_poll(line, socket_id, early=""):
    line.ask(f"/_ah/channel/poll?socket={socket_id}&after=0&wait=20{early}")
    return lambda: json.loads(line.read())["messages"]


def early_poll(line, socket_id):
    line.ask(f"/_ah/channel/poll?socket={socket_id}&after=1&wait=20&early=1")

    def read():
        data = b""
        while b"pushed" not in data:
            data += line.sock.recv(65536)
        return ["pushed"]

    return read


def short_polls(line, socket_id):
    def read():
        while True:
            line.ask(f"/_ah/channel/poll?socket={socket_id}&after=0&wait=0")
            if messages := json.loads(line.read())["messages"]:
                return messages

    return read


@pytest.mark.parametrize("poll", [long_poll, short_polls, early_poll])
@pytest.mark.parametrize("margin", [MARGIN, NAVIGATION])
def test_the_message_comes_behind_the_answer(make, connect, poll, margin):
    service = make()
    page, post = connect(service), connect(service)
    socket_id = open_socket(service, page)
    if poll is early_poll:
        service.broker.send_message("ann", "first")
    read = poll(page, socket_id)
    until(lambda: service.broker._sockets.get(socket_id).receiver is not None or poll is short_polls)
    before = time.monotonic()
    post.ask("/form", "POST", Sec_Fetch_Mode="navigate" if margin == NAVIGATION else "cors")
    assert read() == ["pushed"]
    assert post.is_here()
    assert time.monotonic() - before >= margin


def test_on_the_sdks_wire_too(make, connect):
    service = make()
    page, post = connect(service), connect(service)
    token = service.broker.create_channel("ann").token
    page.ask(f"/_ah/channel/dev?command=connect&channel={token}")
    assert page.read() == b"1"
    before = time.monotonic()
    post.ask("/form", "POST")
    while not (message := (page.ask(f"/_ah/channel/dev?command=poll&channel={token}"), page.read())[1]):
        pass
    assert message == b"pushed"
    assert post.is_here()
    assert time.monotonic() - before >= MARGIN


def test_an_answer_that_does_not_come_holds_for_half_a_second(make, connect, app):
    service = make()
    page, post = connect(service), connect(service)
    read = long_poll(page, open_socket(service, page))
    before = time.monotonic()
    post.ask("/wait", "POST")
    assert read() == ["pushed"]
    assert time.monotonic() - before >= LONGEST
    app.go.set()
    assert post.read() == b"x" * 6


@pytest.mark.parametrize(
    ("page_headers", "post_headers", "count"),
    [
        ({}, {}, 1),
        ({}, {"User-Agent": "Firefox"}, 0),
        ({"User-Agent": "Firefox"}, {}, 0),
        ({"User-Agent": None}, {}, 0),
        ({}, {"User-Agent": None}, 0),
        ({"User-Agent": None}, {"User-Agent": None}, 0),
    ],
)
def test_browsers_are_told_apart_by_their_agent(make, connect, page_headers, post_headers, count):
    service = make()
    page, post = connect(service), connect(service)
    open_socket(service, page, **page_headers)
    post.ask("/form", "POST", **post_headers)
    post.read()
    assert held(service) == [count]


def test_a_browser_may_use_either_of_localhosts_addresses(make, connect):
    service = make()
    try:
        page = connect(service, "::1")
    except OSError:
        parts.lacking("no ::1 here")
    open_socket(service, page)
    post = connect(service)
    post.ask("/form", "POST")
    post.read()
    assert held(service) == [1]


@pytest.mark.parametrize(("visitor", "count"), [("10.0.0.7", 1), ("10.0.0.8", 0)])
def test_behind_a_proxy_the_visitors_address_counts(make, connect, visitor, count):
    service = make(trusted_proxy="127.0.0.1")
    page, post = connect(service), connect(service)
    open_socket(service, page, X_Forwarded_For="10.0.0.7")
    post.ask("/form", "POST", X_Forwarded_For=visitor)
    post.read()
    assert held(service) == [count]


def test_a_poll_may_tell_of_another_browser(make, connect):
    service = make()
    page, post, other = connect(service), connect(service), connect(service)
    socket_id = open_socket(service, page)
    post.ask("/wait", "POST")
    until(lambda: held(service) == [1])
    other.ask(f"/_ah/channel/poll?socket={socket_id}&after=0&wait=0", User_Agent="Firefox")
    assert json.loads(other.read())["messages"] == ["pushed"]


def test_presence_posts_hold_nothing(make, connect):
    service = make(presence="always")
    open_socket(service, connect(service))
    assert held(service) == [0]


def test_zero_turns_it_off(make, connect):
    service = make(push_after_answer=0)
    page, post = connect(service), connect(service)
    open_socket(service, page)
    post.ask("/form", "POST")
    post.read()
    assert held(service) == [0]


def test_plain_json_may_name_the_request(make, connect, app):
    service = make()
    page = connect(service)
    open_socket(service, page)
    begun = service.broker.app_requests.begin(f"loopback {AGENT}", False)
    for request_id in (begun, "unknown", None):
        fields = {"client_id": "ann", "message": "x"} | ({"request_id": request_id} if request_id else {})
        page.ask("/_emu/messages", "POST", Content_Type="application/json", Content_Length=str(len(json.dumps(fields))))
        page.sock.sendall(json.dumps(fields).encode("ascii"))
        assert json.loads(page.read()) == {"delivered_to": 1}
    assert held(service) == [1, 0, 0]


# When an answer has left: the seam in waitress.


def test_an_answer_has_left_when_it_was_sent(make, connect, app):
    post = connect(make())
    for number in (1, 2):
        post.ask("/form", "POST")
        post.read()
        assert app.told[number - 1].wait(LONG_ENOUGH)
        assert len(app.told) == number


def test_an_answer_that_is_not_read_has_not_left(make, connect, app):
    service = make()
    post = connect(service)
    post.ask("/large", "POST")
    until(lambda: app.told and any(each.total_outbufs_len for each in channels(service)))
    assert not app.told[0].is_set()
    assert len(post.read()) == LARGE
    assert app.told[0].wait(LONG_ENOUGH)


@pytest.mark.parametrize("path", ["/large", "/wait"])
def test_an_answer_whose_client_has_gone_counts_as_sent(make, connect, app, path):
    service = make()
    post = connect(service)
    post.ask(path, "POST")
    until(lambda: app.told and (app.waits.is_set() or any(each.total_outbufs_len for each in channels(service))))
    # A reset: a client that has only said all it had to say may still be waiting for the answer.
    post.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    post.sock.close()
    assert app.told[0].wait(LONG_ENOUGH)
    assert not app.go.is_set()


def test_an_answer_that_fails_counts_as_sent(make, connect, app):
    post = connect(make())
    post.ask("/broken", "POST")
    assert b"500" in post.sock.recv(65536)
    assert app.told[0].wait(LONG_ENOUGH)


def test_requests_are_not_kept(make, connect, app):
    service = make()
    for path in ("/form", "/broken", "/form?" + quote("ü")):
        post = connect(service)
        post.ask(path, "POST")
        post.sock.recv(65536)
    until(lambda: len(service.broker.app_requests._ended) == 3)
    assert all(request.ended_at is not None for request in service.broker.app_requests._known.values())


def channels(service):
    return [channel for server in service._acceptor.servers for channel in server.active_channels.values()]
