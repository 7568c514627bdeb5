"""Importing the testing package changes nothing in the process, and what an emulator changes is put back."""

from __future__ import annotations

import subprocess
import sys

SAME = """
import importlib.util, sys, time
from time import sleep

def state():
    return time.sleep, sleep, list(sys.path), list(sys.meta_path)

def can_import():
    try:
        return importlib.util.find_spec("google.appengine.api.channel") is not None
    except ImportError:
        return False

def app(environ, start_response):
    from google.appengine.api import channel
    seen.append((state(), channel.channel.transport))
    start_response("200 OK", [("Content-Type", "text/plain")])
    return []

seen = []
before = state()
assert not can_import(), "there is an SDK in this environment"
from appengine_channel_emu.testing import ChannelServer, Emulator, importable
assert state() == before and not can_import(), "importing it has changed something"
"""


def run(code: str) -> None:
    """In a process of its own: this one's pytest has the plugin, which makes the module importable for the run."""
    done = subprocess.run([sys.executable, "-c", SAME + code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_importing_it_changes_nothing():
    run("")


def test_an_emulator_that_is_entered_and_left():
    run("""
with Emulator(app) as emulator:
    from google.appengine.api.channel import channel
    former = channel.transport
    assert time.sleep is not before[0] and sleep is not before[0]
    assert emulator.broker.client_id_of(channel.create_channel("anna")) == "anna"
    with Emulator():
        pass
    assert time.sleep is not before[0]
assert state() == before
assert channel.transport is not former
""")


def test_one_that_is_only_made_and_asked():
    run("""
import webtest
emulator = Emulator(app)
before = state()
webtest.TestApp(emulator).get("/")
(during, transport), = seen
assert during[0] is not before[0] and during[1] is not before[1], "in a request it is as in a with block"
assert state() == before
from sys import modules
assert modules["google.appengine.api.channel.channel"].transport is not transport
""")


def test_a_server():
    run("""
import urllib.request
with ChannelServer(app) as server:
    urllib.request.urlopen(server.url).close()
    assert len(seen) == 1
assert state() == before
""")


def test_the_module_can_be_made_importable_without_an_emulator():
    run("""
with importable():
    from google.appengine.api import channel
assert state() == before
""")
