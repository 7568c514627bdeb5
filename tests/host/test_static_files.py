"""Static handlers, seen from the visitor and from one who is after other files."""

from __future__ import annotations

import os
import re
import time
from email.utils import parsedate_to_datetime

import pytest

from appengine_channel_emu.host.app_backend import AppBackend
from appengine_channel_emu.host.app_yaml import read_app_yaml
from appengine_channel_emu.host.login import SignIn
from tests.host.conftest import visit

APP_YAML = """
runtime: python27
threadsafe: true
handlers:
- url: /favicon\\.ico
  static_files: static/favicon.ico
  upload: static/favicon\\.ico
- url: /img/(.*)
  static_files: pictures/\\1
  upload: pictures/.*\\.png
  expiration: 1h
- url: /typed
  static_dir: static
  mime_type: text/x-own; charset=latin-1
  http_headers:
    X-Own: 'yes'
    Cache-Control: max-age=5
- url: /maybe
  static_dir: static
  require_matching_file: true
- url: /maybe/(.*)
  static_files: second/\\1
  upload: second/.*
- url: /s
  static_dir: static
"""


@pytest.fixture
def folder(tmp_path):
    app = tmp_path / "app"
    (app / "static" / "deep").mkdir(parents=True)
    (app / "pictures").mkdir()
    (app / "second").mkdir()
    (app / "app.yaml").write_text(APP_YAML)
    (app / "main.py").write_text("SECRET = 1")
    (app / "static" / "site.css").write_text("body { color: red }")
    (app / "static" / "favicon.ico").write_bytes(b"\0icon")
    (app / "static" / ".hidden").write_text("hidden")
    (app / "static" / "old.pyc").write_text("compiled")
    (app / "static" / "empty.txt").write_text("")
    (app / "static" / "deep" / "a b é.html").write_text("<p>")
    (app / "pictures" / "cat.png").write_bytes(b"png")
    (app / "pictures" / "notes.txt").write_text("notes")
    (app / "second" / "other.txt").write_text("from the second")
    (tmp_path / "outside.txt").write_text("outside")
    return app


@pytest.fixture
def app(folder):
    return an_app(folder)


def an_app(folder):
    def no_scripts(spec):
        raise AssertionError("there is no script in this app.yaml")

    return AppBackend(read_app_yaml(folder / "app.yaml"), "127.0.0.1:9", no_scripts, SignIn(b"key"))


def get(app, path, method="GET", **fields):
    """`path` as waitress gives it: decoded, its bytes as Latin-1."""
    return visit(app, method=method, PATH_INFO=path.encode("utf-8", "surrogateescape").decode("latin-1"), **fields)


def test_a_file_of_a_folder(app):
    got = get(app, "/s/site.css")
    assert (got.status, got.body) == (200, b"body { color: red }")
    assert got.header("Content-Type") == ["text/css; charset=utf-8"]
    assert got.header("Content-Length") == ["19"]
    assert got.header("Cache-Control") == ["public"]
    assert got.header("Expires") == ["Fri, 01 Jan 1990 00:00:00 GMT"]


@pytest.mark.parametrize("path", ["/s/deep/a b é.html", "/favicon.ico", "/img/cat.png"])
def test_other_ways_to_a_file(app, path):
    assert get(app, path).status == 200


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("/favicon.ico", "image/x-icon"),
        ("/img/cat.png", "image/png"),
        ("/s/empty.txt", "text/plain; charset=utf-8"),
    ],
)
def test_types_by_name(app, name, kind):
    assert get(app, name).header("Content-Type") == [kind]


