"""`channel-emu serve app.yaml`: an app with its instance, its pages and its presence, over HTTP."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from http.cookiejar import CookieJar
from urllib.parse import urlencode

import pytest

from tests.server.test_serve import end
from tests.support.waiting import LONG_ENOUGH, until

APP_YAML = """
application: shop
runtime: {runtime}
api_version: 1
threadsafe: true
{services}
handlers:
- url: /static
  static_dir: static
- url: /admin/.*
  script: admin.app
  login: admin
- url: /_ah/channel/.*
  script: main.app
  login: admin
  secure: always
- url: /.*
  script: main.app
"""

MAIN = """
import json, os, time
from google.appengine.api import channel, users
from urllib.parse import parse_qs
SEEN = []
def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path.startswith("/_ah/channel/"):
        body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])).decode()
        SEEN.append([path, parse_qs(body)["from"][0], os.environ["REMOTE_ADDR"]])
        if path.endswith("/connected/"):
            channel.send_message(SEEN[-1][1], "welcome")
    user = users.get_current_user()
    said = {"seen": SEEN, "user": user and user.email(), "admin": users.is_current_user_admin(),
            "application": [environ["APPLICATION_ID"], os.environ["APPLICATION_ID"]], "host": os.environ["HTTP_HOST"],
            "login": users.create_login_url("/x"), "zone": time.tzname[0]}
    start_response("200 OK", [])
    return [json.dumps(said).encode()]
