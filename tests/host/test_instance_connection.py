"""The wire between the front and an instance, each end alone."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import socket
import tempfile
import threading

import pytest

from appengine_channel_emu.host.errors import AnswerTooLarge, BrokenAnswer, ClosedWithoutAnswer, Overrun, Unreachable
from appengine_channel_emu.host.exchange import ConnectionPool, HttpRequest, unix_socket
from appengine_channel_emu.host.runner.main import InstanceServer
from tests.host.conftest import visit
from tests.support.waiting import LONG_ENOUGH, eventually

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.fixture
def path():
    """Of a socket; short, as it must be."""
    folder = tempfile.mkdtemp(dir="/tmp")
    yield os.path.join(folder, "app")
    shutil.rmtree(folder)


@pytest.fixture
def scripted(path):
    """An instance that does with each connection what its script says, and the front's way to it."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    listener.settimeout(LONG_ENOUGH)
    threads = []

    def make(*scripts):
        def serve():
            for script in scripts:
                with listener.accept()[0] as connection:
                    script(connection)

        threads.append(threading.Thread(target=serve))
        threads[0].start()
        return to(path)

    yield make
    for thread in threads:
        thread.join(LONG_ENOUGH)
    listener.close()


def to(path):
    return ConnectionPool(lambda: unix_socket(path), "The app", to_instance=True)


def says(*pieces, times=1):
    """Answers `times` requests, in `pieces`."""

    def script(connection):
        for _ in range(times):
            assert connection.recv(65536)
            for piece in pieces:
                connection.sendall(piece)

    return script


def get(method="GET", **headers):
    return HttpRequest(method, "/", {"Host": "localhost", **headers})


