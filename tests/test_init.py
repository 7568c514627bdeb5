"""`channel-emu init`: what it writes is served, and tested with, as it stands."""

from __future__ import annotations

import os
import re
import resource
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import urllib3
import yaml

from appengine_channel_emu.cli import main
from appengine_channel_emu.host.app_kinds import AppYaml, WsgiApp, find_app
from appengine_channel_emu.settings import load
from appengine_channel_emu.settings.table import TABLE
from tests.support import parts
from tests.support.emulator import EMU, READY
from tests.support.legacy import APPS
from tests.support.parts import ROOT
from tests.support.waiting import LONG_ENOUGH

WSGI = """
from google.appengine.api import channel

def app(environ, start_response):
    if environ["PATH_INFO"].startswith("/_ah/channel/"):
        channel.send_message("anna", "welcome")
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"an answer"]
"""

PYTHON27 = """runtime: python27
api_version: 1
threadsafe: true
handlers:
- url: /.*
  script: main.app
"""

FOLDERS = {
    "main:app": {"main.py": WSGI},
    "main:api": {"helpers.py": "answer = 42\n", "main.py": "import falcon\n\napi = falcon.App()\n"},
    "shop:create_app()": {
        "shop.py": "def create_app(settings=None):\n    return lambda environ, start: start('200 OK', []) and []\n"
    },
    "mysite.wsgi:application": {"manage.py": "app = print\n", "mysite/wsgi.py": "application = make()\n"},
    "shop:app": {"shop/__init__.py": "from .views import app\n", "tests/wsgi.py": WSGI},
    # One of Python 2, one that serves nothing, a test's, and one of another kind of server; only the last is one.
    "wsgi:application": {
        "main.py": "print 'x'\napp = 1\n",
        "app.py": "app = 5\n",
        "test_app.py": WSGI,
        "server.py": "import fastapi\n\napp = fastapi.FastAPI()\n",
        "wsgi.py": "application = object.__call__\n",
    },
}


