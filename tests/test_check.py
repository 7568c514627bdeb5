"""`channel-emu check` and `wait`, against our own server, one that does nothing right, and none."""

from __future__ import annotations

import json
import threading

import pytest

from appengine_channel_emu.cli import main
from appengine_channel_emu.cli.check import PROBE_APP
from appengine_channel_emu.conformance import checks
from appengine_channel_emu.conformance.server import Server
from appengine_channel_emu.testing import ChannelServer


@pytest.fixture
def probe(monkeypatch):
    monkeypatch.syspath_prepend(str(PROBE_APP))
    import probe

    return probe.app


def run_while_its_minute_passes(server, *arguments):
    """The run itself moves no clock; this test does, once the other checks are over."""
    codes = []
    command = threading.Thread(target=lambda: codes.append(main(["check", server.url, *arguments])))
    command.start()
    while command.is_alive():
        command.join(0.2)
        events = server._running.broker.events.after(0)
        # The last of the others is that of presence; without an app it is skipped.
        if sum(event.kind == "message_sent" for event in events) >= 29:
            server.advance(61)
    return codes[0]


def test_ours_has_deliberate_differences_only(probe, capsys):
    with ChannelServer(probe) as server:
        code = run_while_its_minute_passes(server, "--json")
    report = json.loads(capsys.readouterr().out)
    different = [each for each in report["checks"] if each["state"] != "passed"]
    assert [(each["title"], each["state"]) for each in different] == [("dev wire: disconnect", "different")], different
    assert code == 0
    assert report["counts"] == {"passed": len(report["checks"]) - 1, "different": 1}


def test_presence_is_not_checked_without_the_probe():
    with ChannelServer() as server:
        result = dict(checks.CHECKS)["presence: connected/ once, disconnected/ once, in order"](
            Server(server.url, None)
        )
    assert result.state == "not checked"


@pytest.mark.parametrize(
    ("fault", "title"),
    [
        ("send drop probability=0.3 seed=1", "delivery: in order, one message a poll, as the app sent it"),
        ("send duplicate", "delivery: in order, one message a poll, as the app sent it"),
        ("poll delay seconds=0.5", "push: a message reaches a waiting page within 0.1 s"),
        ("open error error=Invalid+token.", "dev wire: connect answers 200 with the body 1"),
        ("create error", "tokens: of [A-Za-z0-9_-], 20 to 256 characters"),
    ],
)
def test_what_goes_wrong_fails(fault, title):
    with ChannelServer() as server:
        assert dict(checks.CHECKS)[title](Server(server.url, None)).state == "passed"
        server.faults.add(fault)
        assert checks._run(dict(checks.CHECKS)[title], Server(server.url, None)).state == "failed"


def test_no_server_and_no_address(capsys):
    assert main(["check", "http://127.0.0.1:9"]) == 1
    assert "does not answer" in capsys.readouterr().err
    assert main(["check", "localhost"]) == 2
    assert "no http:// address" in capsys.readouterr().err


def test_wait(capsys, monkeypatch):
    with ChannelServer() as server:
        address = server.url.removeprefix("http://")
        assert main(["wait", "--emulator", address]) == 0
    assert main(["wait", "--emulator", address, "--timeout", "0.2"]) == 1
    assert "not ready within 0.2 s: no emulator answers" in capsys.readouterr().err
    assert main(["wait", "--timeout", "soon"]) == 2
