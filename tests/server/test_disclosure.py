"""What a running emulator writes and where, when those who talk to it choose the words."""

from __future__ import annotations

import gzip
import json
import os
import re
import select
import socket
import stat
import tempfile
import textwrap
from pathlib import Path

import pytest

from tests.support.attack import MIB, memory
from tests.support.emulator import RunningEmulator
from tests.support.waiting import until
from tests.support.wire import ask, connect, rest

APP = """
    import time

    def app(environ, start_response):
        path = environ["PATH_INFO"]
        if path.startswith("/_ah/channel/"):
            start_response("500 Internal Server Error", [])
            return [b""]
        if "hold" in path:
            time.sleep(60)
        body = environ["wsgi.input"].read()
        start_response("200 OK", [("Content-Type", "application/octet-stream")])
        return [b"x" * 24 * 1024 * 1024] if path == "/large" else [str(len(body)).encode()]
"""

LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} (DEBUG|INFO|WARNING|ERROR) ")


@pytest.fixture
def folder():
    # A short path: an instance whose socket would have too long a one takes another folder.
    with tempfile.TemporaryDirectory(prefix="disclosure-") as name:
        folder = Path(name)
        (folder / "app").mkdir()
        (folder / "app" / "main.py").write_text(textwrap.dedent(APP))
        (folder / "tmp").mkdir()
        yield folder


@pytest.fixture
def serve(folder):
    started = []

    def start(*arguments):
        emulator = RunningEmulator(
            "main:app",
            "--app-dir",
            str(folder / "app"),
            *arguments,
            log=folder / "log",
            state_dir=folder / "state",
            environ={"TMPDIR": str(folder / "tmp")},
        )
        started.append(emulator)
        emulator.start()
        return emulator

    yield start
    for emulator in started:
        emulator.stop()


def request(path, *headers, method=b"GET", body=b""):
    return b"\r\n".join([method + b" " + path + b" HTTP/1.1", b"Host: localhost", *headers, b"", body])


FORGED = b"%0aFORGED%20line%0d%1b%5d0;title%07%1b%5b2J%c2%9b31m%e2%80%ae"


def test_nobody_writes_lines_of_the_log_or_commands_the_terminal(serve, folder):
    emulator = serve("--log-level", "debug", "--request-deadline", "1")
    close = b"Connection: close"
    ask(emulator.port, request(b"/plain" + FORGED, close))
    # A request that is cut, and one whose client leaves: both are told of in the log.
    assert ask(emulator.port, request(b"/hold" + FORGED, close)).startswith(b"HTTP/1.1 500 ")
    with connect(emulator.port) as leaving:
        leaving.sendall(request(b"/hold/leave" + FORGED))
        select.select([], [], [], 0.2)
    ask(emulator.port, request(b"/_emu" + FORGED, close))
    ask(emulator.port, request(b"/", close, b"X: a\x1b[2Jb"))
    ask(emulator.port, b"\x1b[2J \n\n\r\n\r\n")
    # The app refuses the presence post, which is a warning that names the client id.
    client_id = "bob\nFORGED line\x1b]0;title\x07\x9b31m\u202e"
    emulator.get_json(f"/_ah/channel/open?channel={emulator.create_channel(client_id)}")
    log = folder / "log"
    until(lambda: "the app answered 500" in log.read_text() and "leave" in log.read_text())
    emulator.stop()
    written = log.read_text()
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", written)
    # Other lines are the app's own: the traceback of its handler that was cut.
    forged = [line for line in written.splitlines() if "FORGED" in line]
    assert len(forged) >= 4
    assert [line for line in forged if not LINE.match(line)] == []


def test_the_log_holds_no_token_and_no_message(serve, folder):
    emulator = serve("--log-level", "info")
    token = emulator.create_channel("bob")
    socket_id = emulator.get_json(f"/_ah/channel/open?channel={token}")["socket"]
    emulator.send("bob", "a secret text")
    emulator.get_json(f"/_ah/channel/poll?socket={socket_id}&after=0&wait=0")
    ask(emulator.port, request(b"/app?channel=" + token.encode(), b"Connection: close"))
    ask(emulator.port, request(b"/_ah/channel/dev?command=poll&channel=" + token.encode(), b"Connection: close"))
    events = json.dumps(emulator.get_json("/_emu/events"))
    emulator.stop()
    for text in (token, "a secret text"):
        assert text not in (folder / "log").read_text()
        assert text not in events


def test_what_it_keeps_on_disk_is_for_its_user_alone(serve, folder):
    emulator = serve()
    emulator.get_json(f"/_ah/channel/open?channel={emulator.create_channel('bob')}")
    ask(emulator.port, request(b"/", b"Connection: close"))
    for name in ("state", "tmp"):
        for path in (folder / name).rglob("*"):
            assert path.stat().st_uid == os.geteuid()
    assert stat.S_IMODE((folder / "state").stat().st_mode) == 0o700
    # The instance listens there: whoever could connect would get round the front.
    (sockets,) = [path for path in (folder / "tmp").rglob("app") if stat.S_ISSOCK(path.stat().st_mode)]
    assert stat.S_IMODE(sockets.parent.stat().st_mode) == 0o700
    emulator.stop()
    assert list((folder / "tmp").iterdir()) == []


def test_nothing_of_a_request_stays_on_disk(serve, folder):
    emulator = serve()
    before = set((folder / "tmp").rglob("*"))
    with connect(emulator.port) as sender:
        sender.sendall(request(b"/", b"Content-Length: %d" % (8 * MIB), method=b"POST") + b"secret" * MIB)
        # Half of it: it is on disk by now, without a name.
        assert set((folder / "tmp").rglob("*")) == before
    whole = request(b"/", b"Connection: close", b"Content-Length: %d" % (8 * MIB), method=b"POST", body=b"x" * 8 * MIB)
    assert ask(emulator.port, whole).endswith(str(8 * MIB).encode())
    assert set((folder / "tmp").rglob("*")) == before


def test_a_compressed_bomb_is_not_inflated(serve):
    emulator = serve()
    before = memory(emulator)
    bomb = gzip.compress(bytes(100 * MIB))
    fields = [b"Content-Encoding: gzip", b"Content-Type: application/json", b"Connection: close"]
    fields.append(b"Content-Length: %d" % len(bomb))
    assert ask(emulator.port, request(b"/", *fields, method=b"POST", body=bomb)).endswith(str(len(bomb)).encode())
    assert ask(emulator.port, request(b"/_emu/messages", *fields, method=b"POST", body=bomb)).startswith(
        b"HTTP/1.1 400 "
    )
    assert memory(emulator) - before < 50


@pytest.mark.slow
def test_those_that_never_read_hold_none_of_the_apps_threads(serve):
    emulator = serve("--threads", "2", "--answer-timeout", "600")
    greedy = [connect(emulator.port, receive_buffer=4096) for _ in range(4)]
    for each in greedy:
        each.sendall(request(b"/large"))
    with connect(emulator.port) as other:
        other.sendall(request(b"/", b"Connection: close"))
        assert rest(other).endswith(b"0")
    for each in greedy:
        assert isinstance(each, socket.socket)
        each.close()
