"""More tabs in a browser than it opens connections: polls that are answered early (design.md, "Many tabs")."""

from __future__ import annotations

import contextlib
import functools
import json

import pytest

from appengine_channel_emu.broker.broker import EmbeddedBroker
from appengine_channel_emu.broker.clock import ManualClock
from appengine_channel_emu.timer import Timers
from appengine_channel_emu.web.channel.poll_release import FIRST_PAUSE, MOST_PARKED, MOST_PAUSABLE, PollRelease
from tests.support.service import running_service
from tests.support.waiting import until
from tests.support.wire import connect, rest

CONNECTIONS = 6
"""Of a browser to one host."""
BROWSER, OTHER = "127.0.0.1 Firefox", "127.0.0.1 Chromium"
WEBKIT = "127.0.0.1 Mozilla/5.0 (Macintosh) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.0 Safari/605.1.15"


class Machine:
    """The machine's time, moved with a clock: a `Scheduler`."""

    def __init__(self, clock):
        self.now = clock.now
        self.timers = Timers()
        self.next_due = self.timers.next_due
        self.at = self.timers.set
        clock.follow(self)

    def run_due(self):
        while timer := self.timers.pop_due(self.now()):
            timer.action()


class Emulator:
    """A broker, and what answers its polls early."""

    def __init__(self):
        self.clock = ManualClock()
        self.machine = Machine(self.clock)
        self.broker = EmbeddedBroker(self.clock)
        self.polls = PollRelease(self.broker, self.machine)

    @property
    def is_idle(self):
        return not self.polls._browsers and self.machine.next_due() is None


class ParkedPoll:
    def __init__(self, poll, pauses):
        self.poll = poll
        self.pauses = pauses and not poll.ready.is_set
        self.early = 0
        self.fields = {}

    def answer_early(self, **fields):
        self.early += 1
        self.fields = fields
        self.poll.ready.set()


class Tab:
    """A page with a socket; it polls when it is told to."""

    def __init__(self, emulator, name, browser=BROWSER, pauses=False):
        self.emulator = emulator
        self.name = name
        self.browser = browser
        self.pauses = pauses
        self.socket = emulator.broker.open(emulator.broker.create_channel(name).token, browser=browser).socket
        self.after = 0
        self.messages = []
        self.parked = None

    def poll(self, answered=None):
        """`answered` is called as soon as there is an answer."""
        poll = self.emulator.broker.poll(self.socket, self.after, self.browser)
        self.parked = ParkedPoll(poll, self.pauses)
        self.emulator.polls.arrived(self.socket, self.browser, self.parked)
        poll.ready.when_set(functools.partial(self._take, answered or (lambda: None)))

    def _take(self, answered):
        answer = self.emulator.broker.take(self.parked.poll)
        self.after = answer.next
        self.messages += [message.text for message in answer.messages]
        self.emulator.polls.left(self.browser, self.parked)
        answered()

    def send(self, text="hello"):
        self.emulator.broker.send_message(self.name, text)


class Browser:
    """Its tabs poll again a few milliseconds after each answer, as soon as it has a connection for them.

    Chromium sends their polls in the order in which they were made; Firefox has tabs that always go first.
    """

    def __init__(self, emulator, tabs, favourites):
        self.machine = emulator.machine
        self.tabs = [Tab(emulator, f"tab{number}") for number in range(tabs)]
        self.favourites = favourites
        self.stopped = None
        self.connections = CONNECTIONS
        self.queue = []
        self.polls = 0
        for tab in self.tabs:
            self.ask(tab)

    def ask(self, tab):
        if tab is not self.stopped:
            self.queue.append(tab)
            self.send_polls()

    def send_polls(self):
        while self.connections and self.queue:
            tab = min(self.queue, key=self.tabs.index) if self.favourites else self.queue[0]
            self.queue.remove(tab)
            self.connections -= 1
            self.polls += 1
            tab.poll(functools.partial(self.answered, tab))

    def answered(self, tab):
        now = self.machine.now()
        self.machine.at(now + 0.001, self.end_request)
        self.machine.at(now + 0.005 + 0.001 * (self.tabs.index(tab) % 3), functools.partial(self.ask, tab))

    def end_request(self):
        self.connections += 1
        self.send_polls()


@pytest.fixture
def emulator():
    return Emulator()


@pytest.fixture
def make(emulator):
    """Tabs of which the first `parked` have a poll here."""

    def tabs(count, parked=CONNECTIONS, browser=BROWSER, pauses=False):
        made = [Tab(emulator, f"{browser[-9:]}{number}", browser, pauses) for number in range(count)]
        for tab in made[:parked]:
            tab.poll()
        return made

    return tabs


def early(tabs):
    """How often polls of each were answered early."""
    return [tab.parked.early if tab.parked else 0 for tab in tabs]


