"""What of a visitor's request reaches a legacy app, and what of its own sign-in page another site's page can use."""

from __future__ import annotations

import json
import re
from urllib.parse import unquote

import pytest

from tests.support import wire
from tests.support.legacy import emulated
from tests.support.targets import ODD, disguised

APP_YAML = """\
application: echo
version: 1
runtime: python27
api_version: 1
threadsafe: true
handlers:
- url: /.*
  script: main.app
"""
MAIN = """\
import json
from google.appengine.api import users
def app(environ, start_response):
    if environ['PATH_INFO'] == '/who':
        start_response('200 OK', [('Content-Type', 'text/plain')])
        return ['%s %s' % (users.get_current_user(), users.create_logout_url('/'))]
    start_response('200 OK', [('Content-Type', 'application/json')])
    return [json.dumps([environ['PATH_INFO'].decode('latin-1'), environ['QUERY_STRING']])]
"""
FORM = "/_ah/login?continue=%2F"


@pytest.fixture(scope="module")
def echo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("echo") / "app"
    folder.mkdir()
    (folder / "app.yaml").write_text(APP_YAML)
    (folder / "main.py").write_text(MAIN)
    # Not in the app's folder, where the dev server would take each line of it for a change of the source.
    with emulated(folder, folder.parent / "log") as emulator:
        yield emulator


def ask(emulator, target, *fields):
    """The head and the body of the answer to a GET, as they came."""
    lines = [f"GET {target} HTTP/1.1", f"Host: localhost:{emulator.port}", "Connection: close", *fields]
    answer = wire.ask(emulator.port, "\r\n".join([*lines, "", ""]).encode("latin-1")).decode("latin-1")
    head, _, body = answer.partition("\r\n\r\n")
    return head, body


def test_odd_targets_reach_the_app_as_they_were(echo):
    """The dev server shows apps a path, decoded but for its escaped slashes, and a query; it redirects dot segments."""
    for target in ODD:
        head, body = ask(echo, target)
        path, _, query = target.partition("#")[0].partition("?")
        if {".", ".."} & set(unquote(path).split("/")):
            assert head.startswith("HTTP/1.1 302 Found")
        else:
            path_info = "%2F".join(unquote(part, "latin-1") for part in re.split("%2[fF]", path))
            assert (json.loads(body), head[:12]) == ([path_info, query], "HTTP/1.1 200"), target


def test_disguised_ones_do_not(echo):
    assert {ask(echo, target, "Sec-Fetch-Site: cross-site")[0][:12] for target in disguised(50)} == {"HTTP/1.1 403"}


def test_a_page_of_another_site_or_port_signs_nobody_in_or_out(echo):
    signed_in = ask(echo, "/_ah/login?email=ann%40example.com&action=Login&continue=/", "Sec-Fetch-Site: same-origin")[
        0
    ]
    (cookie,) = [line[12:].partition(";")[0] for line in signed_in.split("\r\n") if line.startswith("Set-Cookie: ")]
    who, _, way_out = ask(echo, "/who", f"Cookie: {cookie}")[1].partition(" ")
    assert who == "ann@example.com"
    way_out = way_out[way_out.index("/_ah/") :]
    sign_in = "/_ah/login?email=eve%40evil.example&admin=True&action=Login"
    for hidden in (f"/x:/{sign_in}", f"/x:/{way_out}", f"/x://y{sign_in}", f"//y{sign_in}"):
        assert "Set-Cookie" not in ask(echo, hidden, f"Cookie: {cookie}", "Sec-Fetch-Site: cross-site")[0]
    for target in (way_out, "/_ah/login?action=Logout", sign_in):
        for site in ("Sec-Fetch-Site: same-site", "Sec-Fetch-Site: cross-site", "Referer: http://localhost:1/"):
            head, _ = ask(echo, target, f"Cookie: {cookie}", site)
            assert head.startswith("HTTP/1.1 302 Found")
            assert f"Location: {FORM}" in head
            assert "Set-Cookie" not in head
    assert "Login</title>" in ask(echo, FORM, "Sec-Fetch-Site: cross-site")[1]
    assert "Set-Cookie: dev_appserver_login=" in ask(echo, way_out, "Sec-Fetch-Site: same-origin")[0]
