"""Whatever is wrong with a request to `/_emu/` is answered with a 4xx that says what."""

from __future__ import annotations

import json

import pytest

GOOD = {
    "/_emu/channels": {"client_id": "bob"},
    "/_emu/messages": {"client_id": "bob", "message": "x"},
    "/_emu/sockets": {"action": "cut", "client_id": "bob"},
    "/_emu/clock": {"advance": 1},
    "/_emu/faults": {"stage": "poll", "action": "cut"},
    "/_emu/reset": {},
}
"""A body that each path takes."""

READ = (
    *("/_emu/health", "/_emu/channels", "/_emu/channel?client_id=bob", "/_emu/events", "/_emu/messages"),
    *("/_emu/messages/wait", "/_emu/clock", "/_emu/faults", "/_emu/settings", "/_emu/accounts", "/_emu/notes"),
    "/_emu/status",
    *("/_emu/near-misses?client_id=bob", "/_emu/health/live", "/_emu/health/ready", "/_emu/openapi.json"),
    *("/_emu/explain?client_id=bob", "/_emu/message?number=1", "/_emu/metrics", "/_emu/cluster"),
)


def post(http, path, data, content_type="application/json"):
    return http.post(path, data, {"Content-Type": content_type}, expect_errors=True)


@pytest.fixture(params=GOOD)
def path(request):
    return request.param


@pytest.fixture(autouse=True)
def bob(emulator):
    emulator.client("bob").open()
    emulator.send_message("bob", "x")


def test_every_path_that_takes_a_body_is_here(http):
    paths = http.get("/_emu/openapi.json").json["paths"]
    assert {path for path, methods in paths.items() if "post" in methods} == set(GOOD)
    assert {path for path, methods in paths.items() if "get" in methods} == {path.partition("?")[0] for path in READ}


def test_what_is_good_is_taken(http, path):
    assert post(http, path, json.dumps(GOOD[path])).status_int == 200


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b'{"a": 1,}', "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[" * 50_000, "not JSON"),
        (b"NaN", "not JSON"),
        (b'"text"', "JSON object"),
        (b"[]", "JSON object"),
        (b"null", "JSON object"),
        (b'{"\\ud800": 1}', "lone surrogate"),
    ],
)
def test_broken_json(http, path, data, says):
    answer = post(http, path, data)
    assert answer.status_int == 400
    assert says in answer.text


def test_an_unknown_field_and_which_there_are(http, path):
    answer = post(http, path, json.dumps(GOOD[path] | {"clientid": 1}))
    assert answer.status_int == 400
    assert "'clientid' is not known; there are " in answer.text


@pytest.mark.parametrize("value", [True, [], {}, 1.5, "text"])
def test_a_field_of_the_wrong_type_is_named(http, path, value):
    for name, good in GOOD[path].items():
        if (isinstance(value, str) and isinstance(good, str)) or (isinstance(value, float) and isinstance(good, int)):
            continue
        answer = post(http, path, json.dumps(GOOD[path] | {name: value}))
        assert answer.status_int == 400
        assert f"'{name}' has the wrong type" in answer.text


def test_a_missing_field_is_named(http, path):
    for name in {"/_emu/channels": ["client_id"], "/_emu/faults": ["stage", "action"]}.get(path, []):
        rest = {other: value for other, value in GOOD[path].items() if other != name}
        answer = post(http, path, json.dumps(rest))
        assert (answer.status_int, f"'{name}' is missing" in answer.text) == (400, True)


def test_a_huge_body_is_not_read(http, path):
    answer = post(http, path, b" " * (2**20 + 1))
    assert answer.status_int == 413
    assert "at most 1048576 bytes" in answer.text


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_another_type_than_json(http, path, content_type):
    answer = post(http, path, json.dumps(GOOD[path]), content_type)
    assert answer.status_int == 415
    assert "application/json" in answer.text


@pytest.mark.parametrize("value", [-1, -0.001, 1e308])
def test_negative_and_endless_times(http, emulator, value):
    began = emulator.clock.now()
    for path, body in (
        ("/_emu/clock", {"advance": value}),
        ("/_emu/faults", GOOD["/_emu/faults"] | {"action": "delay", "seconds": value}),
    ):
        answer = post(http, path, json.dumps(body))
        assert 400 <= answer.status_int < 500
        assert "seconds" in answer.text
    assert emulator.clock.now() == began
    assert not emulator.faults.listed()
    wait = http.get(f"/_emu/events?wait={min(value, -value)}", expect_errors=True)
    assert (wait.status_int, "seconds from 0 on" in wait.text) == (400, True)


def test_unknown_client_ids_and_sockets(http):
    assert "There is one to 'bob'" in http.get("/_emu/channel?client_id=Bob", status=404).text
    assert "no channel" in http.get("/_emu/channel?client_id=zoe", status=404).text
    for body in ({"client_id": "zoe"}, {"socket": "zoe"}):
        answer = post(http, "/_emu/sockets", json.dumps({"action": "close"} | body))
        assert (answer.status_int, answer.text.startswith("There is no ")) == (404, True)
    sent = post(http, "/_emu/messages", json.dumps({"client_id": "zoe", "message": "x"}))
    # As the real service does it; but it says so.
    assert sent.json == {"delivered_to": 0, "reason": "No channel of that name.", "near": ["bob"]}


@pytest.mark.parametrize("path", READ)
def test_parameters_and_methods_that_are_not_known(http, path):
    answer = http.get(f"{path}{'&' if '?' in path else '?'}clientid=1", expect_errors=True)
    assert answer.status_int == 400
    assert "'clientid' is not known; there are " in answer.text
    assert http.put(path, expect_errors=True).status_int == 405


def test_a_path_that_is_not_known(http):
    answer = http.get("/_emu/chanels", status=404)
    assert answer.text
