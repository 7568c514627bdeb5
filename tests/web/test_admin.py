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


def test_what_went_to_several_is_in_the_story_of_each(http, emulator, bob):
    emulator.client("ann").open()
    emulator.send_many(["ann", "bob"], "to all")
    emulator.send_many([f"nobody {number}" for number in range(30)] + ["ann"], "to the others")

    def sent(client_id):
        events = http.get("/_emu/events", {"client_id": client_id}).json["events"]
        return [
            (event["kind"], event["client_id"], event["text"])
            for event in events
            if event["kind"].startswith("message_")
        ]

    to_all = ("message_sent", None, "A message was sent to 2 client ids.")
    to_one = ("message_sent", None, "A message was sent to 1 client id.")
    assert sent("ann") == [to_all, to_one]
    assert sent("bob") == [to_all]
    assert [kind for kind, _, _ in sent("nobody 3")] == ["message_dropped"]
    assert [client_id for _, client_id, _ in sent("nobody 25")] == [None]
    assert sent("carl") == []
    shown = http.get("/_emu/channel", {"client_id": "bob"}).json["events"]
    assert shown[-1]["text"] == "A message was sent to 2 client ids."


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
    assert event["detail"] == {"message": 2, "why": "no_channel", "near": ["bob"], "bytes": 1}
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


@pytest.mark.parametrize("path", ["/_emu/events?kind=reset&wait=25", "/_emu/messages/wait?wait=25"])
def test_who_waits_costs_nothing_at_events_of_others(emulator, monkeypatch, path):
    looked = []
    waiting = emulator(TestRequest.blank(path, {"REMOTE_ADDR": "127.0.0.1"}).environ, lambda *answer: None)
    for log in (emulator.broker.events, emulator.broker.journal):
        monkeypatch.setattr(log, "after", lambda *asked: looked.append(asked) or [])
    emulator.create_channel("anna")
    assert looked == []
    waiting.close()


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


def test_what_the_console_opens_itself_is_not_the_apps_doing(http, emulator):
    def opened(**marked):
        token = post(http, "/_emu/channels", {"client_id": "anna", "duration_minutes": 1440, **marked}).json["token"]
        emulator.client(token=token).open()

    opened()
    for _ in range(9):
        opened(opened_by="console")
    assert http.get("/_emu/notes").json["notes"] == []
    opened()
    assert [note["name"] for note in http.get("/_emu/notes").json["notes"]] == ["two_tabs"]


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


class TestNewest:
    """A console shows the newest first, and pages back."""

    def numbers(self, http, **query):
        return [event["number"] for event in http.get("/_emu/events", query).json["events"]]

    def test_events(self, http, emulator):
        for number in range(1, 31):
            emulator.create_channel(f"client-{number % 3}")
        assert self.numbers(http, last=3) == [28, 29, 30]
        assert self.numbers(http, last=3, before=28) == [25, 26, 27]
        assert self.numbers(http, last=2, client_id="client-0") == [27, 30]
        assert self.numbers(http, before=3) == [1, 2]
        assert self.numbers(http, last=10, after=28) == [29, 30]
        assert self.numbers(http, last=10, kind="nothing") == []
        # What was not found is not looked for again.
        assert http.get("/_emu/events", {"last": 10, "kind": "nothing"}).json["next"] == 30
        http.get("/_emu/events", {"last": 0}, status=400)

    def test_events_that_are_no_longer_kept(self, http, emulator):
        for number in range(10_100):
            emulator.broker.note("test", str(number))
        assert self.numbers(http, last=2) == [10_099, 10_100]
        assert self.numbers(http, last=2, before=102) == [101]
        assert self.numbers(http, last=2, before=50) == []

    def messages(self, http, **query):
        return [message["text"] for message in http.get("/_emu/messages", query).json["messages"]]

    def test_messages(self, http, emulator, bob):
        for number in range(1, 31):
            emulator.send_message("bob" if number % 2 else "Ann", f"Message {number}")
        assert self.messages(http, last=2) == ["Message 29", "Message 30"]
        assert self.messages(http, last=2, before=29) == ["Message 27", "Message 28"]
        assert self.messages(http, last=2, client_id="bob") == ["Message 27", "Message 29"]
        assert self.messages(http, search="message 3") == ["Message 3", "Message 30"]
        assert len(self.messages(http, search="ANN")) == 15
        assert self.messages(http, last=1, cut=4) == ["Mess"]
        answer = http.get("/_emu/messages", {"last": 1}).json
        assert (answer["oldest"], answer["newest"]) == (1, 30)
        (message,) = answer["messages"]
        assert {name: message[name] for name in ("delivered_to", "reason", "bytes", "held", "near", "lost")} == {
            "delivered_to": 0,
            "reason": "No channel of that name.",
            "bytes": 10,
            "held": False,
            "near": ["bob"],
            "lost": 0,
        }
        http.get("/_emu/messages", {"search": "x" * 201}, status=400)

    def test_one_message_and_those_that_are_no_longer_kept(self, http, emulator, bob):
        assert http.get("/_emu/messages").json == {"messages": [], "oldest": 1, "newest": 0}
        assert "None is kept" in http.get("/_emu/message", {"number": 1}, status=404).text
        for _ in range(1_000):
            emulator.send_message("nobody", "x")
        emulator.send_message("bob", "é")
        assert "Messages 2 to 1001 are kept" in http.get("/_emu/message", {"number": 1}, status=404).text
        message = http.get("/_emu/message", {"number": 1_001}).json
        assert (message["text"], message["bytes"], message["acknowledged"]) == ("é", 2, 0)
        assert message["receipts"] == [
            {
                "socket": socket_of(http, "bob")["id"],
                "transport": "poll",
                "opened_by": None,
                "acknowledged": None,
                "state": "waiting",
            }
        ]
        assert [finding["kind"] for finding in message["findings"]] == ["waiting"]


def test_the_mark_of_a_tool(http, emulator):
    made = post(http, "/_emu/channels", {"client_id": "anna", "opened_by": "console"}).json
    emulator.client(token=made["token"]).open()
    assert socket_of(http, "anna")["opened_by"] == "console"
    for wrong in ("", "Console", "x" * 33, "a b"):
        assert (
            "'opened_by' is 1 to 32" in post(http, "/_emu/channels", {"client_id": "a", "opened_by": wrong}, 400).text
        )


@pytest.mark.parametrize("path", ["/_emu/channels", "/_emu/messages"])
def test_what_may_take_long_is_not_served_by_the_loop(path):
    front = Front(EmbeddedBroker(ManualClock()), PlayedBackend(), WebOptions())
    assert front.is_brief("POST", path)
    assert not front.is_brief("GET", path)
