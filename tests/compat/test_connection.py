"""How the apps' library keeps its connections to the emulator, in every Python here."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from appengine_channel_emu.server.plain_connection import PlainConnection
from appengine_channel_emu.server.service import Service
from appengine_channel_emu.settings import Settings
from tests.compat.test_library import COMPAT, MINORS, interpreter, run
from tests.support import parts
from tests.support.waiting import LONG_ENOUGH

CASES = Path(__file__).with_name("connection_cases.py")


EDGES = MINORS[0], MINORS[-1]
"""Those that every run tries."""


@pytest.mark.parametrize(
    "version", [each if each in EDGES else pytest.param(each, marks=pytest.mark.slow) for each in MINORS]
)
def test_connections(version):
    python = parts.need(lambda: interpreter(version))
    # What is not closed makes Python 3 complain, at the latest when it ends.
    warnings = [] if version == "2.7" else ["-W", "error"]
    said = run(python, *warnings, CASES)
    assert "Ran 15 tests" in said
    assert "Warning" not in said


IN_THE_SDK = """
import os, sys, threading
sdk, stub, address = sys.argv[1:]
sys.path[:0] = [sdk, stub]
import dev_appserver
dev_appserver.fix_sys_path()
import channel_stub
from google.appengine.api import apiproxy_stub_map, channel
apiproxy_stub_map.apiproxy.RegisterStub("channel", channel_stub._channel_stub(address, lambda: None))

def send():
    os.environ["SERVER_SOFTWARE"] = "Development/2.0"
    channel.send_message("anna", "x")

for number in range(3):
    thread = threading.Thread(target=send)
    thread.start()
    thread.join()
"""


def test_the_sdks_channel_service_keeps_one_too(tmp_path, monkeypatch):
    """Over requests of the app, each of which has a thread of its own in the SDK's runtime."""
    python, sdk = parts.need(parts.python27), parts.need(parts.sdk)
    script = tmp_path / "in_the_sdk.py"
    script.write_text(IN_THE_SDK)
    opened = []
    begin = PlainConnection.__init__
    monkeypatch.setattr(PlainConnection, "__init__", lambda *given: (opened.append(given), begin(*given))[1])
    service = Service(Settings(port=0, state_dir="none"), lambda address: None)
    service.start()
    try:
        command = [str(python), "-B", str(script), str(sdk), str(COMPAT.parent / "sdk"), service.address]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=LONG_ENOUGH, check=False)
        sent = [event.client_id for event in service.broker.journal.after(0)]
    finally:
        service.stop()
    assert ended.returncode == 0, ended.stderr
    assert (sent, len(opened)) == (["anna"] * 3, 1)
