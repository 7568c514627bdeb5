"""Who answers a url, who may see it, and what the script is told; the scripts themselves are played."""

from __future__ import annotations

import re

import pytest

from appengine_channel_emu.host.app_backend import AppBackend, finished_headers
from appengine_channel_emu.host.app_checks import for_python3, read_config
from appengine_channel_emu.host.app_yaml import read_app_yaml
from appengine_channel_emu.host.backend import AppAnswer
from appengine_channel_emu.host.errors import CannotStart
from appengine_channel_emu.host.login import SignIn
from appengine_channel_emu.host.static_files import LONG_PAST
from tests.host.conftest import visit

APP_YAML = """
application: guestbook
version: 7
service: front
runtime: python312
entrypoint: gunicorn web:site
env_variables: {GREETING: hello}
handlers:
- {url: /member, script: main.app, login: required}
- {url: /admin, script: main.app, login: admin, secure: always}
- {url: /api, script: main.app, login: required, auth_fail_action: unauthorized}
- {url: /private, static_dir: static, login: required}
- {url: /(tasks|os|lib)/.*, script: \\1.app}
- {url: /_ah/channel/connected/, script: presence.app, login: admin, secure: always}
- {url: /_ah/channel/.*, static_dir: static}
- {url: /.*, script: auto}
"""


class Scripts:
    """Plays the process of the app."""

    def __init__(self, spec):
        self.spec = spec
        self.headers = [("Content-Type", "text/plain")]
        self.asked = []
        self.posts = []

    def start(self):
        pass

    def stop(self):
        pass

    def serve(self, environ, request_id, script):
        self.asked.append((environ, script))
        return AppAnswer("200 OK", self.headers, [script.target.encode()])

    def post(self, path, body, content_type, timeout, script):
        self.posts.append((path, body, script))
        return 200


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "static").mkdir()
    (tmp_path / "static" / "page.html").write_text("members only")
    (tmp_path / "tasks.py").write_text("")
    (tmp_path / "lib").mkdir()
    return tmp_path


@pytest.fixture
def make(folder):
    def make(text=APP_YAML):
        (folder / "app.yaml").write_text(text)
        scripts = []

        def make_scripts(spec):
            scripts.append(Scripts(spec))
            return scripts[0]

        app = AppBackend(read_app_yaml(folder / "app.yaml"), "127.0.0.1:8080", make_scripts, SignIn(b"key"))
        app.scripts = scripts[0] if scripts else None
        return app

    return make


@pytest.fixture
def app(make):
    return make()


def signed_in(app, admin=False):
    got = visit(
        app, "/_ah/login", "POST", b"email=ann%40gmail.com" + b"&admin=true" * admin,
        "application/x-www-form-urlencoded",
    )  # fmt: skip
    return {"HTTP_COOKIE": got.header("Set-Cookie")[0].partition(";")[0]}


@pytest.mark.parametrize(
    ("path", "target"), [("/", "web:site"), ("/tasks/clean", "tasks:app"), ("/lib/x", "lib:app"), ("/é", "web:site")]
)
def test_the_script_of_a_url(app, path, target):
    assert visit(app, PATH_INFO=path.encode().decode("latin-1")).text == target


def test_a_url_cannot_have_just_any_module_imported(app):
    assert visit(app, "/os/x").status == 404
    assert app.scripts.asked == []


def test_login_required(app):
    got = visit(app, "/member?a=b&c")
    assert (got.status, got.header("Location")) == (302, ["/_ah/login?continue=%2Fmember%3Fa%3Db%26c"])
    assert visit(app, "/member", **signed_in(app)).text == "main:app"


def test_login_admin(app):
    assert visit(app, "/admin").status == 302
    refused = visit(app, "/admin", **signed_in(app))
    assert refused.status == 401
    assert "ann@gmail.com is no administrator" in refused.text
    assert visit(app, "/admin", **signed_in(app, admin=True)).status == 200


def test_auth_fail_action_unauthorized(app):
    got = visit(app, "/api")
    assert (got.status, got.header("Location")) == (401, [])


def test_static_files_ask_for_a_login_too_and_stay_out_of_shared_caches(app):
    assert visit(app, "/private/page.html").status == 302
    got = visit(app, "/private/page.html", **signed_in(app))
    assert got.text == "members only"
    assert got.header("Cache-Control") == ["private"]