@pytest.mark.parametrize("favourites", [False, True], ids=["Chromium", "Firefox"])
class TestBrowser:
    def test_each_of_24_tabs_gets_its_message_soon(self, emulator, favourites):
        browser = Browser(emulator, 24, favourites)
        for turn in range(3):
            for tab in browser.tabs:
                emulator.clock.advance(1)
                tab.send()
                emulator.clock.advance(0.05)
                assert len(tab.messages) == turn + 1

    def test_so_do_all_at_once(self, emulator, favourites):
        browser = Browser(emulator, 24, favourites)
        for turn in range(3):
            for tab in browser.tabs:
                tab.send()
            emulator.clock.advance(0.15)
            assert [len(tab.messages) for tab in browser.tabs] == [turn + 1] * 24

    def test_nothing_is_answered_early_while_nothing_waits(self, emulator, favourites):
        browser = Browser(emulator, 24, favourites)
        browser.tabs[17].send()
        emulator.clock.advance(1)
        polls = browser.polls
        assert polls > CONNECTIONS
        emulator.clock.advance(60)
        assert browser.polls == polls

    def test_a_tab_that_asks_for_nothing_is_given_up_in_the_end(self, emulator, favourites):
        browser = Browser(emulator, 24, favourites)
        browser.stopped = browser.tabs[17]
        browser.stopped.send()
        emulator.clock.advance(40)
        polls = browser.polls
        emulator.clock.advance(10)
        assert browser.polls == polls

    def test_it_keeps_no_other_tab_waiting(self, emulator, favourites):
        browser = Browser(emulator, 24, favourites)
        browser.stopped = browser.tabs[17]
        browser.stopped.send()
        for seconds in (0.2, 5, 30):
            emulator.clock.advance(seconds)
            browser.tabs[23].send()
            emulator.clock.advance(0.05)
            assert browser.tabs[23].messages.pop() == "hello"


class TestWhoIsAnswered:
    def test_the_parked_polls_are_answered_for_a_tab_that_waits_in_its_browser(self, emulator, make):
        tabs = make(8)
        tabs[7].send()
        assert early(tabs) == [0] * 8
        emulator.clock.advance(FIRST_PAUSE)
        assert early(tabs) == [1] * 6 + [0, 0]
        tabs[6].poll()  # Not the one: answered at once.
        tabs[7].poll()  # It has a message.
        tabs[0].poll()  # All is well: it waits.
        assert early(tabs) == [0] + [1] * 6 + [0]
        assert tabs[7].messages == ["hello"]

    def test_nobody_for_a_tab_that_is_just_between_two_polls(self, emulator, make):
        tabs = make(8)
        tabs[7].send()
        tabs[7].poll()
        emulator.clock.advance(60)
        assert early(tabs) == [0] * 8

    def test_nobody_in_a_browser_with_a_connection_to_spare(self, emulator, make):
        tabs = make(5, parked=4)
        tabs[4].send()
        emulator.clock.advance(60)
        assert early(tabs) == [0] * 5

    def test_nobody_in_another_browser(self, emulator, make):
        tabs, others = make(8), make(8, browser=OTHER)
        tabs[7].send()
        emulator.clock.advance(60)
        assert early(others) == [0] * 8

    def test_nobody_in_a_load_test_for_which_nothing_is_even_tried(self, emulator, make):
        tabs = make(200, parked=MOST_PARKED + 1)
        for tab in tabs[MOST_PARKED + 1 :]:
            tab.send()
        assert emulator.machine.next_due() is None
        assert sum(early(tabs)) == 0

    def test_nobody_for_a_socket_that_closes(self, emulator, make):
        tabs = make(8)
        tabs[7].send()
        emulator.broker.close(tabs[7].socket)
        emulator.clock.advance(60)
        assert early(tabs) == [0] * 8

    def test_nobody_for_a_socket_that_has_a_stream(self, emulator, make):
        tabs = make(8)
        emulator.broker.stream(tabs[7].socket, 0, lambda: None, BROWSER)
        tabs[7].send()
        tabs[6].send()
        emulator.broker.stream(tabs[6].socket, 0, lambda: None, BROWSER)
        emulator.clock.advance(4)
        assert early(tabs) == [0] * 8


