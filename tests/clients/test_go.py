"""A Go app on Debian's google.golang.org/appengine, unmodified: Create, Send, SendJSON, and the errors' types."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from pathlib import Path

import pytest
import urllib3

from appengine_channel_emu.server.service import Service
from appengine_channel_emu.settings import Settings
from appengine_channel_emu.testing import ChannelClient
from tests.support import parts

APP = Path(__file__).with_name("go_app")

# What a flexible environment's VM has; without a ticket, an id or these, the library panics (facts.md 2.3).
PRODUCTION = {
    "GAE_LONG_APP_ID": "app",
    "GAE_PARTITION": "s",
    "GAE_MODULE_NAME": "default",
    "GAE_MODULE_VERSION": "1",
    "GAE_MINOR_VERSION": "2",
    "GAE_MODULE_INSTANCE": "0",
}


@pytest.fixture(scope="module")
def binary(tmp_path_factory):
    go, library = parts.need(parts.go_appengine)
    folder = tmp_path_factory.mktemp("go")
    environ = os.environ | {
        "GO111MODULE": "off",
        "GOPATH": str(library),
        "GOFLAGS": "",
        "CGO_ENABLED": "0",
        "GOCACHE": str(parts.cache().absolute() / "go"),
    }
    command = [str(go), "build", "-o", str(folder / "app"), "."]
    ended = subprocess.run(command, cwd=APP, env=environ, capture_output=True, text=True, timeout=600, check=False)
    assert ended.returncode == 0, ended.stderr
    return folder / "app"


@pytest.fixture
def emulator():
    service = Service(Settings(port=0, state_dir="none"), lambda address: None)
    service.start()
    yield service
    service.stop()


class GoApp:
    """The app's process."""

    def __init__(self, binary, emulator, environ):
        host, _, port = emulator.address.rpartition(":")
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = probe.getsockname()[1]
        environ = environ | {"API_HOST": host, "API_PORT": port, "PORT": str(self.port), "PATH": os.environ["PATH"]}
        self.process = subprocess.Popen([str(binary)], env=environ, stderr=subprocess.PIPE)
        self._http = urllib3.PoolManager(retries=urllib3.Retry(connect=50, backoff_factor=0.05, backoff_max=0.2))

    def ask(self, path, **fields):
        answer = self._http.request("GET", f"http://127.0.0.1:{self.port}{path}", fields=fields, timeout=20.0)
        return answer.status, answer.data.decode("utf-8")

    def stop(self):
        self.process.kill()
        self.process.communicate()


@pytest.fixture(params=[{"RUN_WITH_DEVAPPSERVER": "1"}, PRODUCTION], ids=["dev", "production"])
def app(binary, emulator, request):
    running = GoApp(binary, emulator, request.param)
    yield running
    running.stop()


def test_create_send_and_send_json(app, emulator):
    status, token = app.ask("/create", id="gopher ☃")
    assert status == 200
    with ChannelClient(emulator.url, token) as client:
        assert app.ask("/send", id="gopher ☃", message="hello ☃") == (200, "sent")
        assert app.ask("/send_json", id="gopher ☃", message="<b>") == (200, "sent")
        assert client.receive() == "hello ☃"
        assert json.loads(client.receive()) == {"text": "<b>", "number": 7}


@pytest.mark.parametrize(
    ("path", "fields", "error"),
    [
        ("/create", {"id": ""}, "API error 2 (channel: INVALID_CHANNEL_KEY): A client id has 1 to 256 bytes"),
        ("/create", {"id": "x" * 257}, "API error 2 (channel: INVALID_CHANNEL_KEY): A client id has 1 to 256 bytes"),
        ("/send", {"id": "x", "message": ""}, "API error 3 (channel: BAD_MESSAGE): A message has 1 to 32767 bytes"),
        ("/send", {"id": "x", "message": "x" * 32768}, "API error 3 (channel: BAD_MESSAGE)"),
    ],
)
def test_refusals_are_api_errors_of_the_channel_service(app, path, fields, error):
    status, text = app.ask(path, **fields)
    assert status == 400
    assert text.startswith("*internal.APIError " + error)


def test_sends_to_nobody_succeed(app):
    assert app.ask("/send", id="nobody", message="x") == (200, "sent")
    assert app.ask("/send", id="", message="x") == (200, "sent")
