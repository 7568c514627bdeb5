"""Plain JSON: create, send, and every refusal (behaviour.md 5)."""

from __future__ import annotations

import pytest

CHANNELS, MESSAGES = "/_emu/channels", "/_emu/messages"


def post(http, path, body):
    return http.post_json(path, body, expect_errors=True)


def test_create_and_send(http, emulator):
    made = post(http, CHANNELS, {"client_id": "bob", "duration_minutes": 1}).json
    assert made["expires"] == emulator.clock.now() + 60
    client = emulator.client(token=made["token"]).open()
    assert post(http, MESSAGES, {"client_id": "bob", "message": "one"}).json == {"delivered_to": 1}
    assert post(http, MESSAGES, {"token": made["token"], "message": "two"}).json == {"delivered_to": 1}
    assert client.messages == ["one", "two"]


def test_two_tokens_of_a_client_id_live_to_their_own_expiry(http, emulator):
    short, long = emulator.client(token=emulator.create_channel("bob", 1)), emulator.client("bob")
    short.open(), long.open()
    emulator.advance(61)
    assert short.error.description == "Token+timed+out."
    assert not long.closed


def test_every_drop_has_a_reason(http, emulator):
    emulator.create_channel("bob")
    send = {"message": "x"}
    assert post(http, MESSAGES, send | {"client_id": "bob"}).json == {
        "delivered_to": 0,
        "reason": "No page has opened this channel yet.",
    }
    assert post(http, MESSAGES, send | {"client_id": "Bob"}).json == {
        "delivered_to": 0,
        "reason": "No channel of that name.",
        "near": ["bob"],
    }
    assert "empty" in post(http, MESSAGES, send | {"client_id": ""}).json["reason"]
    assert [event.client_id for event in emulator.broker.events.after(0) if event.kind == "message_dropped"] == [
        "bob",
        "Bob",
        "",
    ]


def test_a_token_that_timed_out_is_an_unknown_client_id(http, emulator):
    token = emulator.create_channel("bob", 1)
    emulator.client("bob").open()
    emulator.advance(60)
    assert post(http, MESSAGES, {"token": token, "message": "x"}).json["reason"] == "This token has timed out."
    assert token not in http.get("/_emu/events").text
    assert token not in http.get("/_emu/messages").text


def test_send_to_many(http, emulator):
    ann = emulator.client("ann").open()
    answer = post(http, MESSAGES, {"client_ids": ["ann", "zoe", "ann"], "message": "x"}).json
    assert answer == {"delivered_to": 1, "reasons": {"zoe": "No channel of that name."}}
    assert ann.messages == ["x"]
    assert post(http, MESSAGES, {"client_ids": [], "message": "x"}).json["reason"]


def test_what_was_sent_to_many_is_told_of_each_client_id(http, emulator):
    _, bob = (emulator.client(name).open() for name in ("ann", "bob"))
    post(http, MESSAGES, {"client_id": "ann", "message": "before"})
    post(http, MESSAGES, {"client_ids": ["bob", "zoe", "ann"], "message": "to all"})
    assert bob.receive() == "to all"
    for client_id, number, reason, states in (
        ("bob", 2, None, ["acknowledged"]),
        ("ann", 3, None, ["waiting"]),
        ("zoe", 4, "No channel of that name.", []),
    ):
        (found,) = http.get("/_emu/messages", {"client_id": client_id, "after": 1}).json["messages"]
        assert (found["number"], found["text"], found["reason"]) == (number, "to all", reason)
        told = http.get("/_emu/message", {"number": number}).json
        assert (told["client_id"], told["delivered_to"]) == (client_id, len(states))
        assert [receipt["state"] for receipt in told["receipts"]] == states
    assert '1 message to "zoe" was dropped' in http.get("/_emu/explain", {"client_id": "zoe"}).json["summary"]
    assert '2 messages to "ann" wait for a page' in http.get("/_emu/explain", {"client_id": "ann"}).json["summary"]
    (event,) = http.get("/_emu/events", {"kind": "message_sent", "after": 0, "last": 1}).json["events"]
    assert event["detail"] == {"message": 2, "bytes": 6, "sockets": 2, "client_ids": 2}


@pytest.mark.parametrize("bad", [1, None, "\ud800", ["bob"]])
def test_one_bad_client_id_refuses_all(http, emulator, bad):
    page = emulator.client("ann").open()
    assert post(http, MESSAGES, {"client_ids": ["ann", bad], "message": "x"}).status_int == 400
    assert post(http, MESSAGES, {"client_ids": "ann", "message": "x"}).status_int == 400
    assert post(http, MESSAGES, {"client_ids": ["ann"], "message": "x" * 32768}).status_int == 400
    assert page.messages == []


