"""Our own client's wire by hand: open, poll, close (behaviour.md 5)."""

from __future__ import annotations

import json
import re

import pytest
from webtest import TestApp

from appengine_channel_emu.testing import Emulator
from appengine_channel_emu.web.guard import WebOptions


def open_socket(http, token, **params):
    return http.get("/_ah/channel/open", {"channel": token, **params})


def poll(http, socket, after=0, **params):
    return http.get("/_ah/channel/poll", {"socket": socket, "after": after, "wait": 0, **params}, expect_errors=True)


@pytest.fixture
def token(emulator):
    return emulator.create_channel("bob")


@pytest.fixture
def socket(http, token):
    return open_socket(http, token).json["socket"]


class TestOpen:
    def test_it_says_all_that_a_page_needs(self, http, token):
        answer = open_socket(http, token).json
        assert re.fullmatch(r"[A-Za-z0-9_-]{22}", answer.pop("socket"))
        expected = {"client": "bob", "next": 0, "wait": 25, "expires": 7200, "resume": 60}
        assert answer == expected

    def test_each_open_is_a_socket_of_its_own(self, http, token):
        assert open_socket(http, token).json["socket"] != open_socket(http, token).json["socket"]

    def test_resuming_gives_the_same_socket_and_keeps_its_messages(self, http, emulator, token, socket):
        emulator.send_message("bob", "one")
        emulator.send_message("bob", "two")
        answer = open_socket(http, token, socket=socket, after=1).json
        assert (answer["socket"], answer["next"]) == (socket, 1)
        assert poll(http, socket, 1).json == {"messages": ["two"], "next": 2}

    def test_a_new_token_of_the_client_id_prolongs_a_resumed_socket(self, http, emulator, token, socket):
        emulator.advance(50)
        later = emulator.create_channel("bob", 1440)
        assert open_socket(http, later, socket=socket, after=0).json["socket"] == socket
        http.get("/_ah/channel/poll", {"socket": socket, "after": 0, "wait": 0})
        client = emulator.client(token=later).open()
        emulator.advance(7200)
        assert not client.closed

    def test_somebody_elses_socket_is_not_resumed(self, http, emulator, socket):
        emulator.send_message("bob", "secret")
        answer = open_socket(http, emulator.create_channel("eve"), socket=socket, after=0).json
        assert (answer["client"], answer["next"]) == ("eve", 0)
        assert answer["socket"] != socket
        assert poll(http, answer["socket"]).json["messages"] == []

    @pytest.mark.parametrize("resume", [{"socket": "nobody", "after": 0}, {"socket": "", "after": 3}])
    def test_a_socket_that_is_gone_becomes_a_new_one(self, http, token, resume):
        assert open_socket(http, token, **resume).json["next"] == 0

    def test_a_page_that_claims_more_than_was_sent_gets_a_new_socket(self, http, token, socket):
        answer = open_socket(http, token, socket=socket, after=7).json
        assert answer["next"] == 0
        assert answer["socket"] != socket

    @pytest.mark.parametrize("bad", ["", "x", "A" * 52, "é" * 52, "-" * 52, "0" * 10_000])
    def test_a_token_that_we_did_not_make_is_refused(self, http, bad):
        answer = http.get("/_ah/channel/open", {"channel": bad}, expect_errors=True)
        assert answer.status == "401 Invalid+token."
        assert answer.text == "Invalid+token."

    def test_a_forged_expiry_is_refused(self, http, token):
        changed = token[:25] + ("A" if token[25] != "A" else "B") + token[26:]
        assert http.get("/_ah/channel/open", {"channel": changed}, expect_errors=True).status == "401 Invalid+token."

    def test_a_token_that_timed_out_says_so(self, http, emulator):
        token = emulator.create_channel("bob", 1)
        emulator.advance(59)
        assert open_socket(http, token).status_int == 200
        emulator.advance(1)
        answer = http.get("/_ah/channel/open", {"channel": token}, expect_errors=True)
        assert (answer.status, answer.text) == ("401 Token+timed+out.", "Token+timed+out.")

    def test_a_missing_token_is_a_bad_request(self, http):
        answer = http.get("/_ah/channel/open", expect_errors=True)
        assert answer.status_int == 400
        assert "'channel' is missing" in answer.text


