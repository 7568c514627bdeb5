"""An SDK in name, whose dev_appserver.py does what a test wants (Python 2.7)."""

from __future__ import annotations

from pathlib import Path

from appengine_channel_emu.host.app_kinds import sdk_backend
from appengine_channel_emu.host.app_yaml import read_app_yaml
from appengine_channel_emu.host.origins.dev_server_process import DevServerSpec
from appengine_channel_emu.host.proxy import ProxyBackend
from tests.support import parts
from tests.support.legacy import APPS

NEEDED = (
    "_python_runtime.py",
    "wrapper_util.py",
    "google/__init__.py",
    "google/appengine/__init__.py",
    "google/appengine/api/__init__.py",
    "google/appengine/api/appinfo.py",
    "google/appengine/api/appinfo_includes.py",
    "google/appengine/datastore/__init__.py",
    "google/appengine/tools/devappserver2/devappserver2.py",
    "google/appengine/tools/devappserver2/python/runtime/sandbox.py",
)
DEV_APPSERVER = """
import os, signal, socket, subprocess, sys, time

def fix_sys_path():
    sys.path.insert(0, os.path.dirname(__file__))

def listen():
    port = [word for word in sys.argv if word.startswith("--port=")][-1].partition("=")[2]
    listener = socket.socket()
    listener.bind(("127.0.0.1", int(port)))
    listener.listen(5)
    return listener

def stubborn():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    subprocess.Popen(["sleep", "60"])

def _run_file(script, run):
{}
"""

HANGS_AT_START = """
    stubborn()
    print("waiting for nothing")
    time.sleep(600)
"""
HANGS_AT_STOP = """
    stubborn()
    listener = listen()
    while True:
        visitor = listener.accept()[0]
        visitor.recv(65536)
        visitor.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 4\\r\\nConnection: close\\r\\n\\r\\nfake")
        visitor.close()
"""
ANSWERS_NOTHING = """
    listener = listen()
    time.sleep(600)
"""
LISTENS_IF_IT_CAN_STORE = """
    storage = [word for word in sys.argv if word.startswith("--storage_path=")][0].partition("=")[2]
    open(os.path.join(storage, "data"), "w").close()
    listener = listen()
    time.sleep(600)
"""
ENDS_SOON = """
    listen().accept()
"""
LISTENS = """
    listen()
    time.sleep(600)
"""


def fake_sdk(folder: Path, behaviour: str) -> Path:
    """An SDK in `folder` whose dev server does `behaviour`, the body of a function."""
    for name in NEEDED:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (folder / "google/appengine/datastore/datastore_stub_index.py").write_text("class IndexYamlUpdater: pass\n")
    (folder / "google/appengine/api/appinfo_includes.py").write_text("_ResolvePath = None\n")
    (folder / "dev_appserver.py").write_text(DEV_APPSERVER.format(behaviour))
    return folder


def backend_for(folder: Path, behaviour: str, deadline: float = 30.0) -> ProxyBackend:
    """An app in such an SDK, not yet started."""
    app = read_app_yaml(APPS / "own_channel" / "app.yaml")
    sdk = fake_sdk(folder / "sdk", behaviour)
    spec = DevServerSpec(app.path, sdk, str(parts.need(parts.python27)), "127.0.0.1:9", deadline)
    return sdk_backend(spec, app)
