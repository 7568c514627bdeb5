"""Request targets on their way to apps of all kinds: what is in disguise stays out, what is odd arrives as it was."""

from __future__ import annotations

import json
import re
import subprocess
from urllib.parse import unquote

import pytest

from appengine_channel_emu.host.app_kinds import upstream_backend
from appengine_channel_emu.server.service import Service
from appengine_channel_emu.settings import Settings
from tests.support import parts, wire
from tests.support.emulator import RunningEmulator
from tests.support.processes import running_command
from tests.support.targets import GUARDED, ODD, disguised

NODE = """
const http = require('http'), url = require('url');
http.createServer((request, answer) => {
  const paths = [], read = (how) => { try { paths.push(how()); } catch (error) { /* It is none to this reader. */ } };
  for (const target of [request.url, decodeURIComponent.call(null, request.url.replace(/%(?![0-9a-f]{2})/gi, '%25'))]) {
    read(() => new URL(target, 'http://localhost').pathname);
    read(() => decodeURIComponent(new URL(target, 'http://localhost').pathname));
    read(() => url.parse(target).pathname);
    read(() => url.parse(target, true, true).pathname);
    read(() => require('path').posix.normalize(target.split('?')[0]));
  }
  answer.end(JSON.stringify(paths));
}).listen(0, '127.0.0.1', function () { console.log(this.address().port); });
"""
PHP = """<?php
$target = $_SERVER['REQUEST_URI'];
$paths = [];
foreach ([$target, rawurldecode($target)] as $each) {
  $path = parse_url($each, PHP_URL_PATH);
  if (is_string($path)) array_push($paths, $path, urldecode($path));
}
echo json_encode($paths, JSON_INVALID_UTF8_SUBSTITUTE);
"""
POST = b"POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: 6\r\nConnection: close\r\n%s\r\nfrom=a"
CROSS_SITE = b"Origin: http://evil.example\r\nSec-Fetch-Site: cross-site\r\n"


def ask(port, target, more=b""):
    """Status and body."""
    head, _, body = wire.ask(port, POST % (target.encode(), more)).partition(b"\r\n\r\n")
    return int(head.split()[1]), body


def names_a_guarded_path(paths):
    """Whether a router that is not strict would take one of `paths` for one."""
    return any("/" + re.sub("/+", "/", path.lower()).strip("/") in GUARDED for path in paths)


def in_front_of(url):
    return Service(Settings(port=0, state_dir="none", quiet=True), lambda address: upstream_backend(url, address, 30.0))


@pytest.fixture
def node(tmp_path):
    (tmp_path / "app.js").write_text(NODE)
    command = [str(parts.need(parts.node)), "--no-deprecation", str(tmp_path / "app.js")]
    with running_command(command, stdout=subprocess.PIPE) as process:
        yield int(process.stdout.readline())


@pytest.fixture
def php(tmp_path):
    (tmp_path / "index.php").write_text(PHP)
    port = wire.free_port()
    command = [str(parts.need(parts.php)), "-S", f"127.0.0.1:{port}", str(tmp_path / "index.php")]
    with running_command(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL):
        wire.wait_for_port(port)
        yield port


# PHP's own server refuses some of them itself.
@pytest.mark.parametrize(("app", "least"), [pytest.param("node", 60, marks=pytest.mark.slow), ("php", 10)])
def test_no_disguise_of_a_guarded_path_gets_through(app, least, request):
    port = request.getfixturevalue(app)
    targets = disguised(200)
    assert len(targets) == 200
    # Without us in front, many of them are what they hide to this very app.
    seen = [ask(port, target) for target in targets if target.startswith("/")]
    assert sum(names_a_guarded_path(json.loads(body)) for status, body in seen if status == 200) >= least
    service = in_front_of(f"http://127.0.0.1:{port}")
    service.start()
    try:
        answers = {target: ask(service.port, target, CROSS_SITE) for target in targets}
        assert {target: status for target, (status, _) in answers.items() if status != 403} == {}
        # Who is here, only we say, to whomever it is that asks.
        presence = [target for target, path in targets.items() if path != GUARDED[2]]
        assert [target for target in presence if b"--presence-from-visitors" not in ask(service.port, target)[1]] == []
    finally:
        service.stop()


class Noting(wire.Listener):
    """An app of one line: it keeps the first line of each request."""

    def __init__(self):
        self.lines = []
        super().__init__(self._note)

    def _note(self, connection):
        line = connection.recv(65536).partition(b"\r\n")[0]
        if line:  # Otherwise it was only looked for.
            self.lines.append(line)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")


def test_odd_targets_reach_an_upstream_app_byte_for_byte():
    assert len(set(ODD)) >= 50
    app = Noting()
    service = in_front_of(app.url)
    service.start()
    try:
        assert {target: ask(service.port, target)[0] for target in ODD} == dict.fromkeys(ODD, 200)
        assert app.lines == [f"POST {target} HTTP/1.1".encode() for target in ODD]
        # In absolute form, which only proxies are sent: RFC 9112, section 3.2.1.
        assert ask(service.port, "http://localhost//x?y")[0] == 200
        assert app.lines[-1] == b"POST //x?y HTTP/1.1"
        assert [ask(service.port, target)[0] for target in ("x", "x:/y", "*")] == [400, 400, 400]
    finally:
        service.stop()
        app.close()


ECHO = """
import json
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps([environ[name] for name in ("REQUEST_URI", "PATH_INFO", "QUERY_STRING")]).encode()]
"""
APP_YAML = "runtime: python39\nhandlers:\n- url: /.*\n  script: main.app\n"


@pytest.mark.parametrize("kind", ["module", "app.yaml"])
def test_odd_targets_reach_a_python_3_app_byte_for_byte(kind, tmp_path):
    (tmp_path / "main.py").write_text(ECHO)
    (tmp_path / "app.yaml").write_text(APP_YAML)
    arguments = ["main:app", "--app-dir", str(tmp_path)] if kind == "module" else [str(tmp_path)]
    with RunningEmulator(*arguments, log=tmp_path / "log") as emulator:
        for target in ODD:
            status, body = ask(emulator.port, target)
            assert status == 200, target
            path, _, query = target.partition("#")[0].partition("?")
            # Where it begins with several slashes, the runner's WSGI shows one; the target itself is whole.
            path_info = "/" + unquote(path, "latin-1").lstrip("/")
            assert json.loads(body) == [target, path_info, query]
