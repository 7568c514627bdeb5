"""No secret stands on a command line, where every user of the machine can read it (behaviour.md 11)."""

from __future__ import annotations

import secrets

import pytest

from tests.support.emulator import RunningEmulator
from tests.support.legacy import emulated
from tests.support.processes import MARK, marked

APP_YAML = """
runtime: {runtime}
api_version: 1
threadsafe: true
env_variables:
  PASSWORD: {password}
handlers:
- url: /.*
  script: main.app
"""

MAIN = """
import os, json

def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps([os.environ["PASSWORD"]]).encode("ascii")]
"""


@pytest.fixture
def write(tmp_path):
    def write(runtime, password):
        (tmp_path / "app.yaml").write_text(APP_YAML.format(runtime=runtime, password=password))
        (tmp_path / "main.py").write_text(MAIN)
        return tmp_path

    return write


def test_of_a_python3_app(write, tmp_path):
    password, mark = secrets.token_hex(8), secrets.token_hex(8)
    folder = write("python312", password)
    environ = {MARK: mark, "CHANNEL_EMU_ALLOW_HOST": "name-in-a-setting.test"}
    with RunningEmulator(str(folder), log=tmp_path / "log", environ=environ) as emulator:
        assert emulator.get_json("/")[0] == password
        commands = marked(mark).values()
    assert any("runner/__main__.py" in command for command in commands)
    assert not [command for command in commands if password in command or "name-in-a-setting" in command]


@pytest.mark.slow
def test_of_an_sdk_app(write, tmp_path):
    password, mark = secrets.token_hex(8), secrets.token_hex(8)
    folder = write("python27", password)
    with emulated(folder, tmp_path / "log", environ={MARK: mark}) as emulator:
        assert emulator.get_json("/")[0] == password
        commands = marked(mark).values()
    assert any("dev_appserver.py" in command for command in commands)
    assert not [command for command in commands if password in command]


def test_a_large_environment_gets_there(write, tmp_path):
    """Larger than what a pipe holds, which is filled before anybody reads it."""
    password = "x" * 100_000
    with RunningEmulator(str(write("python312", password)), log=tmp_path / "log") as emulator:
        assert emulator.get_json("/")[0] == password