def test_a_redirect_to_the_login_cannot_carry_headers(app):
    got = visit(app, "/member?x=%0d%0aSet-Cookie:%20a=b", REQUEST_URI="/member?x=\r\nSet-Cookie: a=b")
    assert got.status == 302
    assert not re.search(r"[\r\n]", got.header("Location")[0])


def test_what_the_script_is_told(app):
    visit(app, "/", HTTP_ACCEPT_ENCODING="gzip", HTTP_X_MINE="1", **signed_in(app, admin=True))
    asked, script = app.scripts.asked[0]
    told = script.environ
    assert told["USER_EMAIL"] == told["HTTP_X_APPENGINE_USER_EMAIL"] == "ann@gmail.com"
    assert told["USER_IS_ADMIN"] == "1"
    assert told["HTTP_X_APPENGINE_COUNTRY"] == "ZZ"
    assert told["PATH_TRANSLATED"].endswith("/web.py")
    assert re.fullmatch("[0-9A-F]{8}", told["REQUEST_ID_HASH"])
    assert re.fullmatch("[0-9a-f]{40}", told["REQUEST_LOG_ID"])
    assert "HTTP_ACCEPT_ENCODING" not in asked
    assert asked["HTTP_X_MINE"] == "1"


def test_a_stranger_has_empty_user_variables(app):
    visit(app, "/")
    told = app.scripts.asked[0][1].environ
    assert (told["USER_EMAIL"], told["USER_ID"], told["USER_IS_ADMIN"]) == ("", "", "0")
    assert "HTTP_X_APPENGINE_USER_EMAIL" not in told


def test_the_environ_of_the_process(app):
    spec = app.scripts.spec
    assert spec.target == "web:site"
    assert spec.environ["GREETING"] == "hello"
    assert spec.environ["APPLICATION_ID"] == "dev~guestbook"
    assert re.fullmatch(r"7\.\d+", spec.environ["CURRENT_VERSION_ID"])
    assert spec.environ["CURRENT_MODULE_ID"] == "front"
    assert spec.environ["DEFAULT_VERSION_HOSTNAME"] == "127.0.0.1:8080"
    assert spec.environ["TZ"] == "UTC"


def test_threadsafe_and_the_timeout_page_reach_the_instance(make, folder):
    (folder / "timeout.html").write_text("too slow")
    app = make(
        "runtime: python27\nthreadsafe: false\nerror_handlers: [{error_code: timeout, file: timeout.html}]\n"
        "handlers: [{url: /.*, script: main.app}]\n"
    )
    assert app.scripts.spec.threadsafe is False
    assert app.scripts.spec.timeout_page == (b"too slow", "text/html")


def test_presence_reaches_a_handler_for_administrators(app):
    assert app.post("/_ah/channel/connected/", b"from=ann", "application/x-www-form-urlencoded", 1.0) == 200
    [(path, body, script)] = app.scripts.posts
    assert (path, body) == ("/_ah/channel/connected/", b"from=ann")
    assert script.target == "presence:app"
    assert script.environ["USER_EMAIL"] == ""


def test_presence_without_a_script_for_it_is_404(app):
    assert app.post("/_ah/channel/disconnected/", b"from=ann", "", 1.0) == 404


def test_an_app_of_files_alone_has_no_process(make):
    app = make("runtime: python27\nthreadsafe: true\nhandlers: [{url: /s, static_dir: static}]\n")
    app.start()
    assert app.scripts is None
    assert visit(app, "/s/page.html").status == 200
    assert app.post("/_ah/channel/connected/", b"", "", 1.0) == 404
    app.stop()


def test_the_hint_of_an_app_that_is_not_told_of_clients(make):
    app = make()
    assert not app.takes_presence
    assert "app.yaml, line 14: a handler takes /_ah/channel/connected/" in app.presence_hint
    told = make(APP_YAML + "inbound_services: [channel_presence]\n")
    assert told.takes_presence
    assert told.presence_hint is None
    assert make("runtime: python27\nthreadsafe: true\n").presence_hint is None


