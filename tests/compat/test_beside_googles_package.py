"""Beside appengine-python-standard, in one virtual environment, with the urllib3 that it wants and with a newer one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from http.cookiejar import CookieJar
from urllib.parse import urlencode

import pytest

from appengine_channel_emu.cli.emulators import ask
from appengine_channel_emu.testing import ChannelClient
from tests.support import parts
from tests.support.source import build_wheel, copy_source
from tests.support.waiting import LONG_ENOUGH, eventually

pytestmark = pytest.mark.slow

APP_YAML = """
runtime: python312
inbound_services: [channel_presence]
handlers:
- url: /private.*
  script: auto
  login: required
- url: /.*
  script: auto
"""

MAIN = """
import json, threading

from google.appengine.api import channel, memcache, users, wrap_wsgi_app
from google.appengine.api import (
    namespace_manager,
    taskqueue,
)
from google.appengine.ext import ndb, testbed
from google.appengine.runtime import apiproxy_errors

meeting = threading.Barrier(2)

class Score(ndb.Model):
    points = ndb.IntegerProperty()

def said(call):
    try:
        return call()
    except apiproxy_errors.Error as error:
        return "%s: %s" % (type(error).__name__, error)

def stand_ins():
    bed = testbed.Testbed()
    bed.activate()
    bed.init_memcache_stub()
    bed.init_datastore_v3_stub()
    Score(points=5).put()
    return [memcache.set("a", 1), memcache.get("a"), Score.query().get().points]

def run(environ, start_response):
    if environ["PATH_INFO"] == "/stand-ins":
        start_response("200 OK", [])
        return [json.dumps(stand_ins()).encode()]
    if environ["PATH_INFO"] == "/private/meeting":
        meeting.wait(60)
    user = users.get_current_user()
    if environ["PATH_INFO"] == "/say":
        channel.send_message("ann", "hello from the app")
    answer = {
        "token": channel.create_channel("ann"),
        "user": user and user.email(),
        "login": users.create_login_url("/x"),
        "logout": users.create_logout_url("/"),
        "points": Score(points=3).points,
        "namespace": namespace_manager.get_namespace(),
        "cached": [memcache.set("a", 1), memcache.get("a")],
        "put": said(Score(points=3).put),
        "task": said(lambda: taskqueue.add(url="/x")),
    }
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(answer).encode()]

app = wrap_wsgi_app(run)
"""


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """A virtual environment with our package and Google's, as pip puts them together."""
    parts.need(parts.package_index)
    folder = tmp_path_factory.mktemp("both")
    # pip of the environment that runs the tests: another one would take as long as all the rest.
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    (folder / "source").mkdir()
    wheel = build_wheel(copy_source(folder / "source"), folder)
    pip(folder, "install", str(wheel), "appengine-python-standard")
    return folder


@pytest.fixture(scope="module", params=["1.26", "2"])
def both(request, environment):
    """The environment, with urllib3 of this series: 1.26 is what pip has chosen, 2 what other packages may want."""
    if request.param == "1.26":
        pip(environment, "check")
    else:
        pip(environment, "install", "--no-deps", "urllib3>=2,<3")
    code = "import urllib3; print(urllib3.__version__)"
    assert run(environment, "python", "-c", code).startswith(f"{request.param}.")
    return environment


