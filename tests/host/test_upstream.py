"""`--upstream URL`: an app that runs already, in whatever state it is."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pytest
import urllib3

from appengine_channel_emu.host.app_kinds import upstream_backend
from appengine_channel_emu.host.errors import CannotStart, Unreachable
from appengine_channel_emu.host.origins import upstream
from tests.host.conftest import visit
from tests.support.emulator import EMU, RunningEmulator
from tests.support.parts import ROOT
from tests.support.waiting import LONG_ENOUGH, until
from tests.support.wire import Listener, free_port

HTTP = urllib3.PoolManager(retries=False, timeout=urllib3.Timeout(LONG_ENOUGH))


class Echo(BaseHTTPRequestHandler):
    """Says what it was asked; keeps what was posted."""

    posts: ClassVar[list[dict]] = []

    def do_GET(self):
        length = int(self.headers.get("Content-Length") or 0)
        seen = {
            "method": self.command,
            "target": self.path,
            "headers": self.headers.items(),
            "body": self.rfile.read(length).decode(),
        }
        if self.path.startswith("/_ah/"):
            self.posts.append(seen)
        body = json.dumps(seen).encode()
        self.send_response(200)
        self.send_header("Set-Cookie", "a=1")
        self.send_header("Set-Cookie", "b=2")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_PUT = do_GET

    def log_message(self, *unused):
        pass


@pytest.fixture
def app():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    Echo.posts.clear()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def emulator(app, tmp_path):
    with RunningEmulator("--upstream", app, "--disconnect-after", "0.2", log=tmp_path / "log") as emulator:
        yield emulator


@pytest.fixture
def talks():
    """Listens, and does with each connection what it is told, until the test is over; gives its url."""
    listeners, stop = [], threading.Event()

    def start(do):
        listeners.append(Listener(lambda connection: do(connection, stop)))
        return listeners[-1].url

    yield start
    stop.set()
    for listener in listeners:
        listener.close()


def test_a_request_arrives_as_it_was_sent(emulator):
    answer = HTTP.request("PUT", f"{emulator.url}/a%2Fb/../c?x=%zz&y=1", body=b"abc", headers={"X-Mine": "1"})
    seen = json.loads(answer.data)
    headers = dict(seen["headers"])
    assert (seen["method"], seen["body"], headers["X-Mine"]) == ("PUT", "abc", "1")
    assert headers["Host"] == f"127.0.0.1:{emulator.port}"
    assert headers["X-Forwarded-For"] == headers["X-Appengine-User-Ip"] == "127.0.0.1"
    assert answer.headers.getlist("Set-Cookie") == ["a=1", "b=2"]


def test_a_visitor_cannot_say_where_it_comes_from(emulator):
    forged = {"X-AppEngine-User-IP": "0.1.0.10", "X-AppEngine-Fake-Is-Admin": "1"}
    headers = dict(json.loads(HTTP.request("GET", emulator.url, headers=forged).data)["headers"])
    assert headers["X-Appengine-User-Ip"] == "127.0.0.1"
    assert not any("fake" in name.lower() for name in headers)


def test_presence_is_posted_to_it(emulator):
    token = emulator.create_channel("ann@example.com/1")
    opened = HTTP.request("GET", f"{emulator.url}/_ah/channel/open?channel={token}").json()
    until(lambda: Echo.posts)
    HTTP.request("POST", f"{emulator.url}/_ah/channel/close?socket={opened['socket']}")
    until(lambda: len(Echo.posts) == 2)
    assert [post["target"] for post in Echo.posts] == ["/_ah/channel/connected/", "/_ah/channel/disconnected/"]
    for post in Echo.posts:
        headers = {name.lower(): value for name, value in post["headers"]}
        assert post["body"] == "from=ann%40example.com%2F1"
        assert headers["x-appengine-user-ip"] == "0.1.0.10"
        assert "cookie" not in headers
        assert "origin" not in headers


def test_how_the_app_reaches_the_emulator_is_said(emulator):
    said = emulator.log.read_text()
    assert f"CHANNEL_EMULATOR_HOST=127.0.0.1:{emulator.port} API_HOST=127.0.0.1 API_PORT={emulator.port}" in said
    # Without it Go's library looks for a metadata server, and panics.
    assert "RUN_WITH_DEVAPPSERVER=1" in said
    assert "WARNING" not in said


def test_ready_means_that_the_app_can_be_reached(tmp_path):
    """The ready line does not wait for it: the app may need the emulator's variables to start."""
    url = f"http://127.0.0.1:{free_port()}"
    with RunningEmulator("--upstream", url, log=tmp_path / "log") as emulator:
        refused = f"The app at {url} cannot be reached: Connection refused."
        assert f"WARNING {refused}" in emulator.log.read_text()
        for path in ("/_emu/health/ready", "/_emu/health"):
            answer = HTTP.request("GET", emulator.url + path)
            assert (answer.status, answer.json()["status"], answer.json()["reason"]) == (503, "not ready", refused)
        assert HTTP.request("GET", f"{emulator.url}/_emu/health/live").status == 200
        assert HTTP.request("HEAD", f"{emulator.url}/_emu/health/ready").status == 503
        where = ["--emulator", f"127.0.0.1:{emulator.port}"]
        waited = subprocess.run(
            [*EMU, "wait", "--timeout", "0", *where], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert (waited.returncode, waited.stdout) == (1, "")
        assert refused in waited.stderr
        # The app is started with what the emulator says.
        assert subprocess.run([*EMU, "env", *where], cwd=ROOT, capture_output=True, check=False).returncode == 0
        server = ThreadingHTTPServer(("127.0.0.1", int(url.rpartition(":")[2])), Echo)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            answer = HTTP.request("GET", f"{emulator.url}/_emu/health/ready")
            assert (answer.status, "reason" in answer.json()) == (200, False)
            assert subprocess.run([*EMU, "wait", *where], cwd=ROOT, check=False).returncode == 0
        finally:
            server.shutdown()
            server.server_close()
        assert HTTP.request("GET", f"{emulator.url}/_emu/health/ready").status == 503


def test_a_port_that_leads_to_nobody_is_no_app(talks, monkeypatch):
    """As that of a container whose app is not there yet."""
    url = talks(lambda connection, stop: connection.close())
    monkeypatch.setattr(upstream, "CLOSING_SECONDS", 20.0)
    backend = upstream_backend(url, "127.0.0.1:8080", 5.0)
    assert backend.why_unreachable() == f"The app at {url} cannot be reached: it closes connections at once."


def test_one_that_says_nothing_before_it_is_asked_is_one(talks, monkeypatch):
    monkeypatch.setattr(upstream, "CLOSING_SECONDS", 0.01)
    assert upstream_backend(talks(never_reads), "127.0.0.1:8080", 5.0).why_unreachable() is None


def test_only_one_looks_at_a_time(monkeypatch):
    looking, go_on = threading.Event(), threading.Event()
    backend = upstream_backend("http://127.0.0.1:1", "127.0.0.1:8080", 5.0)
    before = backend.why_unreachable()

    def look(self):
        looking.set()
        assert go_on.wait(LONG_ENOUGH)

    monkeypatch.setattr(upstream.UpstreamOrigin, "_look", look)
    other = threading.Thread(target=backend.why_unreachable)
    other.start()
    assert looking.wait(LONG_ENOUGH)
    assert backend.why_unreachable() == before
    go_on.set()
    other.join(LONG_ENOUGH)
    assert backend.why_unreachable() is None


def test_nobody_there():
    port = free_port()
    backend = upstream_backend(f"http://127.0.0.1:{port}", "127.0.0.1:8080", 30.0)
    backend.start()
    seen = visit(backend)
    assert seen.status == 502
    assert f"http://127.0.0.1:{port}" in seen.text
    assert "Is it running?" in seen.text
    with pytest.raises(Unreachable, match=str(port)):
        backend.post("/_ah/channel/connected/", b"from=a", "application/x-www-form-urlencoded", 5)


def silent(connection, stop):
    """Reads, and says nothing."""
    connection.recv(65536)
    stop.wait(LONG_ENOUGH)


def trickles(connection, stop):
    connection.recv(65536)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n")
    give_up = time.monotonic() + LONG_ENOUGH
    while not stop.wait(0.1) and time.monotonic() < give_up:
        connection.sendall(b"x")


def never_reads(connection, stop):
    stop.wait(LONG_ENOUGH)


@pytest.mark.parametrize("do", [silent, trickles, never_reads])
def test_the_deadline_holds(do, talks):
    backend = upstream_backend(talks(do), "127.0.0.1:8080", 0.5)
    started = time.monotonic()
    seen = visit(backend, method="POST", body=b"x" * 20_000_000)
    assert time.monotonic() - started >= 0.5
    assert seen.status == 500
    assert "within 0.5 seconds" in seen.text
    assert seen.cut is True


def test_nonsense_is_a_bad_gateway(talks):
    def nonsense(connection, stop):
        connection.recv(65536)
        connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")

    seen = visit(upstream_backend(talks(nonsense), "127.0.0.1:8080", 5.0))
    assert seen.status == 502


@pytest.mark.parametrize("url", ["https://127.0.0.1:1", "http://127.0.0.1:8080"])
def test_what_it_cannot_stand_before(url):
    with pytest.raises(CannotStart, match="--upstream"):
        upstream_backend(url, "127.0.0.1:8080", 5.0)


def test_an_app_and_an_upstream_are_one_too_many():
    command = [*EMU, "serve", "main:app", "--upstream", "http://127.0.0.1:1"]
    done = subprocess.run(
        [*command, "--port", "0"], cwd=ROOT, capture_output=True, text=True, check=False, timeout=LONG_ENOUGH
    )
    assert done.returncode == 1
    assert "leave APP out" in done.stderr