@pytest.mark.parametrize(
    "client_id", ["b", "x" * 256, "é" * 128, "a-b--c---d", "a/b:c@d e&f+g#%", "日本", "\x00", "💩" * 64]
)
def test_any_client_id_works_end_to_end(http, emulator, client_id):
    token = post(http, CHANNELS, {"client_id": client_id}).json["token"]
    assert 20 <= len(token) <= 256
    client = emulator.client(token=token).open()
    assert post(http, MESSAGES, {"client_id": client_id, "message": "x"}).json == {"delivered_to": 1}
    assert client.messages == ["x"]


@pytest.mark.parametrize(
    ("path", "body", "code", "name"),
    [
        (CHANNELS, {"client_id": ""}, 2, "INVALID_CHANNEL_KEY"),
        (CHANNELS, {"client_id": "x" * 257}, 2, "INVALID_CHANNEL_KEY"),
        (CHANNELS, {"client_id": "é" * 129}, 2, "INVALID_CHANNEL_KEY"),
        (CHANNELS, {"client_id": "x", "duration_minutes": 0}, 4, "INVALID_CHANNEL_TOKEN_DURATION"),
        (CHANNELS, {"client_id": "x", "duration_minutes": 1441}, 4, "INVALID_CHANNEL_TOKEN_DURATION"),
        (CHANNELS, {"client_id": "x", "duration_minutes": -1}, 4, "INVALID_CHANNEL_TOKEN_DURATION"),
        (MESSAGES, {"client_id": "x", "message": ""}, 3, "BAD_MESSAGE"),
        (MESSAGES, {"client_id": "x", "message": "x" * 32768}, 3, "BAD_MESSAGE"),
        (MESSAGES, {"client_id": "x", "message": "€" * 10923}, 3, "BAD_MESSAGE"),
    ],
)
def test_limits(http, path, body, code, name):
    answer = post(http, path, body)
    assert answer.status_int == 400
    assert (answer.json["error"]["code"], answer.json["error"]["name"]) == (code, name)
    assert answer.json["error"]["text"]


@pytest.mark.parametrize("minutes", [1, 1440])
def test_durations_at_the_edge(http, minutes):
    assert post(http, CHANNELS, {"client_id": "x", "duration_minutes": minutes}).status_int == 200


@pytest.mark.parametrize("message", ["x" * 32767, "€" * 10922])
def test_messages_at_the_edge(http, emulator, message):
    client = emulator.client("bob").open()
    post(http, MESSAGES, {"client_id": "bob", "message": message})
    assert client.messages == [message]


@pytest.mark.parametrize(
    ("path", "data", "says"),
    [
        (CHANNELS, b"", "not JSON"),
        (CHANNELS, b"{", "not JSON"),
        (CHANNELS, b"[" * 100_000, "not JSON"),
        (CHANNELS, b"\xff\xfe", "not JSON"),
        (CHANNELS, b"[]", "JSON object"),
        (CHANNELS, b"null", "JSON object"),
        (CHANNELS, b"{}", "'client_id' is missing"),
        (CHANNELS, b'{"client_id": 1}', "wrong type"),
        (CHANNELS, b'{"client_id": null}', "wrong type"),
        (CHANNELS, b'{"client_id": "x", "duration_minutes": true}', "wrong type"),
        (CHANNELS, b'{"client_id": "x", "duration_minutes": 1.5}', "wrong type"),
        (CHANNELS, b'{"client_id": "x", "duration_minutes": "2"}', "wrong type"),
        (CHANNELS, b'{"client_id": "x", "minutes": 2}', "'minutes' is not known"),
        (CHANNELS, b'{"client_id": "\\ud800"}', "lone surrogate"),
        (MESSAGES, b'{"client_id": "x", "message": "\\udfff"}', "lone surrogate"),
        (MESSAGES, b'{"client_id": "x"}', "'message' is missing"),
        (MESSAGES, b'{"message": "x"}', "Give one of"),
        (MESSAGES, b'{"message": "x", "client_id": "a", "token": "b"}', "Give one of"),
        (MESSAGES, b'{"message": "x", "client_ids": ["a", 1]}', "list of strings"),
        (MESSAGES, b'{"message": ["x"], "client_id": "a"}', "wrong type"),
    ],
)  # fmt: skip
def test_bad_json_is_refused_with_what_is_wrong(http, path, data, says):
    answer = http.post(path, data, headers={"Content-Type": "application/json"}, expect_errors=True)
    assert answer.status_int == 400
    assert says in answer.text


def test_a_huge_body_is_refused(http):
    answer = http.post(MESSAGES, b" " * (2**20 + 1), headers={"Content-Type": "application/json"}, expect_errors=True)
    assert answer.status_int == 413


def test_methods_and_paths(http):
    assert http.put(CHANNELS, expect_errors=True).status_int == 405
    assert http.get("/_emu/nothing", expect_errors=True).status_int == 404
    assert http.get("/_emu/health").json["status"] == "ready"


def test_without_an_app_its_paths_say_how_to_name_one(http):
    answer = http.get("/page", expect_errors=True)
    assert answer.status_int == 404
    assert "channel-emu serve" in answer.text
