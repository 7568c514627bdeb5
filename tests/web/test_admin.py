"""The admin API: looking, waiting, ending sockets, time travel, reset (behaviour.md 10)."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest
from webtest import TestApp, TestRequest

from appengine_channel_emu.broker.broker import EmbeddedBroker
from appengine_channel_emu.broker.clock import ManualClock
from appengine_channel_emu.broker.contract import BrokerOptions
from appengine_channel_emu.testing import Emulator
from appengine_channel_emu.web.front import Front
from appengine_channel_emu.web.guard import WebOptions
from tests.support.backend import PlayedBackend, ok


def post(http, path, body, status=200):
    return http.post_json(path, body, status=status)


@pytest.fixture
def bob(emulator):
    return emulator.client("bob").open()


def socket_of(http, client_id):
    (socket,) = http.get("/_emu/channel", {"client_id": client_id}).json["sockets_shown"]
    return socket


def test_channels_those_with_sockets_first_and_a_search(http, emulator, bob):
    emulator.create_channel("ann")
    emulator.create_channel("Bobby")
    answer = http.get("/_emu/channels").json
    assert (answer["total"], answer["sockets"]) == (3, 1)
    assert [(each["client_id"], each["sockets"]) for each in answer["channels"]] == [
        ("bob", 1),
        ("ann", 0),
        ("Bobby", 0),
    ]
    found = http.get("/_emu/channels", {"search": "BOB", "limit": 1}).json
    assert (found["matching"], [each["client_id"] for each in found["channels"]]) == (2, ["bob"])


def test_a_channel_tells_of_its_sockets_and_latest_events(http, emulator, bob):
    emulator.send_message("bob", "x" * 100)
    answer = http.get("/_emu/channel", {"client_id": "bob"}).json
    (socket,) = answer["sockets_shown"]
    assert socket["state"] == "attached"
    assert (socket["wire"], socket["transport"]) == ("socket", "poll")
    assert (socket["unread"], socket["unread_bytes"], socket["last_number"]) == (1, 100, 1)
    assert socket["expires"] == emulator.clock.now() + 7200
    assert answer["last_message_at"] == emulator.clock.now()
    assert [event["kind"] for event in answer["events"]] == ["token_created", "socket_opened", "message_sent"]
    assert "There is one to 'bob'" in http.get("/_emu/channel", {"client_id": "Bob"}, status=404).text


def test_waiting_for_the_next_event_ends_with_it(http, emulator, bob):
    last = http.get("/_emu/events").json["next"]
    answers = []
    query = {"after": last, "wait": 10, "kind": "message_dropped"}
    waiter = threading.Thread(target=lambda: answers.append(http.get("/_emu/events", query).json))
    waiter.start()
    emulator.send_message("bob", "not this one")
    emulator.send_message("Bob", "x")
    waiter.join(8)
    ((event,),) = [answer["events"] for answer in answers]
    assert (event["client_id"], event["text"]) == ("Bob", 'No channel of that name. Open: "bob"')
    assert event["detail"] == {"why": "no_channel", "near": ["bob"], "bytes": 1}
    assert answers[0]["next"] == event["number"]


def test_a_number_of_another_emulator_begins_anew(http, emulator, bob):
    answer = http.get("/_emu/events", {"after": 1_000_000, "wait": 10}).json
    assert [event["number"] for event in answer["events"]] == [1, 2]
    assert answer["next"] == 2


def test_events_that_nobody_collects_are_bounded(http, emulator, bob):
    for _ in range(11_000):
        emulator.send_message("nobody", "x")
    first = http.get("/_emu/events").json
    assert len(first["events"]) == 1000
    assert len(emulator.broker.events.after(0)) == 10_000
    assert len(http.get("/_emu/messages").json["messages"]) == 1000


def test_waiting_for_a_count_of_messages(http, emulator, bob):
    answers = []
    query = {"client_id": "bob", "count": 3, "wait": 10}
    waiter = threading.Thread(target=lambda: answers.append(http.get("/_emu/messages/wait", query).json))
    waiter.start()
    for text in ("one", "two", "three"):
        emulator.send_message("bob", text)
        emulator.send_message("ann", "for somebody else")
    waiter.join(8)
    assert [message["text"] for message in answers[0]["messages"]] == ["one", "two", "three"]
    assert http.get("/_emu/messages/wait", query | {"count": 9, "wait": 0}).json == answers[0]


@pytest.mark.parametrize(
    ("action", "code", "description"),
    [("close", 410, "Closed+by+the+server."), ("expire", 401, "Token+timed+out.")],
)
def test_ending_a_socket_by_hand(http, emulator, bob, action, code, description):
    assert post(http, "/_emu/sockets", {"action": action, "socket": socket_of(http, "bob")["id"]}).json == {
        "sockets": 1
    }
    assert (bob.error.code, bob.error.description) == (code, description)
    assert bob.closed


def test_a_token_that_was_expired_by_hand_opens_nothing_more(http, emulator, bob):
    post(http, "/_emu/sockets", {"action": "expire", "client_id": "bob"})
    assert emulator.client(token=bob.token).open().error.description == "Token+timed+out."
    emulator.advance(7200)
    assert emulator.client(token=bob.token).open().error.description == "Token+timed+out."


def test_what_cannot_be_ended_is_not_found(http, emulator, bob):
    post(http, "/_emu/sockets", {"action": "close", "socket": "nothing"}, status=404)
    post(http, "/_emu/sockets", {"action": "close", "client_id": "Bob"}, status=404)
    assert "one of close, cut, expire" in post(http, "/_emu/sockets", {"action": "kill", "client_id": "b"}, 400).text
    assert not bob.closed


def test_time_travel_past_the_expiry_reaches_an_open_page(http, emulator, bob):
    before = http.get("/_emu/clock").json
    after = post(http, "/_emu/clock", {"advance": 7200}).json
    assert after["now"] - before["now"] == 7200
    assert (bob.error.code, bob.error.description) == (401, "Token+timed+out.")


def test_time_travel_leaves_attached_sockets_attached(http, emulator):
    """Also those that are between two polls, however long the way: a page lives in real time."""
    idle = emulator.broker.open(emulator.create_channel("idle", 1440))
    gone = emulator.broker.open(emulator.create_channel("gone", 1440))
    emulator.broker.connect(emulator.create_channel("old", 1440))
    emulator.advance(4)
    emulator.broker.release(emulator.broker.poll(idle.socket, 0))
    emulator.advance(1)
    post(http, "/_emu/clock", {"advance": 3600})
    channels = {each["client_id"]: each["sockets_shown"] for each in http.get("/_emu/channels").json["channels"]}
    assert channels["idle"][0]["state"] == "attached"
    assert channels["gone"] == []
    emulator.broker.poll(idle.socket, 0)
    with pytest.raises(Exception, match="gone"):
        emulator.broker.poll(gone.socket, 0)


def test_timers_fire_in_due_order_on_the_way(http, emulator, bob):
    emulator.client(token=emulator.create_channel("late", 120)).open()
    emulator.client(token=emulator.create_channel("soon", 30)).open()
    post(http, "/_emu/clock", {"advance": 86400})
    closed = http.get("/_emu/events", {"kind": "socket_closed"}).json["events"]
    assert [event["client_id"] for event in closed] == ["soon", "bob", "late"]
    start = http.get("/_emu/events", {"kind": "clock_advanced"}).json["events"][0]["time"]
    assert [round(event["time"] - start) for event in closed] == [1800, 7200, 7200]


@pytest.mark.parametrize("advance", [-1, 1e300, "7200", True, None])
def test_time_does_not_go_back_nor_anywhere_strange(http, advance):
    now = http.get("/_emu/clock").json
    post(http, "/_emu/clock", {"advance": advance}, status=400)
    assert http.get("/_emu/clock").json == now
    assert http.post("/_emu/clock", b'{"advance": NaN}', {"Content-Type": "application/json"}, status=400)


def test_reset_leaves_nothing(http, emulator, bob):
    emulator.send_message("bob", "x")
    post(http, "/_emu/reset", {})
    assert bob.closed
    assert http.get("/_emu/channels").json["total"] == 0
    assert http.get("/_emu/messages").json["messages"] == []
    assert [event["kind"] for event in http.get("/_emu/events").json["events"]] == ["reset"]
    assert emulator.client(token=bob.token).open().error.description == "Invalid+token."
    assert emulator.send_message("bob", "x").delivered_to == 0


def test_the_app_hears_nothing_of_a_reset():
    told = []

    def app(environ, start_response):
        told.append(environ["PATH_INFO"])
        start_response("200 OK", [("Content-Type", "text/plain")])
        return []

    emulator = Emulator(app)
    emulator.client("bob").open()
    TestApp(emulator).post_json("/_emu/reset", {})
    emulator.advance(3600)
    assert told == ["/_ah/channel/connected/"]
    emulator.client("bob").open()
    assert told == ["/_ah/channel/connected/"] * 2


def test_accounts_tell_what_each_path_has_cost():
    class App(PlayedBackend):
        def serve(self, environ, request_id):
            return replace(ok(b"x"), cpu_seconds=0.25)

    http = TestApp(Front(EmbeddedBroker(ManualClock(), BrokerOptions(), None), App(), WebOptions()))
    http.get("/slow")
    http.get("/slow")
    (account,) = http.get("/_emu/accounts").json["accounts"]
    assert (account["path"], account["requests"], account["cpu_seconds"], account["cut"]) == ("/slow", 2, 0.5, 0)


def test_an_answer_that_cannot_be_closed_is_counted_all_the_same():
    class Body(list):
        def close(self):
            raise RuntimeError("the app's")

    class App(PlayedBackend):
        def serve(self, environ, request_id):
            return replace(ok(b"x"), body=Body([b"x"]))

    front = Front(EmbeddedBroker(ManualClock(), BrokerOptions(), None), App(), WebOptions())
    body = front(TestRequest.blank("/page").environ, lambda status, headers: None)
    assert list(body) == [b"x"]
    with pytest.raises(RuntimeError, match="the app's"):
        body.close()
    assert [(account.path, account.requests) for account in front.accounts.all()] == [("/page", 1)]


def test_near_misses_name_the_client_id_that_was_meant(http, emulator, bob):
    emulator.send_message("Bob", "x")
    assert http.get("/_emu/near-misses", {"client_id": "bob"}).json["near_misses"] == [
        '1 message was sent to "Bob", which is not "bob": upper and lower case differ.',
        'A page of "bob" is open. No message was sent to it.',
    ]


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("/_emu/events?after=-1", "whole number"),
        ("/_emu/events?after=1&after=2", "more than once"),
        ("/_emu/events?afer=1", "'afer' is not known"),
        ("/_emu/events?wait=nan", "seconds"),
        ("/_emu/events?wait=", "seconds"),
        ("/_emu/channels?limit=0", "from 1 to 1000"),
        ("/_emu/channel", "'client_id' is missing"),
        ("/_emu/health?x=1", "there are none"),
        ("/_emu/messages/wait?count=0", "from 1"),
    ],
)
def test_bad_parameters_are_refused_with_what_is_wrong(http, path, says):
    answer = http.get(path, status=400)
    assert says in answer.text


def test_no_page_of_another_site_gets_any_of_it(http):
    for path in http.get("/_emu/openapi.json").json["paths"]:
        assert http.get(path, headers={"Origin": "http://evil.example"}, expect_errors=True).status_int == 403
        assert http.get(path, headers={"Sec-Fetch-Site": "cross-site"}, expect_errors=True).status_int == 403


def test_what_production_would_have_done_is_noted_once(http, emulator):
    def names():
        return [note["name"] for note in http.get("/_emu/notes").json["notes"]]

    assert names() == []
    emulator.create_channel("bob")
    for _ in range(2):
        emulator.send_message("bob", "too early")
    assert names() == ["message_before_connect"]
    for _ in range(2):
        emulator.client("bob").open()
    emulator.create_channel("x" * 65)
    assert names() == ["message_before_connect", "two_tabs", "long_client_id"]
    for number in range(3):
        emulator.create_channel(f"client-{number}")
    assert "channels_quota" in names()
    for note in http.get("/_emu/notes").json["notes"]:
        assert note["cure"]
        assert note["source"]
    http.post_json("/_emu/reset", {})
    assert names() == []


def test_quotas_of_the_free_tier(http, emulator):
    def names():
        return [note["name"] for note in http.get("/_emu/notes").json["notes"]]

    for _ in range(8):
        emulator.create_channel("bob", 1440)
        emulator.advance(60)
    assert names() == []
    emulator.create_channel("bob", 1440)
    assert names() == ["hours_quota"]
    for _ in range(3001):
        emulator.send_message("nobody", "x")
    assert names() == ["hours_quota", "calls_quota"]


def test_send_from_a_page_is_noted(http):
    http.post("/_ah/channel/receive", {"key": "bob", "msg": "x"}, expect_errors=True)
    assert [note["name"] for note in http.get("/_emu/notes").json["notes"]] == ["socket_send"]
