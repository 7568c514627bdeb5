"""A running server in front of an app that notes its requests, and an emulator in process."""

from __future__ import annotations

import pytest

from appengine_channel_emu.testing import ChannelServer, Emulator

told: list[str] = []


def app(environ, start_response):
    told.append(environ["PATH_INFO"])
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"app"]


@pytest.fixture(name="told")
def _told():
    """The paths that the app behind `server` was asked for."""
    told.clear()
    return told


@pytest.fixture(scope="session")
def running():
    with ChannelServer(app, api_port=0) as server:
        yield server


@pytest.fixture
def server(running, told):
    """A server on a free port of this process, which tests talk to over HTTP."""
    yield running
    running.reset()


@pytest.fixture
def emulator(told):
    """The same in process, with a clock that the test moves."""
    with Emulator(app) as emulator:
        yield emulator


@pytest.fixture
def happened():
    """The faults that an emulator or a server has noted, as `stage action`."""

    def texts(broker):
        start = "A fault on request: "
        return [event.text.removeprefix(start).rstrip(".") for event in broker.events.after(0) if event.kind == "fault"]

    return texts
