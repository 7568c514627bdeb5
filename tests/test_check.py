"""`channel-emu check` and `wait`, against our own server, one on which things go wrong, and none."""

from __future__ import annotations

import pytest

from appengine_channel_emu.cli import main
from appengine_channel_emu.conformance import checks, run, stream_checks
from appengine_channel_emu.conformance.results import Result
from appengine_channel_emu.conformance.server import CheckedServer
from appengine_channel_emu.host.visitors import ServerHints
from appengine_channel_emu.testing import ChannelServer
from appengine_channel_emu.web.channel import wires
from tests.support.waiting import LONG_ENOUGH


@pytest.mark.parametrize("about", ["presence", "deadline"])
def test_what_needs_the_probe_is_not_checked_without_it(about):
    with ChannelServer() as server:
        results = [
            function(CheckedServer(server.url, None)).state
            for title, function in run.QUICK + run.SLOW
            if title.startswith(f"{about}:")
        ]
    assert set(results) == {"not checked"}


@pytest.mark.parametrize(
    ("fault", "title"),
    [
        ("send drop probability=0.3 seed=1", "delivery: in order, one message a poll, as the app sent it"),
        ("send duplicate", "delivery: in order, one message a poll, as the app sent it"),
        ("poll delay seconds=1.5", "push: a message reaches a waiting page within 0.1 s"),
        ("open error error=Invalid+token.", "dev wire: connect answers 200 with the body 1"),
        ("create error", "tokens: of [A-Za-z0-9_-], 20 to 256 characters"),
        ("stream error error=503", "stream: an upgrade, no extension taken, and a frame at once"),
        ("stream drop", "stream: it takes over from a poll; a poll and another stream from it"),
        ("poll delay seconds=1.5", "stream: a message reaches the page within 0.1 s"),
        ("poll cut", "stream: what the page has not acknowledged comes again, over a poll and over a stream"),
    ],
)
def test_what_goes_wrong_fails(fault, title, monkeypatch):
    def push_within(seconds):
        for module in (checks, stream_checks):
            monkeypatch.setattr(module, "PUSH_SECONDS", seconds)

    push_within(LONG_ENOUGH)
    with ChannelServer() as server:
        assert dict(run.QUICK)[title](CheckedServer(server.url, None)).state == "passed"
        server.faults.add(fault)
        push_within(0.1)
        assert run.run_one(dict(run.QUICK)[title], CheckedServer(server.url, None)).state == "failed"


def test_a_server_that_does_not_stream_is_told_so(monkeypatch):
    monkeypatch.setattr(wires, "server_hints", lambda environ: ServerHints())  # As of any WSGI server.
    with ChannelServer() as server:
        results = [run.run_one(function, CheckedServer(server.url, None)) for _, function in stream_checks.checks.quick]
    assert set(results) == {Result("not checked", "this server does not say that it streams")}


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
