"""`channel-emu demo`: the sample app is played at once, and the browser is the user's."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess

import pytest
import urllib3

from appengine_channel_emu.cli import demo
from appengine_channel_emu.testing import ChannelClient
from tests.support.emulator import EMU, READY
from tests.support.parts import ROOT
from tests.support.processes import default_signals
from tests.support.terminal import Terminal
from tests.support.waiting import LONG_ENOUGH, until

A_PERSON = {"DISPLAY": ":0", "TERM": "xterm"}


@pytest.mark.parametrize(
    ("environ", "platform", "at_terminal", "opens"),
    [
        (A_PERSON, "linux", True, True),
        ({"WAYLAND_DISPLAY": "wayland-0"}, "linux", True, True),
        ({}, "darwin", True, True),
        ({"TERM": "xterm"}, "linux", True, False),
        (A_PERSON, "linux", False, False),
        (A_PERSON | {"CI": "true"}, "linux", True, False),
        (A_PERSON | {"SSH_CONNECTION": "192.0.2.1 5000 192.0.2.2 22"}, "linux", True, False),
        ({"SSH_CONNECTION": "192.0.2.1 5000 192.0.2.2 22"}, "darwin", True, False),
    ],
)
def test_a_browser_is_for_a_person_at_a_screen(environ, platform, at_terminal, opens):
    assert demo.can_open_browser(environ, platform, at_terminal) == opens


@pytest.fixture
def browser(tmp_path, monkeypatch):
    """The path of what the user's browser notes when it is opened."""
    noted = tmp_path / "noted"
    program = tmp_path / "browser"
    # As w3m would: by any of these it finds a terminal.
    program.write_text(
        "#!/bin/sh\n"
        f'{{ echo "$1"; echo "TERM=$TERM"; tty; (: < /dev/tty) && echo a terminal; }} > {noted}.new 2>&1\n'
        f"mv {noted}.new {noted}\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("BROWSER", f"{program} %s")
    return noted


@pytest.fixture
def taken_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_at_a_terminal_the_browser_is_opened_at_the_game_and_has_no_terminal(browser):
    environ = {name: value for name, value in os.environ.items() if name not in ("CI", "SSH_CONNECTION")}
    with Terminal([*EMU, "demo", "--port", "0"], environ | A_PERSON) as terminal:
        shown = terminal.read_until(r"channel-emu: ready at http://\S+:\d+\r\n")
        until(browser.exists)
    url = re.findall(r"http://\S+", shown)[-1]
    assert f"player O  {url}/?game=demogame  the same" in shown
    opened, *rest = browser.read_text().splitlines()
    assert opened == f"{url}/?game=demogame"
    assert rest[:2] == ["TERM=", "not a tty"]
    assert "a terminal" not in rest


def test_no_browser_where_none_is_wanted(browser):
    environ = {name: value for name, value in os.environ.items() if name not in ("CI", "SSH_CONNECTION")}
    with Terminal([*EMU, "demo", "--port", "0", "--no-browser"], environ | A_PERSON) as terminal:
        assert "open it in a browser" in terminal.read_until(r"channel-emu: ready at \S+\r\n")
    assert not browser.exists()


def test_without_a_port_the_next_free_one_is_taken(monkeypatch, taken_port):
    monkeypatch.setattr(demo, "FIRST_PORT", taken_port)
    assert taken_port < demo._free_port() < taken_port + demo.PORTS
    monkeypatch.setattr(demo, "PORTS", 1)
    assert demo._free_port() == 0


@pytest.mark.parametrize(("port", "code", "text"), [("x", 2, "--port: 'x' is not a whole number"), (None, 1, "in use")])
def test_a_port_that_cannot_be_had_is_an_error(taken_port, port, code, text):
    command = [*EMU, "demo", "--port", port or str(taken_port)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LONG_ENOUGH, check=False)
    assert (done.returncode, done.stdout) == (code, "")
    assert text in done.stderr
    assert "Traceback" not in done.stderr


def test_a_game_and_its_end(tmp_path):
    """Whatever is set for an app of the user's; and Ctrl-C ends it."""
    (tmp_path / "channel-emu.yaml").write_text("app: other:app\nno-such-setting: 1\n")
    environ = os.environ | {"PYTHONPATH": str(ROOT), "CHANNEL_EMU_APP": "other:app", "PYTHONDONTWRITEBYTECODE": ""}
    process = subprocess.Popen(
        [*EMU, "demo", "--port", "0"],
        cwd=tmp_path,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=default_signals,
    )
    try:
        url = READY.fullmatch(process.stdout.readline())[1]
        play_the_first_move(url)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=LONG_ENOUGH)
    finally:
        process.kill()
        process.wait()
    assert (process.returncode, out) == (0, "")
    assert f"{url}/?game=demogame" in err
    assert "Traceback" not in err
    assert [path.name for path in tmp_path.iterdir()] == ["channel-emu.yaml"]


def play_the_first_move(url: str) -> None:
    """As two pages would, at the address that the demo names."""
    http = urllib3.PoolManager(retries=False, timeout=urllib3.Timeout(LONG_ENOUGH))
    assert "Tic-tac-toe" in http.request("GET", url + demo.GAME, redirect=False).data.decode()

    def post(path, **fields):
        fields = {"game": demo.GAME.partition("=")[2], **fields}
        answer = http.request("POST", url + path, fields=fields, encode_multipart=False)
        assert answer.status == 200, answer.data
        return answer

    first, second = (post("/join").json() for _ in range(2))
    with ChannelClient(url, first["token"]), ChannelClient(url, second["token"]) as other:
        for player in (first, second):
            post("/opened", visitor=player["visitor"])
        post("/move", visitor=first["visitor"], cell="4")
        while '"board": [null, null, null, null, "X"' not in other.receive(timeout=LONG_ENOUGH):
            pass
    http.clear()
