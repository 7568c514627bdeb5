"""The Channel API's limits and errors, asked for by one app behind every door and behind the plain SDK."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time

import pytest

from appengine_channel_emu.environment import COMPAT_PATH
from tests.support import parts
from tests.support.emulator import RunningEmulator
from tests.support.legacy import APPS, PlainSdk, emulated

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


def test_of_the_first_door(tmp_path, http):
    with RunningEmulator("main:app", "--app-dir", str(APP), log=tmp_path / "log") as emulator:
        check(http.request("GET", emulator.url).json(), 3)


def test_of_an_app_yaml_at_the_first_door(tmp_path, http):
    with RunningEmulator(str(APP), "--no-sdk", log=tmp_path / "log") as emulator:
        check(http.request("GET", emulator.url).json(), 3)


def test_of_the_sdks_door(tmp_path, http):
    """Through the SDK's own library."""
    with emulated(APP, tmp_path / "log") as emulator:
        check(http.request("GET", emulator.url).json(), 2)


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


def test_of_the_plain_sdk(tmp_path, http):
    """So the list is the SDK's, and not ours."""
    with PlainSdk(APP, tmp_path) as plain:
        check(http.request("GET", plain.url).json(), 2)


@pytest.mark.parametrize("python", [2, 3])
def test_of_an_app_that_runs_elsewhere(python, tmp_path, http):
    program = parts.need(parts.python27) if python == 2 else sys.executable
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    with RunningEmulator("--upstream", f"http://127.0.0.1:{port}", log=tmp_path / "log") as emulator:
        environ = {"PYTHONPATH": str(COMPAT_PATH), "CHANNEL_EMULATOR_HOST": f"127.0.0.1:{emulator.port}"}
        with running([str(program), "-B", str(APP / "main.py"), str(port)], environ):
            check(wait_for_app(http, emulator.url).json(), python)


@contextlib.contextmanager
def running(command, environ):
    """A process of ours, until the block is left."""
    process = subprocess.Popen(command, env=os.environ | environ, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.kill()
        process.wait()


def wait_for_app(http, url):
    """Its answer, once it listens."""
    give_up = time.monotonic() + 15
    while (answer := http.request("GET", url)).status == 502:
        assert time.monotonic() < give_up, answer.data
        time.sleep(0.05)
    return answer