class TestPages:
    """They can pause, and call each other."""

    @pytest.fixture
    def tabs(self, make):
        return make(MOST_PAUSABLE + 2, MOST_PAUSABLE, WEBKIT, pauses=True)

    def test_a_poll_too_many_has_the_oldest_pause(self, tabs):
        tabs[4].poll()
        tabs[5].poll()
        assert early(tabs) == [1, 1, 0, 0, 0, 0]
        assert tabs[0].parked.fields.keys() == tabs[1].parked.fields.keys() == {"pause"}
        tabs[0].poll()
        assert early(tabs) == [0, 1, 1, 0, 0, 0]

    def test_a_page_that_pauses_is_called_by_one_other(self, emulator, tabs):
        tabs[4].poll()
        name = tabs[0].parked.fields["pause"]
        assert name not in tabs[0].socket
        assert tabs[0].socket not in name
        tabs[0].send()
        assert early(tabs) == [1, 0, 0, 0, 0, 0]
        emulator.clock.advance(FIRST_PAUSE)
        assert early(tabs) == [1, 1, 0, 0, 0, 0]
        assert tabs[1].parked.fields == {"call": [name]}
        tabs[1].poll()  # Its page has called: it waits.
        tabs[0].poll()
        assert tabs[0].messages == ["hello"]
        assert early(tabs) == [0] * 6  # One that finds its message need not wait: nobody pauses for it.
        emulator.clock.advance(60)
        assert early(tabs) == [0] * 6

    def test_then_by_the_next_for_as_long_as_it_does_not_hear(self, emulator, tabs):
        tabs[4].poll()
        tabs[0].send()
        for called in range(2, MOST_PAUSABLE + 1):
            emulator.clock.advance(FIRST_PAUSE * 2 ** (called - 2))
            assert early(tabs) == [1] * called + [0] * (6 - called)

    def test_one_call_is_for_all(self, emulator, tabs):
        tabs[4].poll()
        tabs[5].poll()
        tabs[0].send()
        tabs[1].send()
        emulator.clock.advance(FIRST_PAUSE)
        assert early(tabs) == [1, 1, 1, 0, 0, 0]
        assert set(tabs[2].parked.fields["call"]) == {tab.parked.fields["pause"] for tab in tabs[:2]}

    def test_who_has_gone_is_not_counted(self, emulator, tabs):
        emulator.polls.left(WEBKIT, tabs[0].parked)
        tabs[4].poll()
        assert early(tabs[1:]) == [0] * 5

    def test_no_client_that_cannot_is_told_to_pause(self, make):
        assert early(make(12, 12, WEBKIT, pauses=False)) == [0] * 12

    def test_nor_one_beside_it(self, emulator, tabs, make):
        others = make(6, browser=WEBKIT.replace("127.0.0.1", "10.0.0.7"), pauses=False)
        tabs[4].poll()
        tabs[0].send()
        emulator.clock.advance(1)
        assert early(others) == [0] * 6

    def test_nothing_is_kept_of_it(self, emulator, tabs):
        tabs[4].poll()
        tabs[0].send()
        for tab in tabs[:5]:
            emulator.polls.left(WEBKIT, tab.parked)
        emulator.clock.advance(60)
        assert emulator.is_idle


def test_nothing_is_kept_of_a_browser_that_has_gone(emulator, make):
    tabs = make(8)
    tabs[7].send()
    emulator.clock.advance(1)
    tabs[7].poll()
    for tab in tabs:
        emulator.broker.close(tab.socket)
    emulator.clock.advance(60)
    assert emulator.is_idle


class TestBroker:
    def test_it_tells_of_messages_that_find_no_poll(self, emulator):
        told = []
        emulator.broker.when_unpolled(lambda *about: told.append(about))
        tab = Tab(emulator, "bob")
        tab.send()
        assert told == [(tab.socket, BROWSER)]
        assert emulator.broker.is_unpolled(tab.socket)
        tab.poll()
        assert emulator.broker.is_unpolled(tab.socket)  # The page has not said yet that it has it.
        tab.poll()
        assert not emulator.broker.is_unpolled(tab.socket)
        tab.send()
        assert told == [(tab.socket, BROWSER)]

    def test_not_of_a_browser_that_does_not_say_who_it_is(self, emulator):
        told = []
        emulator.broker.when_unpolled(lambda *about: told.append(about))
        Tab(emulator, "bob", browser=None).send()
        assert told == []


@contextlib.contextmanager
def parked_polls(service, count, agent, more=""):
    """Connections of pages in the browser `agent`, tab0 and so on, whose polls are parked."""
    with contextlib.ExitStack() as connections:
        polls = []
        for number in range(count):
            connection = connections.enter_context(connect(service.port))
            socket = open_tab(service, number, agent)
            head = f"GET /_ah/channel/poll?socket={socket}&after=0&wait=25{more} HTTP/1.1\r\nHost: localhost\r\n"
            connection.sendall(f"{head}User-Agent: {agent}\r\nConnection: close\r\n\r\n".encode())
            polls.append(connection)
            until(lambda name=f"tab{number}": service.broker.control.channel(name).sockets_shown[0].transport)
        yield polls


def open_tab(service, number, agent):
    token = service.broker.create_channel(f"tab{number}").token
    return service.broker.open(token, browser=f"loopback {agent}").socket


def json_of(connection):
    return json.loads(rest(connection).partition(b"\r\n\r\n")[2])


def test_a_page_is_told_that_its_poll_was_answered_early():
    with running_service() as service, parked_polls(service, CONNECTIONS, "Firefox") as polls:
        open_tab(service, CONNECTIONS, "Firefox")
        service.broker.send_message(f"tab{CONNECTIONS}", "hello")
        for connection in polls:
            assert json_of(connection) == {"messages": [], "next": 0, "released": True}


def test_a_page_in_webkit_is_told_to_pause_and_another_to_call_it():
    agent = "AppleWebKit/605.1.15 Safari/605.1.15"
    with running_service() as service, parked_polls(service, MOST_PAUSABLE + 1, agent, "&pauses=1") as polls:
        paused = json_of(polls[0])
        assert paused == {"messages": [], "next": 0, "released": True, "pause": paused["pause"]}
        service.broker.send_message("tab0", "hello")
        assert json_of(polls[1]) == {"messages": [], "next": 0, "released": True, "call": [paused["pause"]]}