def make(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, "utf-8")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current folder, in a path as users have them."""
    made = tmp_path / "mit Leerzeichen ä"
    made.mkdir()
    monkeypatch.chdir(made)
    for name in [name for name in os.environ if name.startswith("CHANNEL_EMU_") and name != "CHANNEL_EMU_CACHE"]:
        monkeypatch.delenv(name)
    return made


def settings(folder):
    return load({}, {}, folder)


@pytest.mark.parametrize("target", FOLDERS)
def test_a_wsgi_app_is_found_and_not_run(target, folder, capsys):
    make(folder, FOLDERS[target])
    assert main(["init"]) == 0
    assert f"the app: {target}\n" in capsys.readouterr().out
    app = find_app(settings(folder))
    assert (app, str(app)) == (WsgiApp(*target.split(":"), folder), target)
    module, name = re.fullmatch(r"([\w.]+):(\w+)(?:\(\))?", target).groups()
    written = (folder / "conftest.py").read_text("utf-8")
    assert written.count(f"    from {module} import {name}\n\n    return {target.partition(':')[2]}\n") == 2
    assert module not in sys.modules


def test_a_module_whose_name_is_a_word_of_python(folder):
    make(folder, {"lambda.py": WSGI})
    assert main(["init"]) == 0
    written = (folder / "conftest.py").read_text("utf-8")
    compile(written, "conftest.py", "exec")
    assert "app = importlib.import_module('lambda').app\n\n    return app\n" in written


def test_no_app(folder, capsys):
    assert main(["init"]) == 0
    assert "no app was found in this folder" in capsys.readouterr().out
    assert find_app(settings(folder)) is None


def test_one_that_is_named(folder):
    make(folder, FOLDERS["main:app"] | {"other.py": "def make(way):\n    ...\n"})
    assert main(["init", "other:make('x')"]) == 0
    assert settings(folder).app == "other:make('x')"
    assert "    from other import make\n\n    return make('x')\n" in (folder / "conftest.py").read_text("utf-8")


def test_one_that_is_not_here(folder, capsys):
    """It may be installed, so it is written; and it is said."""
    assert main(["init", "mysite.wsgi:application"]) == 0
    assert "the app: mysite.wsgi:application. Its module is not in this folder.\n" in capsys.readouterr().out


def test_a_folder_that_may_not_be_entered_holds_no_app(folder, monkeypatch, capsys):
    make(folder, FOLDERS["main:app"] | {"database/wsgi.py": WSGI})
    real = os.stat

    def stat(path, *arguments, **options):
        # As for another user's folder; who runs the tests may be root, who may enter any.
        if isinstance(path, (str, Path)) and Path(path).parent.name == "database":
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, *arguments, **options)

    monkeypatch.setattr(os, "stat", stat)
    assert main(["init"]) == 0
    assert "the app: main:app\n" in capsys.readouterr().out


def test_a_folder_that_may_not_be_read_is_an_error(folder, monkeypatch, capsys):
    monkeypatch.setattr(Path, "iterdir", lambda path: os.scandir(folder / "gone"))
    assert main(["init"]) == 1
    assert "cannot be read: No such file" in capsys.readouterr().err


def test_an_app_yaml_for_python3(folder):
    files = {"app.yaml": "runtime: python312\nentrypoint: gunicorn -b :$PORT --chdir src shop:api\n", "src/shop.py": ""}
    files["app.yaml"] += 'env_variables:\n  GREETING: "it\'s"\n'
    make(folder, files)
    assert main(["init"]) == 0
    assert find_app(settings(folder)) == AppYaml(folder / "app.yaml")
    written = (folder / "conftest.py").read_text("utf-8")
    assert "from shop import api" in written
    assert "os.environ.setdefault('GREETING', \"it's\")" in written
    namespace = {"__file__": str(folder / "conftest.py")}
    before = list(sys.path)
    try:
        exec(compile(written, "conftest.py", "exec"), namespace)
        assert set(sys.path[:2]) == {str(folder), str(folder / "src")}
    finally:
        sys.path[:] = before
        os.environ.pop("GREETING", None)


@pytest.mark.parametrize(
    ("source", "why"),
    [
        (
            "from google.appengine.ext import no_such_part\n",
            "main.py, line 1, imports google.appengine.ext.no_such_part",
        ),
        ("print 'hello'\n", "main.py is not Python 3"),
    ],
)
def test_an_app_that_needs_the_sdk(source, why, folder, capsys):
    make(folder, {"app.yaml": PYTHON27, "main.py": source})
    assert main(["init"]) == 0
    assert why in capsys.readouterr().out
    assert why in (folder / "channel-emu.yaml").read_text("utf-8").replace("\n# ", " ")
    assert settings(folder).app == "app.yaml"
    assert "def app_url():" in (folder / "conftest.py").read_text("utf-8")


def test_nothing_of_the_app_is_run(folder):
    """Not even what hides a module that is needed to look for others."""
    traps = dict.fromkeys(("json.py", "webapp2.py", "google/__init__.py", "conf.py"), "open('was_run', 'w')\n")
    libraries = "libraries:\n- name: jinja2\n  version: latest\n"
    source = "import webapp2\nfrom google.appengine.ext import ndb\n" + WSGI
    make(folder, traps | {"app.yaml": PYTHON27 + libraries, "main.py": source})
    assert main(["init"]) == 0
    assert not (folder / "was_run").exists()


def test_an_app_of_another_runtime_is_started_by_itself(folder):
    make(folder, {"app.yaml": "runtime: go121\n"})
    assert main(["init"]) == 0
    assert settings(folder).upstream == "http://127.0.0.1:9000"
    assert "to be started before the tests" in (folder / "conftest.py").read_text("utf-8")


@pytest.mark.parametrize(
    "files", [{}, {"app.yaml": "runtime: go121\n"}, {"app.yaml": PYTHON27, "main.py": "x"}, FOLDERS["main:app"]]
)
def test_every_line_is_explained_and_those_not_in_force_are_settings_too(files, folder):
    make(folder, files)
    assert main(["init"]) == 0
    path = folder / "channel-emu.yaml"
    text = path.read_text("utf-8")
    assert max(map(len, text.splitlines())) <= 120
    for block in text.strip().split("\n\n"):
        assert block.startswith("# "), "no line without a comment above it"
    path.write_text(re.sub(r"^# (?=(?:[a-z-]+: |[a-z-]+:$|- ))", "", text, flags=re.MULTILINE), "utf-8")
    names = set(yaml.safe_load(path.read_text("utf-8")))
    assert names >= {"port", "request-deadline", "state-dir", "tabs", "presence", "fault"}
    assert names <= set(TABLE)


def test_nothing_is_overwritten(folder, capsys):
    make(folder, FOLDERS["main:app"] | {"conftest.py": "mine = 1\n"})
    assert main(["init"]) == 0
    assert "conftest.py is here already" in capsys.readouterr().out
    (folder / "channel-emu.yaml").write_text("app: main:app\nport: 9999\n")
    assert main(["init"]) == 1
    assert (folder / "conftest.py").read_text() == "mine = 1\n"
    assert settings(folder).port == 9999


def test_a_dry_run_writes_nothing(folder, capsys):
    make(folder, FOLDERS["main:app"])
    assert main(["init", "--dry-run"]) == 0
    shown = capsys.readouterr().out
    assert "app: main:app\n" in shown
    assert "def channel_app():" in shown
    assert [path.name for path in folder.iterdir()] == ["main.py"]


@pytest.mark.parametrize(
    ("files", "arguments", "text"),
    [
        ({"app.yaml": "runtime: python312\nhandlers: 5\n"}, [], "app.yaml, line 2"),
        ({"channel-emu.yaml": "prot: 1\n"}, [], "did you mean port?"),
        ({}, ["nowhere"], "there is no 'nowhere'"),
    ],
)
def test_what_serve_would_not_take_is_said_and_nothing_written(files, arguments, text, folder, capsys):
    make(folder, files)
    assert main(["init", *arguments]) == 1
    assert text in capsys.readouterr().err
    assert {path.name for path in folder.iterdir()} == set(files)


def test_a_full_disk_leaves_no_half_of_a_file(folder):
    done = subprocess.run(
        [*EMU, "init"],
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("channel-emu init: channel-emu.yaml cannot be written: ")
    assert list(folder.iterdir()) == []


def run(*command: str) -> str:
    environ = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=LONG_ENOUGH, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def is_served(path: str = "/") -> bytes:
    """What `channel-emu serve` answers in the current folder, with what is written there."""
    environ = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [*EMU, "serve", "--port", "0", "--state-dir", "none"]
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            ready = READY.fullmatch(process.stdout.readline())
            assert ready, process.stderr.read()
            return urllib3.PoolManager(retries=False).request("GET", ready[1] + path, redirect=True).data
        finally:
            process.terminate()
            process.communicate(timeout=LONG_ENOUGH)


def example(folder: Path) -> str:
    """The test that conftest.py begins with."""
    about = compile((folder / "conftest.py").read_text("utf-8"), "conftest.py", "exec").co_consts[0]
    return textwrap.dedent(re.search(r"(?m)^    def test_.*(?:\n {8}.*)+", about)[0])


@pytest.mark.slow
def test_of_a_wsgi_app_in_full(folder):
    make(folder, FOLDERS["main:app"])
    run(*EMU, "init")
    assert is_served() == b"an answer"
    real = "\n\ndef test_a_real_server(channel_server):\n"
    real += "    assert channel_server.client('anna').open().receive() == 'welcome'\n"
    (folder / "test_app.py").write_text(example(folder) + real)
    assert "2 passed" in run(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider")


@pytest.mark.slow
@pytest.mark.parametrize("files", [{}, FOLDERS["shop:create_app()"]], ids=["no app", "a factory"])
def test_of_others_in_full(files, folder):
    make(folder, files)
    run(*EMU, "init")
    is_served()
    (folder / "test_app.py").write_text(example(folder))
    assert "1 passed" in run(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider")


@pytest.mark.slow
def test_of_the_sample_app_in_full(folder):
    shutil.copytree(ROOT / "sample_app", folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("tests", "*.pyc"))
    run(*EMU, "init")
    with (folder / "channel-emu.yaml").open("a") as file:
        file.write("no-sdk: true\n")
    assert b"Tic-tac-toe" in is_served("/?game=abcdefgh")
    (folder / "test_app.py").write_text(example(folder))
    assert "1 passed" in run(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider")


@pytest.mark.slow
def test_of_an_sdk_app_in_full(folder):
    shutil.copytree(APPS / "webapp2_ndb", folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.pyc"))
    run(*EMU, "init")
    with (folder / "channel-emu.yaml").open("a") as file:
        file.write(f"sdk: {parts.need(parts.sdk)}\npython: {parts.need(parts.python27)}\n")
    (folder / "test_app.py").write_text(
        "import json, urllib.request\n\n\n"
        "def test_the_app(app_url, channel_page):\n"
        "    def emulated(path, **body):\n"
        "        request = urllib.request.Request(app_url + path, json.dumps(body).encode())\n"
        "        request.add_header('Content-Type', 'application/json')\n"
        "        return json.load(urllib.request.urlopen(request))\n\n"
        "    page = channel_page(emulated('/_emu/channels', client_id='anna')['token'])\n"
        "    assert json.load(urllib.request.urlopen(app_url + '/_emu/status'))['app']['kind'] == 'SDK app'\n"
        "    emulated('/_emu/messages', client_id='anna', message='hello')\n"
        "    while page.receive(timeout=30) != 'hello':\n"
        "        pass\n"
    )
    assert "1 passed" in run(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider")
