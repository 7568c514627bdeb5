"""A real server on a free port, in this process."""

from __future__ import annotations

import os
import select
import subprocess

import pytest

from appengine_channel_emu.server.loop import EpollLoop, StockLoop
from appengine_channel_emu.server.service import Service
from appengine_channel_emu.settings import Settings
from tests.server.played_page import Streams
from tests.support import parts
from tests.support.backend import PlayedBackend, ok
from tests.support.emulator import EMU
from tests.support.waiting import LONG_ENOUGH


class SlowApp(PlayedBackend):
    """A backend whose requests wait until the test lets them go."""

    def __init__(self):
        import threading

        self.release = threading.Event()
        self.started = threading.Semaphore(0)
        self.posts = []

    def stop(self):
        self.release.set()

    def serve(self, environ, request_id):
        self.started.release()
        if environ["PATH_INFO"].startswith("/slow"):
            self.release.wait(LONG_ENOUGH)
        return ok(b"app")

    def post(self, path, body, content_type, timeout):
        self.posts.append((path, body))
        return 200


@pytest.fixture
def make_service():
    services = []

    def make(backend=None, short_path=True, **settings):
        service = Service(Settings(port=0, **{"state_dir": "none", **settings}), lambda address: backend, short_path)
        services.append(service)
        service.start()
        return service

    yield make
    for service in services:
        service.stop()


@pytest.fixture
def service(make_service):
    return make_service()


@pytest.fixture
def make_streams():
    """As `make_service`, of one whose path /stream becomes a WebSocket to a page that the test plays."""
    services = []

    def make(**settings):
        service = Service(Settings(port=0, state_dir="none", **settings), lambda address: None)
        services.append(service)
        service.front = Streams(service.front)
        service.start()
        return service

    yield make
    for service in services:
        service.stop()


@pytest.fixture
def slow_app():
    return SlowApp()


@pytest.fixture(params=["epoll", "stock"])
def any_loop(request, monkeypatch):
    """Each of the two loops that a service may have."""
    if request.param == "epoll" and not hasattr(select, "epoll"):
        parts.lacking("this system has no epoll")
    kind = EpollLoop if request.param == "epoll" else StockLoop
    monkeypatch.setattr("appengine_channel_emu.server.service.make_loop", kind)


ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("CHANNEL_EMU")}


@pytest.fixture
def serve(tmp_path):
    """Start `channel-emu serve`; the process and the first line of its standard output."""
    processes = []
    # Without an SDK, whether or not this machine has one: tests/legacy_apps are those with one.
    environment = {name: value for name, value in ENVIRONMENT.items() if name != "APPENGINE_SDK"}
    environment["XDG_CACHE_HOME"] = str(tmp_path / "cache")

    def start(*arguments):
        command = [*EMU, "serve", *arguments]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, cwd=tmp_path
        )
        processes.append(process)
        return process, process.stdout.readline()

    yield start
    for process in processes:
        process.kill()
        process.communicate()