class TestAttempt:
    """A page whose open() was answered into the void asks again under the same name."""

    def open(self, http, token, **params):
        return http.get("/_ah/channel/open", {"channel": token, **params}).json["socket"]

    def test_the_same_attempt_is_the_same_socket(self, http, emulator):
        token = emulator.create_channel("bob")
        assert self.open(http, token, attempt="0.5-x") == self.open(http, token, attempt="0.5-x")
        assert self.open(http, token, attempt="0.5-y") != self.open(http, token, attempt="0.5-x")

    def test_so_tabs_that_split_lose_nothing(self):
        emulator = Emulator(tabs="split")
        http = TestApp(emulator)
        token = emulator.create_channel("bob")
        self.open(http, token, attempt="a")
        socket = self.open(http, token, attempt="a")
        for number in range(3):
            emulator.send_message("bob", str(number))
        poll = http.get("/_ah/channel/poll", {"socket": socket, "after": 0, "wait": 0}).json
        assert poll["messages"] == ["0", "1", "2"]

    def test_the_name_is_worth_nothing_with_another_token(self, http, emulator):
        bobs = self.open(http, emulator.create_channel("bob"), attempt="a")
        assert self.open(http, emulator.create_channel("bob"), attempt="a") != bobs

    def test_a_closed_socket_is_not_opened_again(self, http, emulator):
        token = emulator.create_channel("bob")
        socket = self.open(http, token, attempt="a")
        http.post(f"/_ah/channel/close?socket={socket}")
        assert self.open(http, token, attempt="a") != socket

    @pytest.mark.parametrize("attempt", ["", "x" * 65, "a b", "ü", "a\n"])
    def test_other_names_are_refused(self, http, emulator, attempt):
        params = {"channel": emulator.create_channel("bob"), "attempt": attempt}
        answer = http.get("/_ah/channel/open", params, expect_errors=True)
        assert answer.status_int == 400
        assert "'attempt'" in answer.text


def test_a_quiet_emulator_has_the_script_say_nothing():
    emulator = Emulator(options=WebOptions(quiet=True))
    answer = TestApp(emulator).get("/_ah/channel/open", {"channel": emulator.create_channel("bob")})
    assert answer.json["quiet"] is True


class TestPoll:
    def test_the_same_number_gives_the_same_messages_again(self, http, emulator, socket):
        emulator.send_message("bob", "one")
        emulator.send_message("bob", "two")
        assert poll(http, socket).json == {"messages": ["one", "two"], "next": 2}
        assert poll(http, socket).json == {"messages": ["one", "two"], "next": 2}

    def test_acknowledged_messages_are_gone(self, http, emulator, socket):
        for text in ("one", "two", "three"):
            emulator.send_message("bob", text)
        assert poll(http, socket, 2).json == {"messages": ["three"], "next": 3}
        assert poll(http, socket, 0).json == {"messages": ["three"], "next": 3}
        assert poll(http, socket, 3).json == {"messages": [], "next": 3}

    def test_a_number_that_was_never_sent_is_refused(self, http, emulator, socket):
        emulator.send_message("bob", "one")
        answer = poll(http, socket, 2)
        assert (answer.status, answer.text) == ("410 Socket+gone.", "Socket+gone.")
        assert poll(http, socket, 1).status_int == 200

    def test_a_socket_nobody_opened_is_gone(self, http):
        assert poll(http, "nobody").status == "410 Socket+gone."

    def test_a_detached_socket_keeps_its_messages_for_the_resume_window(self, http, emulator, socket):
        emulator.advance(5 + 59)
        assert emulator.send_message("bob", "late").delivered_to == 1
        assert poll(http, socket).json["messages"] == ["late"]
        emulator.advance(5 + 60)
        assert poll(http, socket, 1).status == "410 Socket+gone."

    def test_expiry_reaches_an_open_socket(self, http, emulator):
        token = emulator.create_channel("bob", 1)
        socket = open_socket(http, token).json["socket"]
        emulator.advance(59)
        assert poll(http, socket).status_int == 200
        emulator.advance(1)
        answer = poll(http, socket)
        assert (answer.status, answer.text) == ("401 Token+timed+out.", "Token+timed+out.")

    def test_all_of_a_large_backlog_arrives_in_several_answers(self, http, emulator, socket):
        texts = [f"{number}" + "x" * 32_000 for number in range(100)]
        for text in texts:
            emulator.send_message("bob", text)
        received, after, answers = [], 0, 0
        while len(received) < len(texts):
            answer = poll(http, socket, after).json
            received += answer["messages"]
            after = answer["next"]
            answers += 1
        assert received == texts
        assert answers > 1

    @pytest.mark.parametrize(
        "text",
        ['{"a": 1}', "</script><b>", "\x00", "\n\r\t", "\u2028\u2029", "😀", "שלום", "\ufeffx", "a\ufffdb", '"\\'],
    )
    def test_any_text_arrives_as_it_was(self, http, emulator, socket, text):
        emulator.send_message("bob", text)
        assert json.loads(poll(http, socket).body)["messages"] == [text]

    @pytest.mark.parametrize(
        "params",
        [{"socket": "x"}, {"after": "0"}, {"socket": "x", "after": "-1"}, {"socket": "x", "after": "1.5"},
         {"socket": "x", "after": "x"}, {"socket": "x", "after": "1" * 400}, {"socket": "x", "after": "\u0661"},
         {"socket": "x", "after": "0", "wait": "soon"}, {"socket": "x", "after": "0", "wait": "nan"},
         {"socket": "x", "after": "0", "wait": "-1"}, {"socket": "x", "after": "0", "wait": "inf"}],
    )  # fmt: skip
    def test_bad_parameters_are_named(self, http, params):
        answer = http.get("/_ah/channel/poll", params, expect_errors=True)
        assert answer.status_int == 400
        assert "parameter '" in answer.text

    def test_only_get(self, http, socket):
        for method in ("POST", "HEAD", "PUT"):
            assert (
                http.request(f"/_ah/channel/poll?socket={socket}&after=0", method=method, expect_errors=True).status_int
                == 405
            )


