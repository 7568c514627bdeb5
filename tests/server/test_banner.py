"""What `channel-emu serve` shows of itself once it is ready, and its log as JSON."""

from __future__ import annotations

import json
import platform
import signal
import socket
import sys

import pytest
import urllib3

from appengine_channel_emu.host.backend import AppDescription
from appengine_channel_emu.host.process import python_version
from appengine_channel_emu.server import banner
from appengine_channel_emu.settings import Settings
from appengine_channel_emu.web.admin.status import About
from tests.support.waiting import LONG_ENOUGH

URL = "http://127.0.0.1:8080"


def rows(about, **settings):
    lines = banner.banner(Settings(**settings), about, colour=False).strip().splitlines()
    assert lines[0].startswith("channel-emu ")
    assert len({len(line) - len(line[12:].lstrip()) for line in lines[1:]}) == 1, "aligned"
    return {line.split()[0]: line.split(None, 1)[1] for line in lines[1:]}


def test_of_an_app():
    app = AppDescription("Python 3 app", "main:app", "3.11.7")
    shown = rows(About(app=app, url=URL, state_folder="/home/me/state"), request_deadline=10.0)
    assert shown == {
        "app": "main:app (Python 3 app, Python 3.11.7)",
        "address": URL,
        "console": f"{URL}/_emu/",
        "deadline": "10 s",
        "state": "/home/me/state",
    }


def test_of_the_emulator_alone():
    shown = rows(About(url=URL))
    assert shown["app"] == "none (to run one: channel-emu serve APP)"
    assert shown["state"] == "nothing is kept over a restart"
    assert "deadline" not in shown


def test_no_deadline():
    app = AppDescription("upstream app", "http://localhost:3000")
    shown = rows(About(app=app, url=URL), request_deadline=None)
    assert (shown["app"], shown["deadline"]) == ("http://localhost:3000 (upstream app)", "off")


@pytest.mark.parametrize(
    ("host", "own", "network"),
    [
        ("0.0.0.0", "192.168.1.5", "http://192.168.1.5:8080"),
        ("::", "fd00::5", "http://[fd00::5]:8080"),
        ("0.0.0.0", None, None),
        ("192.168.1.5", "192.168.1.5", None),  # the address says it
        ("localhost", "192.168.1.5", None),
    ],
)
def test_where_other_machines_reach_it(monkeypatch, host, own, network):
    monkeypatch.setattr(banner, "_own_address", lambda family: own)
    assert rows(About(url=URL), host=host).get("network") == network


def test_a_machine_without_a_network_has_no_such_address(monkeypatch):
    class NoWay(socket.socket):
        def connect(self, address):
            raise OSError(101, "Network is unreachable")

    monkeypatch.setattr(banner.socket, "socket", NoWay)
    assert banner.network_addresses("0.0.0.0", URL) == []


def test_the_name_of_an_app_commands_no_terminal():
    app = AppDescription("Python 3 app", "x\x1b[2J\ny")
    assert r"x\x1b[2J\ny" in banner.banner(Settings(), About(app=app, url=URL), colour=False)


def end(process):
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=LONG_ENOUGH)
    return process.returncode, out, err


def test_it_comes_once_plain_and_before_the_ready_line(serve):
    process, line = serve("--port", "0", "--state-dir", "none")
    url = line.split()[-1]
    shown = "".join(process.stderr.readline() for _ in range(7))
    assert shown.count(f"{url}/_emu/") == 1
    assert "\x1b" not in shown
    assert end(process) == (0, "", "")


@pytest.mark.parametrize("flag", ["--quiet", "-q", "--log-level=warning"])
def test_who_wants_no_such_thing_gets_none(serve, flag):
    process, _ = serve("--port", "0", "--state-dir", "none", flag)
    assert end(process) == (0, "", "")


def test_a_log_of_json_has_one_object_a_line_also_for_events_and_what_raises(serve, tmp_path):
    (tmp_path / "main.py").write_text("def app(environ, start_response): raise ValueError('two\\nlines')\n")
    arguments = ("--log-format", "json", "-v", "--port", "0", "--state-dir", "none", "main:app")
    process, line = serve(*arguments)
    url = line.split()[-1]
    body = {"client_id": "anna \u2603", "message": "a secret"}
    assert urllib3.request("POST", f"{url}/_emu/messages", json=body).status == 200
    code, _, err = end(process)
    assert code == 0
    lines = [json.loads(line) for line in err.splitlines()]
    for each in lines:
        assert {"time", "level", "logger", "message"} <= each.keys()
    assert [each["url"] for each in lines if each["message"].startswith("Ready at")] == [url]
    [dropped] = [each for each in lines if each.get("kind") == "message_dropped"]
    assert (dropped["client_id"], dropped["socket"], dropped["logger"]) == ("anna \u2603", None, "channel_emu.event")
    assert isinstance(dropped["detail"], dict)
    assert "a secret" not in err


def test_a_log_of_json_has_what_a_path_has_cost_as_numbers(serve, tmp_path):
    answer = "start_response('200 OK', []); return []"
    (tmp_path / "main.py").write_text(f"def app(environ, start_response): {answer}\n")
    process, line = serve("--log-format", "json", "--port", "0", "--state-dir", "none", "main:app")
    for _ in range(2):
        urllib3.request("GET", line.split()[-1] + "/news")
    lines = [json.loads(line) for line in end(process)[2].splitlines()]
    [cost] = [each for each in lines if "held_seconds" in each]
    assert (cost["path"], cost["requests"], cost["cut"]) == ("/news", 2, 0)


def test_another_python_is_named_with_its_path(tmp_path):
    other = tmp_path / "python"
    other.symlink_to(sys.executable)
    assert python_version(sys.executable) == platform.python_version()
    assert python_version(str(other)) == f"{platform.python_version()} at {other}"
    assert python_version(str(tmp_path / "none")) == str(tmp_path / "none")
