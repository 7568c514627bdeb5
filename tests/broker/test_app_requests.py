"""A push does not overtake the answer of the request that sent it: each rule of it, on a clock that stands still."""

from __future__ import annotations

import pytest

from appengine_channel_emu.broker.broker import EmbeddedBroker
from appengine_channel_emu.broker.clock import ManualClock
from appengine_channel_emu.broker.contract import BrokerOptions
from appengine_channel_emu.broker.saving import State

MARGIN, NAVIGATION, LONGEST = 0.05, 0.3, 0.5
MINE, OTHER = "127.0.0.1 Chromium", "127.0.0.1 Firefox"
ALMOST = 0.001
"""Less than this before a message is due it is still held."""


class Page:
    """A page, and all that it has received."""

    def __init__(self, broker: EmbeddedBroker, client_id: str = "ann", browser: str | None = MINE) -> None:
        self.broker = broker
        self.browser = browser
        self.token = broker.create_channel(client_id).token
        self.socket = broker.open(self.token, browser=browser).socket
        self.received: list[str] = []

    def park(self):
        return self.broker.poll(self.socket, len(self.received), self.browser)

    def poll(self):
        """What there is at this moment, as `wait=0` gets it."""
        poll = self.park()
        self.take(poll)
        return self.received

    def take(self, poll):
        answer = self.broker.take(poll)
        self.received += [message.text for message in answer.messages]
        assert answer.next == len(self.received)


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def make(clock):
    return lambda **options: EmbeddedBroker(clock, BrokerOptions(**{"push_after_answer": MARGIN, **options}))


@pytest.fixture
def broker(make):
    return make()


def begin(broker, browser=MINE, navigation=False):
    return broker.app_requests.begin(browser, navigation)


def send(broker, text, request=None, client_id="ann"):
    return broker.send_message(client_id, text, request)


def test_a_message_waits_for_the_answer_and_the_margin(broker, clock):
    page, request = Page(broker), begin(broker)
    assert send(broker, "one", request).delivered_to == 1
    poll = page.park()
    clock.advance(0.2)
    assert not poll.ready.is_set
    broker.app_requests.end(request)
    clock.advance(MARGIN - ALMOST)
    assert not poll.ready.is_set
    clock.advance(2 * ALMOST)
    assert poll.ready.is_set
    page.take(poll)
    assert page.received == ["one"]


def test_a_navigation_needs_longer(broker, clock):
    page, request = Page(broker), begin(broker, navigation=True)
    send(broker, "one", request)
    broker.app_requests.end(request)
    clock.advance(NAVIGATION - ALMOST)
    assert page.poll() == []
    clock.advance(2 * ALMOST)
    assert page.poll() == ["one"]


def test_no_message_waits_longer_than_half_a_second(broker, clock):
    page, request = Page(broker), begin(broker)
    send(broker, "begun", request)
    clock.advance(0.3)
    send(broker, "half done", request)
    poll = page.park()
    clock.advance(LONGEST - 0.3 - ALMOST)
    assert not poll.ready.is_set
    clock.advance(2 * ALMOST)
    page.take(poll)
    assert page.received == ["begun"]
    clock.advance(0.3 - 4 * ALMOST)
    assert page.poll() == ["begun"]
    clock.advance(4 * ALMOST)
    assert page.poll() == ["begun", "half done"]


def test_the_half_second_holds_behind_an_answer_too(make, clock):
    broker = make(push_after_answer=0.45)
    page, request = Page(broker), begin(broker)
    send(broker, "one", request)
    clock.advance(0.1)
    send(broker, "two", request)
    clock.advance(0.1)
    broker.app_requests.end(request)
    clock.advance(LONGEST - 0.2 - ALMOST)
    assert page.poll() == []
    clock.advance(2 * ALMOST)
    assert page.poll() == ["one"]
    clock.advance(0.1)
    assert page.poll() == ["one", "two"]


def test_other_browsers_get_it_at_once(broker):
    mine, theirs, unknown = Page(broker), Page(broker, browser=OTHER), Page(broker, browser=None)
    polls = [page.park() for page in (mine, theirs, unknown)]
    assert send(broker, "one", begin(broker)).delivered_to == 3
    assert [poll.ready.is_set for poll in polls] == [False, True, True]