@pytest.mark.parametrize(
    "path",
    [
        "/s/../main.py",
        "/s/deep/../../main.py",
        "/s/./site.css",
        "/s//site.css",
        "/s//etc/passwd",
        "/s/\\etc\\passwd",
        "/s/..\\main.py",
        "/s/site.css\0.html",
        "/s/\0",
        "/s/deep",
        "/s/deep/",
        "/s/",
        "/s/.hidden",
        "/s/old.pyc",
        "/s/nothing.css",
        "/s/%2e%2e/main.py",
        "/s/" + "x" * 5000,
        "/s/" + "deep/" * 3000 + "x",
        "/s/\udcff\udcfe",
        "/img/../main.py",
        "/img/../../outside.txt",
        "/img//etc/passwd.png",
    ],
)
def test_what_is_not_a_file_for_visitors(app, path):
    got = get(app, path)
    assert got.status == 404
    assert b"SECRET" not in got.body
    assert b"root:" not in got.body


def test_links_lead_no_further_than_the_apps_folder(app, folder):
    (folder / "static" / "out").symlink_to(folder.parent)
    (folder / "static" / "file").symlink_to(folder.parent / "outside.txt")
    (folder / "static" / "loop").symlink_to("loop")
    (folder / "static" / "skipped").symlink_to(folder / "static" / ".hidden")
    (folder / "static" / "inside.css").symlink_to("site.css")
    for name in ("out/outside.txt", "file", "loop", "skipped"):
        assert get(app, f"/s/{name}").status == 404
    assert get(app, "/s/inside.css").status == 200


@pytest.mark.parametrize(
    ("written", "path", "status"),
    [
        ("static_dir: static/", "/w/site.css", 200),
        ("static_dir: ./static", "/w/site.css", 200),
        ("static_dir: static/./deep/..", "/w/site.css", 200),
        ("static_dir: .", "/w/static/site.css", 200),
        ("static_dir: ./", "/w/static/../main.py", 404),
        ("static_dir: .", "/w/static/.hidden", 404),
        ("static_dir: ../beside", "/w/built.js", 200),
        ("static_dir: ../beside", "/w/../outside.txt", 404),
        ("static_dir: ../beside", "/w/.hidden", 404),
        ("static_dir: ../beside", "/w/out", 404),
        ("static_dir: linked", "/w/built.js", 200),
        ("static_dir: linked", "/w/out", 404),
        ("static_dir: /etc", "/w/hostname", 404),
        ("static_dir: stat\\ic", "/w/site.css", 404),
        ("{static_files: './static/\\1', upload: .*}", "/w/site.css", 200),
        ("{static_files: '../beside/\\1', upload: .*}", "/w/built.js", 200),
        ("{static_files: '../beside/\\1', upload: .*}", "/w/../outside.txt", 404),
        ("{static_files: 'linked/\\1', upload: .*}", "/w/built.js", 200),
        ("{static_files: 'static/\\1', upload: static}", "/w/site.css", 200),
        ("{static_files: '\\1', upload: .*}", "/w//etc/hostname", 404),
    ],
)
def test_the_folder_that_app_yaml_names(folder, written, path, status):
    beside = folder.parent / "beside"
    beside.mkdir()
    (beside / "built.js").write_text("")
    (beside / ".hidden").write_text("")
    (beside / "out").symlink_to(folder.parent / "outside.txt")
    (folder / "linked").symlink_to(beside)
    handler = written if written.startswith("{") else f"{{{written}}}"
    url = "/w" if "static_dir" in written else "/w/(.*)"
    (folder / "app.yaml").write_text(
        f"runtime: python27\nthreadsafe: true\nhandlers:\n- {handler[:-1]}, url: {url}}}\n"
    )
    assert get(an_app(folder), path).status == status


def test_a_file_that_app_engine_would_not_have_had_is_served_and_said_once(app, caplog):
    assert [get(app, f"/img/{name}").status for name in ("notes.txt", "notes.txt", "cat.png", "no.txt")] == [
        200
    ] * 3 + [404]
    [line] = [record.getMessage() for record in caplog.records]
    assert line == "app.yaml, line 8: upload does not match 'pictures/notes.txt', which App Engine would not have had"


def test_an_odd_mime_type_and_a_long_expiration_are_sent(folder):
    (folder / "app.yaml").write_text(
        "runtime: python27\nthreadsafe: true\nhandlers:\n- url: /s\n  static_dir: static\n  expiration: 9999999d\n"
        "  mime_type: text/html charset=utf-8\n"
    )
    got = get(an_app(folder), "/s/site.css")
    assert got.header("Content-Type") == ["text/html charset=utf-8"]
    assert got.header("Cache-Control") == ["public, max-age=3153600000"]


