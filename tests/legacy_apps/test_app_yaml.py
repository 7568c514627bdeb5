"""One app with an app.yaml as strangers write them, run by the SDK and under Python 3: the same answers."""

from __future__ import annotations

import pytest

from tests.support.emulator import RunningEmulator
from tests.support.legacy import emulated

APP_YAML = r"""
application: odd
version: 010
runtime: python27
api_version: 1.0
threadsafe: true
pagespeed: {enabled: true}
inbound_services: [channel_presence]
builtins: [{deferred: on}, {datastore_admin: on}, {mapreduce: on}]
includes: [more]
error_handlers:
- {error_code: timeout, file: nothing.html}
- {file: nothing.html}
env_variables: {DEBUG: yes, RATE: 1.10}
handlers:
- url: /(.*\.(css|png))$
  static_files: ./static/\1
  upload: static/.*\.css$
  mime_type: text/css charset=utf-8
- {url: '/(?i)Foo', script: main.app}
- {url: '/(bar|\Baz)', script: main.app}
- {url: /dir/, static_dir: static/}
- {url: /pkg/.*, script: my-pkg.other.app}
- {url: '/(?P<name>two|three)/.*', script: '\g<name>.app'}
- {url: /plain|/other, script: main.app}
- {url: /.*, script: main.app}
"""
MORE = """
handlers:
- {url: /first, script: two.app}
- {url: /last.*, script: two.app, position: tail}
env_variables: {DEBUG: included}
skip_files: ^secret
"""
MAIN = """
import os
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    version = os.environ["CURRENT_VERSION_ID"].split(".")[0]
    said = [__name__, environ["PATH_INFO"], os.environ["DEBUG"], os.environ["RATE"], version]
    return [" ".join(said).encode("ascii")]
"""
ANSWERS = {
    "/": "main / included 1.1 8",
    "/a.css": "css",
    "/a.png": "png",
    "/fOO": "main /fOO included 1.1 8",
    "/Baz": "main /Baz included 1.1 8",
    "/dir/deep/x.txt": "x",
    "/pkg/x": "my-pkg.other /pkg/x included 1.1 8",
    "/two/x": "two /two/x included 1.1 8",
    "/plain/x": "main /plain/x included 1.1 8",
    "/first": "two /first included 1.1 8",
    "/last": "main /last included 1.1 8",
}


@pytest.fixture
def app(tmp_path):
    files = {
        "app.yaml": APP_YAML, "more/include.yaml": MORE, "main.py": MAIN, "two.py": MAIN, "my-pkg/__init__.py": "",
        "my-pkg/other.py": MAIN, "static/a.css": "css", "static/a.png": "png", "static/deep/x.txt": "x",
    }  # fmt: skip
    for name, text in files.items():
        path = tmp_path / "app" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "app"


@pytest.mark.parametrize("kind", [pytest.param("sdk", marks=pytest.mark.slow), "python3"])
def test_an_odd_app_yaml_has_the_same_effect_in_every_kind_of_app(app, tmp_path, http, kind):
    log = tmp_path / "log"
    with emulated(app, log) if kind == "sdk" else RunningEmulator("--no-sdk", str(app), log=log) as emulator:
        found = {path: http.request("GET", emulator.url + path) for path in ANSWERS}
        assert {path: answer.data.decode() for path, answer in found.items()} == ANSWERS
        assert found["/a.css"].headers["Content-Type"] == "text/css charset=utf-8"
        assert (
            "line 12: error_handlers: there is no file 'nothing.html'; visitors get a page of ours" in log.read_text()
        )
        assert "pagespeed" in log.read_text()
        if kind == "sdk":
            assert "Instance PID" in log.read_text()
            assert "Could not read search indexes" not in log.read_text()