"""

ADMIN = """
import main
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"%d seen" % len(main.SEEN)]
"""


@pytest.fixture
def write(tmp_path):
    def write(runtime="python312", services="inbound_services: [channel_presence]"):
        (tmp_path / "static").mkdir(exist_ok=True)
        (tmp_path / "static" / "a.css").write_text("body {}")
        (tmp_path / "main.py").write_text(MAIN)
        (tmp_path / "admin.py").write_text(ADMIN)
        (tmp_path / "app.yaml").write_text(APP_YAML.format(runtime=runtime, services=services))

    return write


@pytest.fixture
def visitor():
    return urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))


def start(serve, *arguments):
    process, line = serve(*arguments, "--port", "0", "--state-dir", "none")
    assert line, process.communicate()[1]
    return process, line.split()[-1].replace("127.0.0.1", "localhost")


def connect(url, client_id):
    body = json.dumps({"client_id": client_id}).encode()
    request = urllib.request.Request(f"{url}/_emu/channels", body, {"Content-Type": "application/json"})
    token = json.load(urllib.request.urlopen(request, timeout=LONG_ENOUGH))["token"]
    opened = json.load(urllib.request.urlopen(f"{url}/_ah/channel/open?channel={token}", timeout=LONG_ENOUGH))
    poll = f"{url}/_ah/channel/poll?socket={opened['socket']}&after=0&wait=3"
    return lambda: json.load(urllib.request.urlopen(poll, timeout=LONG_ENOUGH))["messages"]


def test_files_scripts_sign_in_and_presence(serve, write, visitor):
    write()
    process, url = start(serve)
    assert visitor.open(f"{url}/static/a.css").read() == b"body {}"
    said = json.load(visitor.open(f"{url}/x"))
    assert said["application"] == ["dev~shop", "dev~shop"]
    assert said["host"] == url.removeprefix("http://")
    assert (said["user"], said["admin"], said["zone"]) == (None, False, "UTC")

    page = visitor.open(f"{url}/admin/")
    assert page.url == f"{url}/_ah/login?continue=%2Fadmin%2F"
    form = urlencode({"email": "ann@example.com", "admin": "true", "continue": "/admin/", "action": "login"}).encode()
    assert visitor.open(page.url, form).read() == b"0 seen"
    said = json.load(visitor.open(f"{url}/x"))
    assert (said["user"], said["admin"]) == ("ann@example.com", True)

    receive = connect(url, "ann & bob/é")
    assert receive() == ["welcome"]
    assert json.load(visitor.open(f"{url}/x"))["seen"] == [["/_ah/channel/connected/", "ann & bob/é", "0.1.0.10"]]
    assert visitor.open(f"{url}/admin/").read() == b"1 seen", "the scripts share one memory"
    assert end(process)[0] == 0


def test_without_the_service_there_is_no_presence_and_one_hint(serve, write, visitor):
    write(services="")
    process, url = start(serve)
    receive = [connect(url, name) for name in ("ann", "bob")]
    assert receive[0]() == []
    assert json.load(visitor.open(f"{url}/x"))["seen"] == []
    _, _, log = end(process)
    assert log.count("does not list channel_presence under inbound_services") == 1


def test_presence_always_tells_the_app_all_the_same(serve, write):
    write(services="")
    process, url = start(serve, "--presence", "always")
    assert connect(url, "ann")() == ["welcome"]
    assert "inbound_services" not in end(process)[2]


def test_code_that_is_changed_runs_with_the_next_request(serve, write, visitor, tmp_path):
    write()
    _, url = start(serve)
    (tmp_path / "admin.py").write_text(ADMIN.replace("seen", "changed"))
    (tmp_path / "main.py").write_text(MAIN.replace('"seen": SEEN', '"changed": True'))

    assert json.load(visitor.open(f"{url}/x"))["changed"]


def test_an_app_yaml_that_is_changed_is_followed_by_the_next_request(serve, write, visitor, tmp_path):
    write()
    process, url = start(serve)
    receive = connect(url, "ann")
    text = (tmp_path / "app.yaml").read_text()
    (tmp_path / "app.yaml").write_text(text.replace("url: /static", "url: /style") + "env_variables: {TZ: CET}\n")

    def status(path):
        try:
            return visitor.open(f"{url}{path}").status
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    assert status("/style/a.css") == 200
    (tmp_path / "app.yaml").write_text(text.replace("static_dir", "static_dri"))
    assert "did you mean static_dir?" in str(status("/style/a.css"))
    (tmp_path / "app.yaml").write_text(text.replace("main.app", "mian.app"))
    assert "There is no module 'mian'." in str(status("/x"))
    (tmp_path / "mian.py").write_text(MAIN)
    until(lambda: status("/x") == 200)
    assert receive() == ["welcome"], "the page's socket outlives it all"
    assert end(process)[0] == 0


def test_python27_without_an_import_of_the_sdk_runs_under_python3(serve, write, visitor):
    write("python27")
    process, url = start(serve)
    assert json.load(visitor.open(f"{url}/x"))["user"] is None
    assert "the app needs nothing of it: it runs under Python 3" in end(process)[2]


def test_python27_with_one_needs_the_sdk_or_a_word_that_it_does_not(serve, write, visitor, tmp_path):
    write("python27")
    (tmp_path / "old.py").write_text("from google.appengine.ext import db\n")
    process, line = serve("--port", "0")
    assert line == ""
    assert process.wait(timeout=LONG_ENOUGH) == 1
    said = process.stderr.read()
    assert "old.py, line 1, imports google.appengine.ext.db" in said
    assert "--no-sdk" in said
    _, url = start(serve, "--no-sdk")
    assert json.load(visitor.open(f"{url}/x"))["user"] is None


def test_a_mistake_in_app_yaml_is_told_with_its_line(serve, write, tmp_path):
    write()
    with (tmp_path / "app.yaml").open("a") as file:
        file.write("  logn: admin\n")
    process, line = serve("--port", "0")
    assert line == ""
    assert process.wait(timeout=LONG_ENOUGH) == 1
    assert "app.yaml, line 19: a handler has no field 'logn'; did you mean login?" in process.stderr.read()


def test_modules_that_python3_will_not_find_are_named(serve, write, tmp_path):
    write()
    (tmp_path / "old.py").write_text(
        "\nfrom google.appengine.ext import db\nfrom google.appengine.api import users\n"
        "from google.appengine.runtime import DeadlineExceededError\n"
        "from google.appengine.api import (\n    channel, wrap_wsgi_app,  # both\n    memcache as cache,\n)\n"
        "import google.appengine.ext.ndb as ndb, os\nfrom google.appengine.api import images, mail\n"
    )
    with (tmp_path / "app.yaml").open("a") as file:
        file.write("libraries:\n- {name: no-such-library, version: '1'}\n- {name: ssl, version: latest}\n")
    process, _ = start(serve)
    log = end(process)[2]
    assert "app.yaml, line 20: App Engine gave the app the library no-such-library" in log
    assert "-m pip install no-such-library" in log
    assert "old.py, line 2: google.appengine.ext.db is a part of Google's SDK" in log
    assert "old.py, line 5: google.appengine.api.wrap_wsgi_app is a function of appengine-python-standard" in log
    assert "without it the app cannot be imported" in log
    for line, module in ((5, "api.memcache"), (9, "ext.ndb"), (10, "api.images"), (10, "api.mail")):
        assert f"old.py, line {line}: google.appengine.{module} is a part of Google's SDK" in log
    assert "most of its services then still need Google's servers" in log
    assert "channel is a part" not in log
    assert "ssl" not in log
    assert "users is a part" not in log
    assert "DeadlineExceededError" not in log