@pytest.mark.parametrize(
    ("answer", "kind", "text"),
    [
        (b"", ClosedWithoutAnswer, "closed the connection without an answer"),
        (b"HTTP/1.1 200", BrokenAnswer, "ended early"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfive!", BrokenAnswer, "ended early"),
        (b"HTTP/1.1 200 OK\r\n\r\nuntil the end", BrokenAnswer, "it gave no length"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", BrokenAnswer, "its Content-Length is '-1'"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", BrokenAnswer, "is 'chunked'"),
        (b"HTTP/1.1 200 OK\r\nno header\r\nContent-Length: 2\r\n\r\nok", BrokenAnswer, "did not answer in HTTP"),
        (b"HTTP/1.1 20 OK\r\nContent-Length: 2\r\n\r\nok", BrokenAnswer, "did not answer in HTTP"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", BrokenAnswer, "did not answer in HTTP"),
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", BrokenAnswer, "answered 101, which was not asked for"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 34603008\r\n\r\n", AnswerTooLarge, "larger than 32 MiB"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 2_000_000, BrokenAnswer, "its headers have no end"),
    ],
)
def test_a_broken_answer_is_said_and_its_connection_left(answer, kind, text, scripted):
    def script(connection):
        # It may be left before all is sent.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            says(answer)(connection)

    app = scripted(script, says(OK))
    with pytest.raises(kind) as raised:
        app.exchange(get())
    assert text in str(raised.value)
    assert app.exchange(get()).body.read() == b"ok"


def test_what_comes_behind_an_answer_is_not_the_next_one(scripted):
    app = scripted(says(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfive!"), says(OK))
    assert app.exchange(get()).body.read() == b"five"
    assert app.exchange(get()).body.read() == b"ok"


def test_one_connection_serves_many_requests_whatever_the_pieces(scripted):
    app = scripted(
        says(b"HTTP/1.1 404 Not", b" Found\r\nA: b\r\nA:c \r\nContent-Le", b"ngth: 5\r\n\r\n12", b"345", times=3)
    )
    for _ in range(3):
        answer = app.exchange(get())
        assert (answer.status, answer.reason, answer.length) == (404, "Not Found", 5)
        assert answer.headers == [("A", "b"), ("A", "c"), ("Content-Length", "5")]
        assert answer.body.read() == b"12345"


def test_a_status_without_words_and_an_answer_to_head(scripted):
    app = scripted(says(b"HTTP/1.1 299\r\nContent-Length: 1000\r\n\r\n", times=2))
    for _ in range(2):
        answer = app.exchange(get("HEAD"))
        assert (answer.status, answer.reason, answer.length, answer.body.read()) == (299, "", 0, b"")
        assert answer.header("content-length") == "1000"


def test_a_large_body_both_ways(scripted):
    body = os.urandom(3 * 2**20)
    received = []

    def echo(connection):
        data = b""
        while b"\r\n\r\n" not in data or len(data) < data.index(b"\r\n\r\n") + 4 + len(body):
            data += connection.recv(65536)
        received.append(data)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    app = scripted(echo)
    answer = app.exchange(HttpRequest("POST", "/a?b", {"Host": "x"}, io.BytesIO(body + b"more"), len(body)))
    assert answer.body.read() == body
    assert received == [b"POST /a?b HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body]


def test_a_request_that_is_refused_before_it_was_read(scripted):
    app = scripted(lambda connection: connection.sendall(OK))
    body = io.BytesIO(b"x" * 2**20)
    assert app.exchange(HttpRequest("POST", "/", {}, body, 2**20)).body.read() == b"ok"


def test_a_trickle_is_cut_at_the_deadline(scripted):
    cut = threading.Event()

    def trickle(connection):
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            while not cut.wait(0.01):
                connection.sendall(b"x")

    app = scripted(trickle)
    with pytest.raises(Overrun):
        app.exchange(get(), 0.2)
    cut.set()


def test_a_connection_that_ended_while_nobody_used_it_costs_no_request(scripted):
    left = threading.Event()

    def once(connection):
        says(OK)(connection)
        connection.shutdown(socket.SHUT_RDWR)
        left.set()

    app = scripted(once, says(OK))
    assert app.exchange(get("POST")).status == 200
    assert left.wait(LONG_ENOUGH)
    assert app.exchange(get("POST")).status == 200


@pytest.mark.parametrize(
    "request_",
    [
        get(A="b\r\nC: d"),
        get(A="b\nC: d"),
        HttpRequest("GET", "/ HTTP/1.1\r\nA: b", {}),
        HttpRequest("GET\r\n", "/", {}),
    ],
)
def test_no_line_break_leaves_the_front(request_, path):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        with pytest.raises(ValueError, match="line breaks"):
            to(path).exchange(request_)
        with listener.accept()[0] as connection:
            assert connection.recv(65536) == b""


def test_nobody_there(path):
    with pytest.raises(Unreachable, match="The app cannot be reached: No such file or directory"):
        to(path).exchange(get())


# The instance's end


def serving(path, handler, threads=2):
    server = InstanceServer(path, threads, handler)
    threading.Thread(target=server.run, daemon=True).start()


def test_so_many_handlers_at_a_time_and_no_more(path):
    begun, go_on = [], threading.Semaphore(0)

    def handler(environ):
        begun.append(environ["PATH_INFO"])
        assert go_on.acquire(timeout=LONG_ENOUGH)
        return "200 OK", [("Content-Length", "2")], b"ok"

    serving(path, handler, threads=2)
    app = to(path)
    visits = [threading.Thread(target=app.exchange, args=(get(),)) for _ in range(3)]
    for each in visits:
        each.start()
    eventually(lambda: len(begun), lambda count: count == 2)
    go_on.release()
    eventually(lambda: len(begun), lambda count: count == 3)
    go_on.release(2)
    for each in visits:
        each.join(LONG_ENOUGH)
        assert not each.is_alive()


def test_a_default_timeout_of_the_apps_is_not_for_its_connections(path):
    socket.setdefaulttimeout(0.001)
    try:
        serving(path, lambda environ: ("200 OK", [("Content-Length", "5")], environ["wsgi.input"].read()))
        with socket.socket(socket.AF_UNIX) as front:
            front.settimeout(LONG_ENOUGH)
            front.connect(path)
            for piece in (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n", b"\r\n12", b"345"):
                front.sendall(piece)
                assert not threading.Event().wait(0.05)
            assert front.recv(65536).endswith(b"\r\n\r\n12345")
    finally:
        socket.setdefaulttimeout(None)


def test_what_is_no_request_is_refused_and_ends_the_connection(path):
    serving(path, lambda environ: pytest.fail("the app was asked"))
    with socket.socket(socket.AF_UNIX) as front:
        front.settimeout(LONG_ENOUGH)
        front.connect(path)
        front.sendall(b"GET / HTTP/1.1\r\nno header\r\n\r\n")
        answer = b"".join(iter(lambda: front.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")


def test_a_body_that_the_status_rules_out_is_not_sent(make_backend):
    backend = make_backend(
        """
        def app(environ, start_response):
            start_response(environ["QUERY_STRING"] + " It", [])
            return [b"five!"]
        """
    )
    for status, body in (("204", b""), ("200", b"five!"), ("304", b""), ("200", b"five!")):
        page = visit(backend, f"/?{status}")
        assert (page.status, page.body) == (int(status), body)