def test_a_named_pipe_holds_nobody(app, folder):
    os.mkfifo(folder / "static" / "pipe")
    assert get(app, "/s/pipe").status == 404


def test_expiration(app):
    got = get(app, "/img/cat.png")
    assert got.header("Cache-Control") == ["public, max-age=3600"]
    left = parsedate_to_datetime(got.header("Expires")[0]).timestamp() - time.time()
    assert 3590 < left <= 3600


def test_own_headers_and_type_come_first(app):
    got = get(app, "/typed/site.css")
    assert got.header("Content-Type") == ["text/x-own; charset=latin-1"]
    assert got.header("X-Own") == ["yes"]
    assert got.header("Cache-Control") == ["max-age=5"]


def test_a_file_that_is_missing_leaves_the_url_to_the_next_handler(app):
    assert get(app, "/maybe/site.css").body == b"body { color: red }"
    assert get(app, "/maybe/other.txt").body == b"from the second"


def test_no_handler_at_all(app):
    got = get(app, "/<script>")
    assert got.status == 404
    assert got.text == 'The url "/<script>" does not match any handlers.\n'
    assert got.header("Content-Type") == ["text/plain; charset=utf-8"]


def test_an_entity_tag_saves_the_second_transfer(app, folder):
    [tag] = get(app, "/s/site.css").header("ETag")
    assert re.fullmatch(r'"[^"]+"', tag)
    for condition in (tag, f'"other", W/{tag}', "*"):
        got = get(app, "/s/site.css", HTTP_IF_NONE_MATCH=condition)
        assert (got.status, got.body, got.header("ETag")) == (304, b"", [tag])
        assert not got.header("Content-Type")
    (folder / "static" / "site.css").write_text("body { color: green }")
    assert get(app, "/s/site.css", HTTP_IF_NONE_MATCH=tag).status == 200


def test_head_has_the_length_and_no_body(app):
    got = get(app, "/s/site.css", method="HEAD")
    assert (got.status, got.header("Content-Length"), got.body) == (200, ["19"], b"")


@pytest.mark.parametrize(
    ("asked", "status", "body", "content_range"),
    [
        ("bytes=0-3", 206, b"body", "bytes 0-3/19"),
        ("bytes=5-", 206, b"{ color: red }", "bytes 5-18/19"),
        ("bytes=-3", 206, b"d }", "bytes 16-18/19"),
        ("bytes=-99", 206, b"body { color: red }", "bytes 0-18/19"),
        ("bytes=0-999", 206, b"body { color: red }", "bytes 0-18/19"),
        ("bytes=19-", 416, b"", "bytes */19"),
        ("bytes=-0", 416, b"", "bytes */19"),
        ("bytes=3-1", 200, b"body { color: red }", None),
        ("bytes=-", 200, b"body { color: red }", None),
        ("bytes=0-1,3-4", 200, b"body { color: red }", None),
        ("lines=0-1", 200, b"body { color: red }", None),
        (f"bytes={'9' * 5000}-", 200, b"body { color: red }", None),
    ],
)
def test_ranges(app, asked, status, body, content_range):
    got = get(app, "/s/site.css", HTTP_RANGE=asked)
    assert (got.status, got.body) == (status, body)
    assert got.header("Content-Range") == ([content_range] if content_range else [])


def test_a_range_of_what_has_changed_is_the_whole(app):
    assert get(app, "/s/site.css", HTTP_RANGE="bytes=0-3", HTTP_IF_RANGE='"older"').status == 200


def test_an_empty_file(app):
    got = get(app, "/s/empty.txt")
    assert (got.status, got.body, got.header("Content-Length")) == (200, b"", ["0"])
    assert get(app, "/s/empty.txt", HTTP_RANGE="bytes=0-").status == 416