def test_what_comes_behind_it_waits_in_order(broker, clock):
    page, theirs, request = Page(broker), Page(broker, browser=OTHER), begin(broker)
    send(broker, "before")
    send(broker, "held", request)
    send(broker, "behind")
    assert page.poll() == ["before"]
    assert theirs.poll() == ["before", "held", "behind"]
    broker.app_requests.end(request)
    clock.advance(MARGIN)
    assert page.poll() == ["before", "held", "behind"]


def test_the_first_of_two_requests_holds_the_second_ones_message(broker, clock):
    page, slow, quick = Page(broker), begin(broker), begin(broker)
    send(broker, "slow", slow)
    send(broker, "quick", quick)
    broker.app_requests.end(quick)
    clock.advance(MARGIN)
    assert page.poll() == []
    broker.app_requests.end(slow)
    clock.advance(MARGIN)
    assert page.poll() == ["slow", "quick"]


def test_a_poll_that_waits_is_woken_once_for_what_may_leave(broker, clock):
    page, request = Page(broker), begin(broker)
    poll = page.park()
    send(broker, "held", request)
    assert not poll.ready.is_set
    broker.app_requests.end(request)
    clock.advance(1)
    page.take(poll)
    assert not page.park().ready.is_set


@pytest.mark.parametrize("ended", [False, True])
def test_a_send_of_a_request_that_nobody_knows_is_not_held(broker, clock, ended):
    page, request = Page(broker), begin(broker)
    if ended:
        broker.app_requests.end(request)
        clock.advance(MARGIN)
        send(broker, "one", request)
    else:
        broker.send_message("ann", "one", "default.20150612t184001.0")
    assert page.poll() == ["one"]


def test_what_is_sent_right_behind_the_answer_waits_for_the_rest_of_the_margin(broker, clock):
    page, request = Page(broker), begin(broker)
    broker.app_requests.end(request)
    clock.advance(0.02)
    send(broker, "one", request)
    clock.advance(MARGIN - 0.02 - ALMOST)
    assert page.poll() == []
    clock.advance(2 * ALMOST)
    assert page.poll() == ["one"]


def test_nothing_is_held_for_a_browser_without_a_name(broker):
    page, request = Page(broker, browser=None), begin(broker, browser=None)
    send(broker, "one", request)
    assert page.poll() == ["one"]


def test_zero_turns_it_off(make):
    assert not make(push_after_answer=0.0).app_requests.matter


def test_a_socket_that_is_opened_meanwhile_waits_too(broker, clock):
    request = begin(broker)
    page = Page(broker)
    send(broker, "one", request)
    assert page.poll() == []
    clock.advance(LONGEST)
    assert page.poll() == ["one"]


def test_a_page_that_resumes_waits_on(broker, clock):
    page, request = Page(broker), begin(broker)
    send(broker, "one", request)
    opened = broker.open(page.token, (page.socket, 0), browser=MINE)
    assert opened.socket == page.socket
    assert page.poll() == []
    clock.advance(LONGEST)
    assert page.poll() == ["one"]


@pytest.mark.parametrize("resumes", [True, False])
def test_a_socket_that_goes_on_in_another_browser_waits_no_longer(broker, resumes):
    page, request = Page(broker), begin(broker)
    older = page.park()
    send(broker, "one", request)
    send(broker, "two")
    page.browser = OTHER
    if resumes:
        broker.open(page.token, (page.socket, 0), browser=OTHER)
        assert older.ready.is_set
    assert page.poll() == ["one", "two"]


def test_the_sdk_wire_waits_too(broker, clock):
    token, request = broker.create_channel("ann").token, begin(broker)
    broker.connect(token, MINE)
    send(broker, "one", request)
    send(broker, "two")
    assert broker.poll_one(token, MINE) is None
    broker.app_requests.end(request)
    clock.advance(MARGIN)
    assert [broker.poll_one(token, MINE).text for _ in "12"] == ["one", "two"]


