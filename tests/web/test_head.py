"""HEAD and OPTIONS on our own paths (behaviour.md 5): what only reads answers HEAD; nothing else is begun by it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from webtest import TestApp

from appengine_channel_emu.testing import Emulator
from appengine_channel_emu.web.admin import status

CHANNEL = "/_ah/channel/"
ONLY_GET = {
    f"{CHANNEL}open",
    f"{CHANNEL}poll",
    f"{CHANNEL}stream",
    f"{CHANNEL}dev",
    "/_emu/events",
    "/_emu/messages/wait",
}
RESOURCES = Emulator()._front._resources
READ = sorted(path for path, resource in RESOURCES.items() if hasattr(resource, "on_get") and path not in ONLY_GET)
QUERIES = {"/_emu/channel": "?client_id=x", "/_emu/near-misses": "?client_id=x"}


def answer(http, method, path, **headers):
    """Status, headers and body; the date of an answer is no part of what it says."""
    got = http.request(path, method=method, headers=headers, expect_errors=True)
    return got.status, sorted((name.lower(), value) for name, value in got.headerlist), got.body


@pytest.mark.parametrize("path", [*READ, "/rpc_http", "/", "/_emu/none", f"{CHANNEL}none"])
def test_what_only_reads_answers_head_as_get_without_its_body(path, http, monkeypatch):
    # How long it has been running is part of an answer.
    monkeypatch.setattr(status, "time", SimpleNamespace(monotonic=lambda: 5.0))
    path += QUERIES.get(path, "")
    code, headers, body = answer(http, "GET", path)
    assert answer(http, "HEAD", path) == (code, headers, b"")
    assert dict(headers)["content-length"] == str(len(body))


def test_these_are_among_them():
    console = {"/_emu", "/_emu/", "/_emu/console/main.js", "/_emu/console/base.css", "/_emu/docs/console.md"}
    health = {"/_emu/health", "/_emu/health/live", "/_emu/health/ready"}
    assert console | health | {"/_emu/openapi.json", f"{CHANNEL}jsapi", f"{CHANNEL}xpc_blank"} <= set(READ)


def test_the_script_is_found_unchanged_by_head_too(http):
    etag = http.get(f"{CHANNEL}jsapi").headers["ETag"]
    assert answer(http, "HEAD", f"{CHANNEL}jsapi", **{"If-None-Match": etag})[0].startswith("304")


def test_the_zipped_script_has_its_own_length(emulator):
    """By the protocol itself: WebTest unzips what it gets."""
    seen = []
    environ = TestApp(emulator).RequestClass.blank(f"{CHANNEL}jsapi", headers={"Accept-Encoding": "gzip"}).environ
    bodies = []
    for method in ("GET", "HEAD"):
        answer = emulator(
            environ | {"REQUEST_METHOD": method}, lambda status, headers, exc_info=None: seen.append(headers)
        )
        bodies.append(b"".join(answer))
    assert seen[0] == seen[1]
    assert ("content-length", str(len(bodies[0]))) in seen[0]
    assert bodies[1] == b""


@pytest.mark.parametrize("path", sorted(ONLY_GET))
def test_what_acts_or_waits_refuses_head_and_says_what_it_takes(path, http):
    status, headers, body = answer(http, "HEAD", f"{path}?wait=25")
    assert status.startswith("405")
    assert dict(headers)["allow"] == "GET, OPTIONS"
    assert body == b""


def test_head_neither_opens_nor_takes_anything(emulator, http):
    token = emulator.create_channel("anna")
    for path in (f"open?channel={token}", f"dev?command=connect&channel={token}"):
        assert answer(http, "HEAD", f"{CHANNEL}{path}")[0].startswith("405")
    assert emulator.send_message("anna", "lost").delivered_to == 0
    http.get(f"{CHANNEL}dev?command=connect&channel={token}")
    socket = http.get(f"{CHANNEL}open?channel={token}").json["socket"]
    emulator.send_message("anna", "kept")
    for path in (f"dev?command=poll&channel={token}", f"poll?socket={socket}&after=0", f"poll?socket={socket}&after=1"):
        assert answer(http, "HEAD", f"{CHANNEL}{path}")[0].startswith("405")
    assert http.get(f"{CHANNEL}dev?command=poll&channel={token}").body == b"kept"
    assert http.get(f"{CHANNEL}poll?socket={socket}&after=0&wait=0").json["messages"] == ["kept"]


def test_head_closes_no_socket_and_sends_nothing(emulator, http):
    for path in (f"{CHANNEL}close?socket=x", "/_emu/reset", "/_emu/sockets"):
        status, headers, _ = answer(http, "HEAD", path)
        assert (status[:3], dict(headers)["allow"]) == ("405", "POST, OPTIONS")


def test_of_the_apps_paths_the_app_decides():
    seen = []

    def app(environ, start_response):
        seen.append(environ["REQUEST_METHOD"])
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "5")])
        yield b"" if environ["REQUEST_METHOD"] == "HEAD" else b"hello"

    http = TestApp(Emulator(app))
    assert answer(http, "HEAD", "/")[1:] == ([("content-length", "5"), ("content-type", "text/plain")], b"")
    assert seen == ["HEAD"]


def test_a_body_that_an_app_gives_to_head_is_left_out():
    closed = []

    class Body:
        def __iter__(self):
            return iter([b"he", b"llo"])

        def close(self):
            closed.append(True)

    def app(environ, start_response):
        start_response("200 OK", [("Content-Length", "5")])
        return Body()

    assert answer(TestApp(Emulator(app), lint=False), "HEAD", "/")[1:] == ([("content-length", "5")], b"")
    assert closed == [True]


@pytest.mark.parametrize("path", [*sorted(RESOURCES), "/rpc_http"])
def test_options_says_what_a_path_takes(path, http):
    status, headers, _ = answer(http, "OPTIONS", path)
    allowed = set(dict(headers)["allow"].split(", "))
    assert status.startswith("200")
    resource = RESOURCES.get(path)
    wanted = {"GET": "on_get", "POST": "on_post", "DELETE": "on_delete"}
    for method, name in wanted.items() if resource else ():
        assert (method in allowed) == hasattr(resource, name)
    assert ("HEAD" in allowed) == (path in READ or path == "/rpc_http")
