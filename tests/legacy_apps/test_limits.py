"""The Channel API's limits and errors, asked for by one app of every kind and behind the plain SDK."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

from appengine_channel_emu.environment import COMPAT_PATH
from tests.support import parts
from tests.support.emulator import RunningEmulator
from tests.support.legacy import APPS, PlainSdk, emulated
from tests.support.processes import running_command
from tests.support.wire import free_port, wait_for_port

APP = APPS / "limits"


def check(found, python):
    """Every case came out as in the SDK; where its text is the service's own affair, the class counts."""
    assert found["python"] == python
    assert len(found["cases"]) >= 60
    wrong = [
        (case, expected, came)
        for case, expected, came in found["cases"]
        if came != expected and not came.startswith(f"{expected}: ")
    ]
    assert not wrong


def test_of_a_module(tmp_path, http):
    with RunningEmulator("main:app", "--app-dir", str(APP), log=tmp_path / "log") as emulator:
        check(http.request("GET", emulator.url).json(), 3)


def test_of_an_app_yaml_under_python_3(tmp_path, http):
    with RunningEmulator(str(APP), "--no-sdk", log=tmp_path / "log") as emulator:
        check(http.request("GET", emulator.url).json(), 3)


@pytest.mark.slow
def test_of_an_app_in_the_sdk(tmp_path, http):
    """Through the SDK's own library."""
    with emulated(APP, tmp_path / "log") as emulator:
        check(http.request("GET", emulator.url).json(), 2)


@pytest.mark.slow
def test_an_sdk_that_has_dropped_the_module_gets_ours(tmp_path, http):
    """A folder of links to the SDK, without `google.appengine.api.channel.channel`."""
    sdk, pruned = parts.need(parts.sdk), tmp_path / "sdk"
    links_but(sdk, pruned, ["google", "appengine", "api", "channel", "channel.py"])
    (pruned / "google" / "appengine" / "api" / "channel" / "__init__.py").write_text("")
    python = str(parts.need(parts.python27))
    with RunningEmulator(str(APP), "--sdk", str(pruned), "--python", python, log=tmp_path / "log") as emulator:
        check(http.request("GET", emulator.url).json(), 2)


def links_but(folder, made, path):
    """`made` looks like `folder`, but that what is at `path` in it is missing."""
    made.mkdir()
    for entry in folder.iterdir():
        if entry.name == path[0] and len(path) > 1:
            links_but(entry, made / entry.name, path[1:])
        elif entry.name == path[0] or entry.suffix == ".pyc":
            continue
        elif entry.suffix == ".py":
            # A link would lead the SDK's own search for its folder back to the whole one.
            shutil.copyfile(entry, made / entry.name)
        else:
            (made / entry.name).symlink_to(entry)


@pytest.mark.slow
def test_of_the_plain_sdk(tmp_path, http):
    """So the list is the SDK's, and not ours."""
    with PlainSdk(APP, tmp_path) as plain:
        check(http.request("GET", plain.url).json(), 2)


@pytest.mark.parametrize("python", [2, 3])
def test_of_an_app_that_runs_elsewhere(python, tmp_path, http):
    program = parts.need(parts.python27) if python == 2 else sys.executable
    port = free_port()
    with RunningEmulator("--upstream", f"http://127.0.0.1:{port}", log=tmp_path / "log") as emulator:
        environ = {"PYTHONPATH": str(COMPAT_PATH), "CHANNEL_EMULATOR_HOST": f"127.0.0.1:{emulator.port}"}
        command = [str(program), "-B", str(APP / "main.py"), str(port)]
        with running_command(command, env=os.environ | environ, stderr=subprocess.DEVNULL):
            wait_for_port(port)
            check(http.request("GET", emulator.url).json(), python)