def test_the_sdk_wire_of_another_browser_does_not(broker):
    token = broker.create_channel("ann").token
    broker.connect(token, OTHER)
    send(broker, "one", begin(broker))
    assert broker.poll_one(token, OTHER).text == "one"


def test_a_tab_without_a_poll_is_not_asked_for_before_its_message_may_leave(broker, clock):
    unpolled = []
    broker.when_unpolled(lambda socket, browser: unpolled.append((socket, browser)))
    page, request = Page(broker), begin(broker)
    send(broker, "one", request)
    assert unpolled == []
    broker.app_requests.end(request)
    clock.advance(MARGIN)
    assert unpolled == [(page.socket, MINE)]


def test_split_tabs_hold_for_the_one_that_gets_it(make, clock):
    broker = make(tabs="split")
    mine, theirs, request = Page(broker), Page(broker, browser=OTHER), begin(broker)
    for text in "abcd":
        assert send(broker, text, request).delivered_to == 1
    assert len(theirs.poll()) == 2
    assert mine.poll() == []
    clock.advance(LONGEST)
    assert sorted(mine.poll() + theirs.received) == list("abcd")


def test_a_socket_that_ends_with_a_held_message_is_let_go(broker, clock):
    page, other, request = Page(broker), Page(broker), begin(broker)
    send(broker, "one", request)
    broker.close(page.socket)
    broker.app_requests.end(request)
    clock.advance(MARGIN)
    assert other.poll() == ["one"]


def test_a_reset_forgets_what_is_held(broker, clock):
    Page(broker)
    request = begin(broker)
    send(broker, "one", request)
    broker.control.reset()
    broker.app_requests.end(request)
    page = Page(broker)
    clock.advance(1)
    assert page.poll() == []


def test_no_socket_is_closed_for_what_it_was_kept_from(make):
    broker = make(backlog_messages=10)
    page, request = Page(broker), begin(broker)
    poll = page.park()
    for number in range(6):
        assert not poll.ready.is_set
        send(broker, str(number), request)
    page.take(poll)
    assert page.received == list("012345")
    poll = page.park()
    for number in range(6, 12):
        assert not poll.ready.is_set
        send(broker, str(number), request)
    page.take(poll)
    assert page.received == [str(number) for number in range(12)]


def test_a_page_that_claims_to_have_what_is_held_does_not_stop_its_socket(broker):
    page, request = Page(broker), begin(broker)
    send(broker, "one", request)
    poll = broker.poll(page.socket, 1, MINE)
    send(broker, "two")
    assert poll.ready.is_set
    assert [message.text for message in broker.take(poll).messages] == ["two"]


def test_a_cut_poll_gets_what_may_leave_with_the_next(broker, clock):
    page, request = Page(broker), begin(broker)
    poll = page.park()
    send(broker, "one", request)
    broker.control.cut(page.socket)
    assert poll.ready.is_set
    broker.release(poll)
    assert page.poll() == []
    clock.advance(LONGEST)
    assert page.poll() == ["one"]


def test_after_a_restart_nothing_is_held(clock):
    options = BrokerOptions(push_after_answer=MARGIN)
    broker = EmbeddedBroker(clock, options, keep_changes=True)
    page = Page(broker)
    send(broker, "one", begin(broker))
    changes = broker.take_changes()
    state = State(b"k" * 32, tokens=changes.tokens, sockets=changes.sockets)
    page.broker = EmbeddedBroker(clock, options, state=state)
    assert page.poll() == ["one"]


def test_the_event_says_how_many_sockets_wait(broker):
    Page(broker)
    Page(broker, browser=OTHER)
    send(broker, "one", begin(broker))
    send(broker, "two")
    assert [event.detail.get("held") for event in broker.events.after(0) if event.kind == "message_sent"] == [1, None]


def test_requests_are_forgotten(broker, clock):
    for _ in range(100):
        broker.app_requests.end(begin(broker))
        clock.advance(0.1)
    assert len(broker.app_requests) <= 5
    request = begin(broker)
    broker.app_requests.end(request)
    broker.app_requests.end(request)
    clock.advance(1)
    begin(broker)
    assert len(broker.app_requests) == 1