class TestClose:
    def test_a_closed_socket_is_gone(self, http, emulator, socket):
        assert http.post(f"/_ah/channel/close?socket={socket}").status_int == 200
        assert poll(http, socket).status == "410 Socket+gone."
        assert emulator.send_message("bob", "late").reason == "The page left, a moment ago."

    def test_closing_again_or_nothing_is_no_error(self, http, socket):
        for _ in range(2):
            assert http.post(f"/_ah/channel/close?socket={socket}").status_int == 200

    def test_a_link_cannot_close_a_socket(self, http, socket):
        assert http.get(f"/_ah/channel/close?socket={socket}", expect_errors=True).status_int == 405


class TestTabs:
    def two(self, emulator):
        return emulator.client("bob").open(), emulator.client("bob").open()

    def test_fanout_copies_to_every_socket(self, emulator):
        first, second = self.two(emulator)
        assert emulator.send_message("bob", "one").delivered_to == 2
        assert first.messages == second.messages == ["one"]

    def test_split_gives_each_message_to_one(self):
        emulator = Emulator(tabs="split")
        first, second = self.two(emulator)
        for number in range(6):
            assert emulator.send_message("bob", str(number)).delivered_to == 1
        assert sorted(first.messages + second.messages) == list("012345")
        assert first.messages
        assert second.messages

    def test_single_closes_the_older_socket(self):
        emulator = Emulator(tabs="single")
        first, second = self.two(emulator)
        assert first.error.description == "Replaced+by+a+newer+socket."
        assert not second.closed


class TestBacklog:
    def test_a_full_backlog_closes_the_socket_and_says_so(self, http, emulator, socket):
        for number in range(1_000):
            assert emulator.send_message("bob", str(number)).delivered_to == 1
        sent = emulator.send_message("bob", "one too many")
        assert sent.delivered_to == 0
        assert "backlog" in sent.reason
        assert poll(http, socket).status == "410 Backlog+exceeded."
        assert any(
            event.kind == "socket_closed" and event.detail == {"why": "overflow", "unread": 1000}
            for event in emulator.broker.events.after(0)
        )

    def test_the_other_sockets_live_on(self, emulator, socket):
        reader = emulator.client("bob").open()
        for number in range(1_001):
            emulator.send_message("bob", str(number))
            reader.receive()
        assert len(reader.messages) == 1_001
        assert not reader.closed
