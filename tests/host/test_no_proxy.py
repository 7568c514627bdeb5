"""No proxy is asked for this machine: neither by what we start nor by our own clients (behaviour.md 12)."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import urllib.request

import pytest

from appengine_channel_emu.cli.emulators import ask
from appengine_channel_emu.conformance.server import CheckedServer
from appengine_channel_emu.environment import child_environ
from appengine_channel_emu.testing import ChannelClient
from tests.host.conftest import visit
from tests.support.emulator import EMU, RunningEmulator
from tests.support.service import running_service
from tests.support.waiting import LONG_ENOUGH

OURS = "localhost,127.0.0.1,::1"


@pytest.mark.parametrize(
    ("given", "lower", "upper"),
    [
        ({}, OURS, OURS),
        ({"no_proxy": "", "NO_PROXY": " "}, OURS, OURS),
        ({"no_proxy": ".corp, 10.0.0.0/8"}, f".corp,10.0.0.0/8,{OURS}", f".corp,10.0.0.0/8,{OURS}"),
        ({"NO_PROXY": ".corp"}, f".corp,{OURS}", f".corp,{OURS}"),
        ({"no_proxy": "a", "NO_PROXY": "b,127.0.0.1"}, f"a,{OURS}", "b,127.0.0.1,localhost,::1"),
        ({"no_proxy": "*"}, "*", "*"),
        ({"CHANNEL_EMULATOR_HOST": "192.168.1.5:8080"}, f"{OURS},192.168.1.5", f"{OURS},192.168.1.5"),
        ({"CHANNEL_EMULATOR_HOST": "[::1]:8080"}, OURS, OURS),
    ],
)
def test_what_stands_there_stays(given, lower, upper):
    made = child_environ(given)
    assert (made["no_proxy"], made["NO_PROXY"]) == (lower, upper)
    assert child_environ(made) == made


@pytest.fixture
def proxy(monkeypatch):
    """A proxy that is set in all the ways there are; it holds whoever connects, and the test finds it unused."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{listener.getsockname()[1]}")
        for name in ("no_proxy", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
        yield
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.accept()


def test_our_own_clients(proxy):
    with running_service() as service:
        assert ask(service.address, "/_emu/health/ready")
        with ChannelClient(service.url, service.broker.create_channel("ann").token) as page:
            service.broker.send_message("ann", "hello")
            assert page.receive(LONG_ENOUGH) == "hello"
        assert CheckedServer(service.url, None).token("bob")


def test_a_python3_app_and_what_it_calls(proxy, tmp_path):
    (tmp_path / "main.py").write_text(
        "import json, os, urllib.request\n"
        "from google.appengine.api import channel\n"
        "def app(environ, start_response):\n"
        "    channel.create_channel('ann')\n"
        "    url = f'http://{os.environ[\"CHANNEL_EMULATOR_HOST\"]}/_emu/health'\n"
        "    health = json.load(urllib.request.urlopen(url, timeout=10))['status']\n"
        "    start_response('200 OK', [])\n"
        "    return [json.dumps(health).encode()]\n"
    )
    with RunningEmulator("main:app", "--app-dir", str(tmp_path), log=tmp_path / "log") as emulator:
        assert emulator.get_json("/") == "ready"


def test_an_instances_environment(make_backend):
    backend = make_backend(
        """
        import os

        def app(environ, start_response):
            start_response("200 OK", [])
            return [os.environ["no_proxy"].encode()]
        """,
        environ={"no_proxy": ".corp"},
    )
    assert visit(backend).text == f".corp,{OURS}"


def test_a_command_of_exec_and_the_verbs(proxy):
    script = (
        "import os, subprocess, sys, urllib.request; host = os.environ['CHANNEL_EMULATOR_HOST'];"
        "print(urllib.request.urlopen(f'http://{host}/_emu/health', timeout=60).read().decode());"
        f"emu = {EMU!r};"
        "subprocess.run([*emu, 'wait', '--timeout', '60'], check=True);"
        "print(subprocess.run([*emu, 'env'], check=True, stdout=subprocess.PIPE, text=True).stdout)"
    )
    command = [*EMU, "exec", "--quiet", "--", sys.executable, "-c", script]
    done = subprocess.run(
        command, env=os.environ | {"no_proxy": ".corp"}, stdout=subprocess.PIPE, text=True, check=True
    )
    health, _, exports = done.stdout.partition("\n")
    assert json.loads(health)["status"] == "ready"
    assert f"export no_proxy=.corp,{OURS}\n" in exports


def test_the_fixture_would_notice(monkeypatch):
    """Python's own client does ask a proxy for this machine unless it is told not to."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{listener.getsockname()[1]}")
        monkeypatch.delenv("no_proxy", raising=False)
        # An opener of its own: `urlopen` keeps the one that it makes at first, proxies included, for all that follows.
        with pytest.raises(OSError, match="timed out"):
            urllib.request.build_opener().open("http://127.0.0.1:9/", timeout=0.1)
        listener.setblocking(False)
        listener.accept()[0].close()
