"""Where strangers keep their apps, and what stands in their environment: nothing of it reaches the app."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from appengine_channel_emu.host import sdk
from appengine_channel_emu.host.origins.dev_server_process import INSIDE
from tests.legacy_apps import fake_sdk
from tests.support import parts
from tests.support.legacy import APPS, emulated
from tests.support.waiting import LONG_ENOUGH, eventually

ENVIRONMENT = {
    "http_proxy": "http://127.0.0.1:9",
    "HTTPS_PROXY": "http://127.0.0.1:9",
    "all_proxy": "http://127.0.0.1:9",
    "no_proxy": "",
    "NO_PROXY": "",
    "HOME": "/no/home",
    "LC_ALL": "C",
    "TZ": "Asia/Kolkata",
    "PYTHONIOENCODING": "utf-8:surrogateescape",
    "PYTHONWARNINGS": "error",
    "PYTHONSTARTUP": "/no/startup.py",
    "PYTHONUTF8": "1",
    "GAE_SDK_ROOT": "/no/sdk",
}
"""Of a machine that is somebody's, for Python 3."""

VENDORED = """
import imp, os, sys
from google.appengine.ext import vendor
vendor.add('lib')
here = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(0, os.path.join(here, 'first'))
sys.path.insert(0, u'relative')
sys.path.append(os.path.join(here, 'last'))
import added.sub, inserted, beside, config
import colorsys
imp.load_source('loaded', os.path.join('plugins', 'loaded.py'))
imp.load_module('found', *imp.find_module('found', [os.path.join(here, 'plugins')]))
"""
# A folder of Python's own library is named `config` too.
MODULES = [
    "lib/added/__init__.py",
    "lib/added/sub.py",
    "first/inserted.py",
    "relative/beside.py",
    "last/config.py",
    "plugins/loaded.py",
    "plugins/found.py",
]


def app_in_a_strange_place(tmp_path):
    """A folder with spaces, quotes and other letters, named like a package of the SDK; app.yaml is a link."""
    app = tmp_path / 'l\'été "à 日本"' / "google"
    shutil.copytree(APPS / "own_channel", app, ignore=shutil.ignore_patterns("*.pyc"))
    for name in MODULES:
        (app / name).parent.mkdir(parents=True, exist_ok=True)
        (app / name).touch()
    main = (app / "main.py").read_text()
    (app / "main.py").write_text(main.replace("import os\n", VENDORED, 1))
    (app / "ñandú").mkdir()
    (app / "ñandú" / "more.yaml").write_text("handlers:\n- url: /included\n  script: main.py\n", encoding="utf-8")
    shared = tmp_path / "shared.yaml"
    shared.write_text("includes:\n- ñandú/more.yaml\n" + (app / "app.yaml").read_text(), encoding="utf-8")
    (app / "app.yaml").unlink()
    (app / "app.yaml").symlink_to(shared)
    return app


@pytest.mark.slow
def test_an_app_in_a_strange_place_on_a_strange_machine(tmp_path, http, monkeypatch):
    # With it nothing is compiled anyway.
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    app = app_in_a_strange_place(tmp_path)
    before = sorted(app.rglob("*"))
    with emulated(app, tmp_path / "log", environ=ENVIRONMENT) as emulator:
        answer = http.request("GET", emulator.url)
        assert (answer.status, b"<title>Ticker" in answer.data) == (200, True), emulator.log.read_text()
        assert http.request("POST", f"{emulator.url}/say", fields={"text": "x"}, encode_multipart=False).status == 200
        assert http.request("GET", f"{emulator.url}/included").status == 404  # By the app, which has no such page.
        eventually(emulator.log.read_text, lambda log: "GET /included" in log)
        page = (app / "page.html").read_text()
        (app / "page.html").write_text(page.replace("<title>Ticker", "<title>Other"))
        eventually(lambda: http.request("GET", emulator.url).data, lambda page: b"<title>Other" in page)
        assert "Traceback" not in emulator.log.read_text()
    assert sorted(app.rglob("*")) == before


def test_a_temporary_folder_that_is_the_current_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", ".")
    backend = fake_sdk.backend_for(tmp_path, fake_sdk.LISTENS_IF_IT_CAN_STORE)
    try:
        backend.start()
    finally:
        backend.stop()
    assert not list(tmp_path.glob("channel-emu-*"))


def test_what_steers_python_3_is_kept_from_python_2(monkeypatch):
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PYTHONPATH", "/no/library")
    monkeypatch.setenv("PYTHONUSERBASE", "/the/users")
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.setenv("PYTHON_RUNTIME_EXTRA_IMPORTS", "theirs")
    environ = sdk.python27_environ()
    assert {name for name in environ if "PYTHON" in name or name == "GAE_SDK_ROOT"} == {
        "PYTHONUSERBASE",
        "PYTHONDONTWRITEBYTECODE",
        "PYTHON_RUNTIME_EXTRA_IMPORTS",
    }
    assert environ["http_proxy"] == "http://127.0.0.1:9"


WATCHED_WITH_SIGNALS = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
import launcher

reading, writing = os.pipe()
signals = []

def on_alarm(*_):
    signals.append(1)
    if len(signals) == 3:
        os.close(reading)

signal.signal(signal.SIGALRM, on_alarm)
signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
launcher.os.killpg = lambda group, number: sys.stdout.write("ended, signals: %s" % (len(signals) >= 3))
launcher.end_when_orphaned(writing, "/no/folder", None)
"""


def test_the_watcher_outlives_a_signal():
    """The one that asks the dev server to end may reach it."""
    command = [str(parts.need(parts.python27)), "-B", "-c", WATCHED_WITH_SIGNALS, str(INSIDE)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LONG_ENOUGH, check=False)
    assert (done.stdout, done.stderr) == ("ended, signals: True", "")
