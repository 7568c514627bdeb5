"""The plugin: it costs nothing where it is not used, and its fixtures keep tests apart."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.support.parts import ROOT
from tests.testing.test_docs import run_pytest

IMPORTED = """
import pytest, sys
before = set(sys.modules)
import appengine_channel_emu.pytest_plugin
print(*sorted(name for name in set(sys.modules) - before if name.startswith("appengine_channel_emu")))
print(*sorted(set(sys.modules) & {"falcon", "waitress", "urllib3", "google.protobuf", "yaml"}))
"""


def test_unused_it_imports_nothing_but_itself():
    """How long that takes is measured by bench/plugin.py."""
    command = [sys.executable, "-c", IMPORTED]
    environ = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=True)
    assert done.stdout == "appengine_channel_emu appengine_channel_emu.pytest_plugin\n\n"


def test_emulators_of_two_tests_know_nothing_of_each_other(tmp_path):
    (tmp_path / "test_apart.py").write_text(
        """
import pytest

@pytest.mark.parametrize("run", [1, 2])
def test_each_starts_empty(channel_emulator, channel_client, run):
    assert channel_emulator.broker.journal.after(0) == []
    channel_client("anna")
    assert channel_emulator.send_message("anna", "x").delivered_to == 1

@pytest.mark.parametrize("run", [1, 2])
def test_so_does_the_server(channel_server, run):
    assert channel_server.send_message("anna", "x").delivered_to == 0
    assert channel_server.send_message("anna", "x").reason == "No channel of that name."
    client = channel_server.client("anna").open()
    assert channel_server.send_message("anna", "x").delivered_to == 1

def test_the_server_api_asks_the_emulator_of_the_test(channel_emulator):
    from google.appengine.api import channel
    token = channel.create_channel("bert")
    assert channel_emulator.broker.client_id_of(token) == "bert"

def test_and_the_server_in_a_test_of_the_server(channel_server):
    from google.appengine.api import channel
    token = channel.create_channel("bert")
    assert channel_server.client(token=token).open().error is None
"""
    )
    said = run_pytest(tmp_path)
    assert "6 passed" in said, said


def test_the_app_is_named_by_overriding_a_fixture(tmp_path):
    (tmp_path / "test_app.py").write_text(
        """
import pytest
seen = []

@pytest.fixture
def channel_app():
    def app(environ, start_response):
        seen.append(environ["PATH_INFO"])
        start_response("200 OK", [("Content-Type", "text/plain")])
        return []
    return app

def test_presence(channel_client, channel_clock):
    channel_client("anna").close()
    channel_clock.advance(2)
    assert seen == ["/_ah/channel/connected/", "/_ah/channel/disconnected/"]
"""
    )
    assert "1 passed" in run_pytest(tmp_path)


LEAKS = """
import pytest

present = set()

def app(environ, start_response):
    path = environ["PATH_INFO"]
    name = environ["wsgi.input"].read().decode()
    (present.add if path == "/_ah/channel/connected/" else present.discard)(name)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return []

@pytest.fixture
def channel_app():
    return app

@pytest.fixture(scope="session")
def channel_server_app():
    return app
"""


def test_the_apps_globals_do_not_leak_into_the_next_test(tmp_path):
    (tmp_path / "test_leaks.py").write_text(
        LEAKS
        + """
@pytest.mark.parametrize("run", [1, 2])
def test_of_the_client(channel_client, run):
    assert not present
    channel_client("anna")
    channel_client("bert").vanish()
    assert len(present) == 2

def test_of_the_emulators_own(channel_emulator):
    assert not present
    channel_emulator.client("anna").open()

@pytest.mark.parametrize("run", [1, 2])
def test_of_the_server(channel_server, run):
    assert not present
    channel_server.client("anna").open()
    assert len(present) == 1

def test_one_that_fails(channel_client):
    assert not present
    channel_client("anna")
    assert 0, "its own failure"

def test_after_it():
    assert not present
"""
    )
    said = run_pytest(tmp_path)
    assert "1 failed, 6 passed" in said, said
    assert "its own failure" in said


def test_an_emulator_that_outlives_the_test_is_left_clean_by_the_client(tmp_path):
    (tmp_path / "test_leaks.py").write_text(
        LEAKS
        + """
from appengine_channel_emu.testing import Emulator

@pytest.fixture(scope="module")
def channel_emulator():
    with Emulator(app) as emulator:
        yield emulator

@pytest.mark.parametrize("run", [1, 2])
def test_of_the_client(channel_client, run):
    assert not present
    channel_client("anna")
"""
    )
    assert "2 passed" in run_pytest(tmp_path)


def test_a_presence_handler_that_raises_is_an_error_of_its_test_alone(tmp_path):
    (tmp_path / "test_raises.py").write_text(
        LEAKS.replace("present.add if", "present.missing if")
        + """
def test_in_process(channel_client):
    channel_client("anna")

def test_of_a_server(channel_server):
    channel_server.client("anna").open()

def test_that_fails_by_itself(channel_client):
    channel_client("anna")
    assert 0, "its own failure"

def test_that_means_it(channel_client, channel_emulator):
    channel_client("anna")
    channel_emulator.presence_errors.clear()

def test_another(channel_client):
    pass
"""
    )
    said = run_pytest(tmp_path)
    assert "1 failed, 4 passed, 3 errors" in said, said
    assert "AttributeError: 'set' object has no attribute 'missing'" in said
    assert "PresenceHandlerError: The app's handler of /_ah/channel/connected/ raised AttributeError" in said
    assert "its own failure" in said
