"""`/_emu/status`: what runs here, at a glance."""

from __future__ import annotations

import os

import pytest
import urllib3

from appengine_channel_emu import __version__
from appengine_channel_emu.testing import ChannelClient
from tests.support.backend import PlayedBackend


def status_of(service):
    return urllib3.request("GET", f"{service.url}/_emu/status").json()


def test_of_an_emulator_without_an_app(make_service):
    service = make_service()
    status = status_of(service)
    assert (status["version"], status["app"], status["pid"]) == (__version__, None, os.getpid())
    assert (status["url"], status["console"]) == (service.url, f"{service.url}/_emu/")
    assert (status["deadline"], status["state_dir"]) == (30.0, None)
    assert status["clock"] == {"now": pytest.approx(status["clock"]["now"]), "frozen": False, "advanced": 0.0}
    assert status["uptime"] >= 0


def test_it_names_the_app_the_deadline_and_the_state_folder(make_service, tmp_path):
    service = make_service(PlayedBackend(), state_dir=tmp_path / "state", request_deadline=None)
    status = status_of(service)
    assert status["app"] == {"kind": "played app", "name": "played", "python": None}
    assert (status["deadline"], status["state_dir"]) == (None, str(tmp_path / "state"))


def test_of_two_with_one_state_folder_the_second_keeps_nothing(make_service, tmp_path):
    make_service(state_dir=tmp_path)
    assert status_of(make_service(state_dir=tmp_path))["state_dir"] is None


def test_it_counts_channels_sockets_and_messages(make_service):
    service = make_service()
    broker = service.broker
    tokens = [broker.create_channel(name).token for name in ("anna", "ben", "clara", "dora")]
    broker.connect(tokens[2])
    broker.open(tokens[3])
    with ChannelClient(service.url, tokens[0]), ChannelClient(service.url, tokens[1], transport="stream") as page:
        broker.send_message("ben", "x")
        assert page.receive() == "x"
        broker.send_message("nobody", "y")
        status = status_of(service)
    assert status["channels"] == 4
    assert status["sockets"] == {"stream": 1, "poll": 1, "sdk": 1, "none": 1}
    assert status["messages"] == {"sent": 1, "dropped": 1}