@pytest.mark.parametrize(
    ("url", "source", "said"),
    [
        ("/_ah/channel/.*", "", True),
        ("/_ah/channel/(connected|disconnected)/", "", True),
        ("/.*", "", False),
        ("/.*", "return '/_ah/channel/jsapi'", False),
        ("/.*", "routes = [('/_ah/channel/connected/', Connected)]", True),
        ("/.*", "url(r'^_ah/channel/(dis)?connected/$', presence)", True),
    ],
)
def test_the_hint_is_for_apps_that_know_of_presence(make, tmp_path, url, source, said):
    (tmp_path / "views").mkdir()
    (tmp_path / "views" / "main.py").write_text(source)
    app = make(f"runtime: python27\nthreadsafe: true\nhandlers: [{{url: {url}, script: main.app}}]\n")
    assert (app.presence_hint is not None) == said


@pytest.mark.parametrize("script", ["old.py", "main"])
def test_a_script_that_python3_cannot_run_says_so(make, script):
    app = make(
        "runtime: python27\nthreadsafe: false\n"
        f"handlers: [{{url: /old, script: {script}}}, {{url: /.*, script: main.app}}]\n"
    )
    assert app.scripts.spec.target == "main:app"
    assert visit(app, "/").text == "main:app"
    got = visit(app, "/old")
    assert got.status == 500
    assert "line 3: " in got.text
    assert "name a WSGI callable" in got.text
    assert app.post("/old", b"", "", 1.0) == 404


@pytest.mark.parametrize(
    ("given", "added"),
    [
        ([], [("Content-Type", "text/html"), ("Cache-Control", "no-cache"), ("Expires", LONG_PAST)]),
        ([("content-type", "a/b"), ("cache-control", "max-age=1")], []),
        ([("Content-Type", "a/b"), ("Expires", "x")], [("Cache-Control", "no-cache")]),
    ],
)
def test_what_an_answer_lacks(given, added):
    assert finished_headers(given) == given + added


def test_an_encoding_is_the_front_ends_affair():
    assert ("Content-Encoding", "gzip") not in finished_headers([("Content-Encoding", "gzip")])


@pytest.mark.parametrize(
    ("cache", "becomes"),
    [
        ("public, max-age=60", "max-age=60, private"),
        ("Public", "private"),
        ("private", "private"),
        ("no-cache", "no-cache"),
        ('no-cache="a, public", max-age=5', 'no-cache="a, public", max-age=5, private'),
    ],
)
def test_an_answer_with_a_cookie_is_for_no_shared_cache(cache, becomes):
    headers = [("Content-Type", "a/b"), ("Cache-Control", cache), ("Set-Cookie", "a=b"), ("Set-Cookie", "c=d")]
    found = finished_headers(headers)
    assert [value for name, value in found if name == "Cache-Control"] == [becomes]
    assert [value for name, value in found if name == "Set-Cookie"] == ["a=b", "c=d"]


def test_a_cookies_answer_does_not_expire_later():
    headers = [("Set-Cookie", "a=b"), ("Expires", "Fri, 01 Jan 2100 00:00:00 GMT"), ("Cache-Control", "max-age=1")]
    assert "2100" not in dict(finished_headers(headers))["Expires"]
    for past in ("Fri, 01 Jan 1990 00:00:00 GMT", "0", "nonsense"):
        assert dict(finished_headers([("Set-Cookie", "a=b"), ("Expires", past)]))["Expires"] == past


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("runtime: go119\n", "started by its own tools; channel-emu serve --upstream URL"),
        ("runtime: go\napi_version: go1\n", "the runtime go is started by its own tools; channel-emu serve --upstream"),
        ("runtime: nodejs20\n", "the runtime nodejs20 is started by its own tools"),
        (
            "runtime: python\nenv: flex\n",
            "is a server of its own, which its entrypoint starts; channel-emu",
        ),
        ("runtime: python\nvm: true\nentrypoint: gunicorn -b :$PORT main:app\n", "too: channel-emu serve main:app"),
        ("runtime: Python27\n", "did you mean python27?"),
        ("runtime: python27\nthreadsafe: false\nhandlers: [{url: /.*, script: main.py}]\n", "the CGI script 'main.py'"),
        ("runtime: python312\nhandlrs: []\n", "did you mean handlers?"),
    ],
)
def test_what_cannot_be_served_by_python3(tmp_path, text, says):
    (tmp_path / "app.yaml").write_text(text)
    with pytest.raises(CannotStart, match=re.escape(says)):
        for_python3(read_config(tmp_path / "app.yaml"))