def pip(folder, command, *arguments):
    python = [sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python"), "--disable-pip-version-check"]
    options = ["--quiet", "--no-compile", "--no-warn-script-location"] if command == "install" else []
    done = subprocess.run([*python, command, *options, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def run(folder, program, *arguments, code=0):
    command = [str(folder / "bin" / program), *arguments]
    done = subprocess.run(
        command, cwd=folder, env=environ(), capture_output=True, text=True, timeout=LONG_ENOUGH, check=False
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


def environ():
    return {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "CHANNEL_EMU"))}


@pytest.fixture
def serve(both, tmp_path):
    """The app in `channel-emu serve`: the server's url, and a function that ends it and gives its log."""
    (tmp_path / "app.yaml").write_text(APP_YAML)
    (tmp_path / "main.py").write_text(MAIN)
    command = [str(both / "bin" / "channel-emu"), "serve", str(tmp_path), "--port", "0", "--state-dir", "none"]
    process = subprocess.Popen(
        command, cwd=tmp_path, env=environ(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )

    def end():
        process.terminate()
        return process.communicate(timeout=LONG_ENOUGH)[1]

    line = process.stdout.readline()
    assert "ready at" in line, process.communicate()[1]
    yield line.split()[-1], end
    if process.poll() is None:
        end()


def test_an_app_that_uses_both(both, serve):
    url, end = serve
    visitor, answer = signed_in(url, "ann@example.com")
    assert (answer["user"], answer["points"], answer["namespace"]) == ("ann@example.com", 3, "")
    # The emulator's own sign-in, which their module asks Google for.
    assert (answer["login"], answer["logout"]) == ("/_ah/login?continue=%2Fx", "/_ah/logout?continue=%2F")
    with ChannelClient(url, answer["token"]) as client:
        visitor.open(f"{url}/say", timeout=LONG_ENOUGH)
        assert client.receive(LONG_ENOUGH) == "hello from the app"
    # What needs Google is told so, and by whom; a cache is one in which nothing is ever found.
    assert answer["cached"] == [False, None]
    for name, call in (("put", "datastore_v3.Put"), ("task", "taskqueue.BulkAdd")):
        assert answer[name].startswith("CallNotFoundError: ")
        assert f"The emulator serves no call {call}." in answer[name]
    # Each of two requests at a time sees its own visitor.
    visitors = [visitor, signed_in(url, "bob@example.com")[0]]
    with ThreadPoolExecutor() as pool:
        seen = list(
            pool.map(lambda each: json.load(each.open(f"{url}/private/meeting", timeout=LONG_ENOUGH)), visitors)
        )
    assert [each["user"] for each in seen] == ["ann@example.com", "bob@example.com"]
    # The package's own stand-ins need no server, as docs/app-yaml.md says.
    assert json.load(visitor.open(f"{url}/stand-ins", timeout=LONG_ENOUGH)) == [True, 1, 5]
    log = end()
    assert "is a part of Google's SDK" not in log
    assert "wrap_wsgi_app" not in log
    assert "Traceback" not in log


def signed_in(url, email):
    """A visitor's browser, and what the app answers it once it has signed in."""
    visitor = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))
    page = visitor.open(f"{url}/private", timeout=LONG_ENOUGH)
    assert page.url == f"{url}/_ah/login?continue=%2Fprivate"
    form = {"email": email, "continue": "/private", "action": "login"}
    return visitor, json.load(visitor.open(page.url, urlencode(form).encode(), timeout=LONG_ENOUGH))


def test_the_verbs(both, serve):
    url, _ = serve
    address = ["--emulator", url.removeprefix("http://")]
    run(both, "channel-emu", "wait", *address)
    tail = subprocess.Popen(
        [str(both / "bin" / "channel-emu"), "tail", "--client-id", "bob", "--count", "1", *address],
        cwd=both, env=environ(), stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    # Until the other process has opened its socket.
    eventually(lambda: ask(url.removeprefix("http://"), "/_emu/channels"), lambda found: found["sockets"])
    assert run(both, "channel-emu", "send", "bob", "hello", *address) == "delivered to 1 socket\n"
    assert tail.communicate(timeout=LONG_ENOUGH)[0] == "hello\n"
    code = (
        "from appengine_channel_emu.conformance.server import CheckedServer; import sys;"
        "server = CheckedServer(sys.argv[1], None); token = server.token('eve');"
        "print(server.json('/_ah/channel/open', channel=token)['client'], server.dev('connect', token).data)"
    )
    assert run(both, "python", "-c", code, url) == "eve b'1'\n"
    nobody = run(both, "channel-emu", "send", "bob", "x", "--emulator", "127.0.0.1:9", code=1)
    assert nobody == ""
