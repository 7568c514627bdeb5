"""Many tabs of one browser: the shake."""

from __future__ import annotations

import itertools

import pytest
from webtest import TestApp

from appengine_channel_emu.broker.broker import EmbeddedBroker
from appengine_channel_emu.broker.clock import ManualClock
from appengine_channel_emu.testing import Emulator
from appengine_channel_emu.web.channel.tabs import LAPS, PAUSES, Shaker
from appengine_channel_emu.web.guard import WebOptions


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


class Later:
    """Calls that wait for the test to move the time."""

    def __init__(self):
        self._now = 0.0
        self.calls = []

    def now(self):
        return self._now

    def at(self, due, action):
        self.calls.append((due, action))

    def advance(self, seconds):
        self._now += seconds
        due = sorted((call for call in self.calls if call[0] <= self._now), key=lambda call: call[0])
        self.calls = [call for call in self.calls if call[0] > self._now]
        for _, action in due:
            action()


class Held:
    """A parked poll."""

    def __init__(self):
        self.shaken = False

    def shake(self):
        self.shaken = True


BROWSER = ("loopback Firefox", "localhost:8080")
OTHER = ("127.0.0.1", "localhost:8080", "Chromium")


class Tabs:
    """A browser with six connections: the polls of the first six tabs are parked, the others wait in the browser."""

    def __init__(self, count=8, parked=6):
        self.later = Later()
        self.shaker = Shaker(self.later)
        self.held = {}
        for number in range(count):
            self.shaker.opened(f"s{number}", BROWSER)
        for number in range(parked):
            self.poll(f"s{number}")

    def poll(self, socket, browser=BROWSER):
        """A poll arrives; whether it is answered at once."""
        self.held[socket] = Held()
        return self.shaker.arrived(socket, browser, self.held[socket])

    @property
    def shaken(self):
        return [socket for socket, held in self.held.items() if held.shaken]


class TestShake:
    def test_a_tab_that_waits_in_the_browser_gets_its_turn(self):
        tabs = Tabs()
        tabs.shaker.unpolled("s7")
        assert tabs.shaken == []
        tabs.later.advance(0.004)
        assert tabs.shaken == [f"s{number}" for number in range(6)]
        assert tabs.poll("s6")  # Not the one: answered at once.
        assert not tabs.poll("s7")  # It has messages, and is answered by them.
        assert not tabs.poll("s0")  # All is well: parked.

    def test_a_tab_that_is_just_between_two_polls_shakes_nothing(self):
        tabs = Tabs()
        tabs.shaker.unpolled("s7")
        tabs.poll("s7")
        tabs.later.advance(100)
        assert tabs.shaken == []

    def test_a_browser_with_few_tabs_is_not_even_looked_at(self):
        tabs = Tabs(count=5, parked=4)
        tabs.shaker.unpolled("s4")
        assert tabs.later.calls == []

    def test_a_tab_that_does_not_come_is_given_up_and_tried_again_ever_more_rarely(self):
        tabs = Tabs()
        tabs.shaker.unpolled("s7")
        moments = []
        for _ in range(1200):
            tabs.later.advance(0.1)
            if tabs.shaken:
                moments.append(tabs.later.now())
            for socket in tabs.shaken:
                while tabs.poll(socket):
                    pass
        pauses = [round(later - sooner, 1) for sooner, later in itertools.pairwise(moments)]
        assert len(moments) == len(PAUSES)
        assert pauses == sorted(pauses)
        assert pauses[-1] == 16

    def test_one_shake_answers_each_tab_a_few_times_at_most(self):
        tabs = Tabs()
        tabs.shaker.unpolled("s7")
        tabs.later.advance(0.004)
        assert [tabs.poll("s0") for _ in range(LAPS + 1)] == [True] * (LAPS - 1) + [False] * 2

    def test_another_browser_is_left_alone(self):
        tabs = Tabs()
        for number in range(6):
            tabs.shaker.opened(f"o{number}", OTHER)
            tabs.poll(f"o{number}", OTHER)
        tabs.shaker.unpolled("s7")
        tabs.later.advance(0.004)
        assert not [socket for socket in tabs.shaken if socket.startswith("o")]

    def test_pages_by_the_hundred_are_no_browser(self):
        tabs = Tabs(count=100, parked=99)
        tabs.shaker.unpolled("s99")
        tabs.later.advance(0.004)
        assert tabs.shaken == []

    def test_a_socket_that_closes_is_not_waited_for(self):
        tabs = Tabs()
        tabs.shaker.unpolled("s7")
        tabs.shaker.closed("s7")
        tabs.later.advance(0.004)
        assert tabs.shaken == []

    def test_nothing_is_left_of_closed_sockets(self):
        tabs = Tabs()
        for number in range(8):
            tabs.shaker.closed(f"s{number}")
        for socket, held in tabs.held.items():
            tabs.shaker.left(socket, held)
        assert [tabs.shaker._browsers, tabs.shaker._of, tabs.shaker._hungry] == [{}, {}, {}]


def test_the_broker_tells_of_messages_that_find_no_poll():
    broker = EmbeddedBroker(ManualClock())
    told = []
    broker.when_unpolled(told.append)
    socket = broker.open(broker.create_channel("bob").token).socket
    broker.send_message("bob", "one")
    assert told == [socket]
    broker.poll(socket, 1)
    broker.send_message("bob", "two")
    assert told == [socket]
