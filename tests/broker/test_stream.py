"""Streams beside polls: the window, taking over, and what happens to a socket with a stream; the clock stands still."""

from __future__ import annotations

import threading

import pytest

from appengine_channel_emu.broker.broker import EmbeddedBroker
from appengine_channel_emu.broker.clock import ManualClock
from appengine_channel_emu.broker.contract import BrokerOptions
from appengine_channel_emu.broker.errors import (
    BacklogExceeded,
    ClosedByHand,
    Replaced,
    SocketError,
    SocketGone,
    TokenTimedOut,
)

KIB = 1024
MARGIN = 0.05
LONGEST = 60.0
"""Seconds until a test that waits for other threads gives up."""


class Page:
    """A page that polls or streams, and all that it has received."""

    def __init__(self, broker: EmbeddedBroker, client_id: str = "ann", browser: str | None = "Chromium") -> None:
        self.broker = broker
        self.client_id = client_id
        self.browser = browser
        self.token = broker.create_channel(client_id).token
        self.socket = broker.open(self.token, browser=browser).socket
        self.received: list[str] = []
        self.stream = None
        self.woken = threading.Event()

    def wake(self):
        """Under the broker's lock this question would never be answered."""
        self.broker.next_due()
        self.woken.set()

    def start(self):
        """Go on with a stream, which takes over."""
        self.stream = self.broker.stream(self.socket, len(self.received), self.wake, self.browser)
        self.woken.clear()
        return self.stream

    def read(self, acknowledge=True):
        """What the stream brings at this moment."""
        self.woken.clear()
        answer = self.broker.take_next(self.stream)
        texts = [message.text for message in answer.messages]
        # What was sent before and not acknowledged comes again, under its old number.
        self.received[answer.next - len(texts) :] = texts
        if acknowledge:
            self.acknowledge()
        return texts

    def acknowledge(self, number=None):
        self.broker.acknowledge(self.stream, len(self.received) if number is None else number)

    def park(self):
        """Go on with a poll, which takes over."""
        return self.broker.poll(self.socket, len(self.received), self.browser)

    def poll(self, lose=False):
        """A poll that is answered at once; what it brought, though the page may never get that."""
        poll = self.park()
        answer = self.broker.take(poll)
        self.broker.release(poll)
        texts = [message.text for message in answer.messages]
        assert not texts or answer.next == len(self.received) + len(texts)
        if not lose:
            self.received += texts
        return texts

    def snapshot(self):
        sockets = self.broker.control.channel(self.client_id).sockets_shown
        return next(each for each in sockets if each.id == self.socket)

    def ended(self):
        """Why its stream ended."""
        assert self.woken.is_set()
        with pytest.raises((SocketError, TokenTimedOut)) as raised:
            self.broker.take_next(self.stream)
        return raised.type


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def told():
    return []


@pytest.fixture
def make(clock, told):
    def make(**options):
        def post(client_id, connected):
            told.append(connected)
            broker.presence_done(client_id, connected, 200)

        broker = EmbeddedBroker(clock, BrokerOptions(**options), post)
        return broker

    return make


@pytest.fixture
def broker(make):
    return make()


@pytest.fixture
def page(broker):
    return Page(broker)


def send(broker, *texts, client_id="ann", request=None):
    return [broker.send_message(client_id, text, request) for text in texts]


class TestDelivery:
    def test_it_begins_at_the_pages_number(self, broker, page):
        send(broker, "one", "two", "three")
        page.received = ["one"]
        assert page.start().sent == 1
        assert page.read() == ["two", "three"]
        assert page.stream.sent == 3

    def test_each_message_wakes_it(self, broker, page):
        page.start()
        for text in ("one", "two"):
            send(broker, text)
            assert page.woken.is_set()
            assert page.read() == [text]
        assert page.read() == []

    def test_what_is_acknowledged_is_forgotten(self, broker, page):
        send(broker, "one", "two")
        page.start()
        page.read(acknowledge=False)
        assert page.snapshot().unread == 2
        page.acknowledge(1)
        assert page.snapshot().unread == 1

    def test_numbers_go_forward_only(self, broker, page):
        send(broker, "one", "two")
        page.start()
        page.read()
        for number in (0, 1, 2):
            page.acknowledge(number)
        assert (page.snapshot().last_number, page.snapshot().unread) == (2, 0)

    def test_what_is_acknowledged_is_saved(self, clock):
        broker = EmbeddedBroker(clock, keep_changes=True)
        page = Page(broker)
        send(broker, "one", "two")
        page.start()
        page.read(acknowledge=False)
        (saved,) = broker.take_changes().sockets
        assert (saved.acknowledged, saved.messages) == (0, ["one", "two"])
        page.acknowledge(1)
        (saved,) = broker.take_changes().sockets
        assert saved.acknowledged == 1

    def test_a_number_that_was_never_sent(self, broker, page):
        send(broker, "one")
        page.start()
        page.read()
        with pytest.raises(SocketGone):
            page.acknowledge(2)
        assert page.snapshot().transport == "stream"

    def test_a_page_may_have_more_than_its_stream_has_brought(self, broker, page):
        """A poll was answered as the stream began."""
        send(broker, "one", "two", "three")
        page.start()
        page.acknowledge(2)
        assert page.stream.sent == 2
        page.received = ["one", "two"]
        assert page.read() == ["three"]

    def test_competing_sockets_prefer_one_with_a_stream(self, make):
        broker = make(tabs="split")
        idle, page = Page(broker), Page(broker)
        page.start()
        send(broker, "one", "two")
        assert page.read() == ["one", "two"]
        assert idle.poll() == []

    def test_nobody_hears_that_a_message_finds_no_poll(self, broker, page):
        unpolled = []
        broker.when_unpolled(lambda socket, browser: unpolled.append(socket))
        page.start()
        send(broker, "one")
        assert unpolled == []
        broker.release(page.stream)
        send(broker, "two")
        assert unpolled == [page.socket]


class TestWindow:
    def test_by_bytes(self, broker, page):
        for _ in range(20):
            send(broker, "x" * 32 * 1000)
        page.start()
        assert len(page.read(acknowledge=False)) == 16
        assert page.read(acknowledge=False) == []
        page.acknowledge(1)
        assert page.woken.is_set()
        assert len(page.read(acknowledge=False)) == 1
        page.acknowledge(17)
        assert len(page.read(acknowledge=False)) == 3

    def test_by_messages(self, make):
        broker = make(backlog_messages=3000)
        page = Page(broker)
        send(broker, *("x" for _ in range(1500)))
        page.start()
        assert len(page.read(acknowledge=False)) == 1000
        send(broker, "y")
        assert page.read(acknowledge=False) == []
        page.acknowledge(600)
        assert len(page.read(acknowledge=False)) == 501

    def test_an_acknowledgement_wakes_only_where_more_waits(self, broker, page):
        send(broker, "one", "two")
        page.start()
        page.read(acknowledge=False)
        page.acknowledge(1)
        assert not page.woken.is_set()

    def test_a_new_stream_has_a_window_of_its_own(self, broker, page):
        for _ in range(20):
            send(broker, "x" * 32 * 1000)
        page.start()
        page.read(acknowledge=False)
        page.received.clear()
        page.start()
        assert len(page.read(acknowledge=False)) == 16

    def test_a_page_that_never_acknowledges_exceeds_the_backlog(self, make):
        broker = make(backlog_messages=5)
        page = Page(broker)
        page.start()
        for number in range(5):
            send(broker, f"{number}")
            page.read(acknowledge=False)
        page.woken.clear()
        send(broker, "one too many")
        assert page.ended() is BacklogExceeded
        assert "backlog" in [event for event in broker.events.after(0) if event.kind == "socket_closed"][-1].text


class TestTakingOver:
    TOTAL = 8

    @pytest.mark.parametrize("lose", [False, True], ids=["whole", "losing"])
    def test_poll_to_stream_to_poll_at_every_number(self, broker, lose):
        """Of what the former brought last, the page may have nothing: it comes again."""
        sent = [f"{number}" for number in range(self.TOTAL)]
        for first in range(self.TOTAL + 1):
            for second in range(first, self.TOTAL + 1):
                client_id = f"page {first} {second}"
                page = Page(broker, client_id)
                older = page.park()
                for text in sent[:first]:
                    send(broker, text, client_id=client_id)
                    page.poll(lose)
                parked = page.park()
                assert older.superseded
                assert broker.take(older).messages == []
                page.start()
                assert parked.superseded == parked.ready.is_set
                assert broker.take(parked).messages == []
                for text in sent[first:second]:
                    send(broker, text, client_id=client_id)
                    page.read(acknowledge=not lose)
                if lose:
                    del page.received[first:]
                stream = page.stream
                for text in sent[second:]:
                    send(broker, text, client_id=client_id)
                page.poll()
                assert stream.superseded
                assert page.received == sent

    def test_a_stream_that_lost_its_place_says_and_changes_nothing(self, broker, page):
        old = page.start()
        poll = page.park()
        assert page.woken.is_set()
        assert (old.superseded, old.ended) == (True, None)
        send(broker, "one")
        assert broker.take_next(old).messages == []
        broker.acknowledge(old, 1)
        broker.acknowledge(old, 99)
        broker.release(old)
        assert page.snapshot().transport == "poll"
        assert [message.text for message in broker.take(poll).messages] == ["one"]

    def test_stream_to_stream(self, broker, page):
        old, new = page.start(), page.start()
        assert (old.superseded, new.superseded) == (True, False)
        broker.release(old)
        send(broker, "one")
        assert page.read() == ["one"]

    def test_a_refused_stream_leaves_the_poll_alone(self, broker, page):
        poll = page.park()
        with pytest.raises(SocketGone):
            broker.stream(page.socket, 1, page.wake)
        assert not poll.superseded
        assert page.snapshot().transport == "poll"

    def test_none_for_the_sdks_wire(self, broker):
        token = broker.create_channel("ann").token
        broker.connect(token)
        (socket,) = broker.control.sockets_of("ann")
        with pytest.raises(SocketGone):
            broker.stream(socket, 0, lambda: None)


class TestEnd:
    def test_the_token_times_out(self, broker, page, clock):
        page.start()
        clock.advance(7200)
        assert page.ended() is TokenTimedOut
        with pytest.raises(TokenTimedOut):
            page.start()

    @pytest.mark.parametrize("again", [0, 3600])
    def test_a_page_between_two_polls_hears_that_it_timed_out_however_far_the_clock_is_moved(
        self, broker, page, clock, again
    ):
        broker.control.travel(3 * 7200)
        broker.control.travel(again)
        with pytest.raises(TokenTimedOut):
            page.park()
        clock.advance(BrokerOptions().resume_window)
        with pytest.raises(SocketGone):
            page.park()

    def test_closed(self, broker, page):
        page.start()
        broker.close(page.socket)
        assert page.ended() is SocketGone

    def test_closed_by_hand(self, broker, page):
        page.start()
        broker.control.close(page.socket)
        assert page.ended() is ClosedByHand
        broker.release(page.stream)
        broker.acknowledge(page.stream, 7)

    def test_reset(self, broker, page):
        page.start()
        broker.control.reset()
        assert page.ended() is SocketGone

    def test_replaced(self, make):
        broker = make(tabs="single")
        page = Page(broker)
        page.start()
        Page(broker).start()
        assert page.ended() is Replaced

    def test_cut(self, broker, page):
        page.start()
        assert broker.control.cut(page.socket)
        assert page.woken.is_set()
        assert page.stream.cut
        assert not page.start().cut


class TestPresence:
    def test_a_stream_is_attached_until_five_seconds_after_it_has_left(self, broker, page, clock, told):
        page.start()
        clock.advance(3600)
        assert (page.snapshot().state, told) == ("attached", [True])
        broker.release(page.stream)
        broker.release(page.stream)
        clock.advance(4.9)
        assert page.snapshot().state == "attached"
        clock.advance(0.1)
        assert page.snapshot().state == "detached"
        clock.advance(2)
        assert told == [True, False]
        clock.advance(60)
        assert broker.control.channel("ann").sockets == 0

    def test_changing_the_transport_is_no_event(self, broker, page, clock, told):
        for _ in range(3):
            page.start()
            clock.advance(60)
            broker.release(page.park())
            clock.advance(4)
        assert told == [True]

    def test_one_that_comes_back_late_is_told_of_again(self, broker, page, clock, told):
        page.start()
        broker.release(page.stream)
        clock.advance(10)
        send(broker, "one")
        page.start()
        assert page.read() == ["one"]
        assert told == [True, False, True]

    def test_a_clock_that_travels_past_a_stream(self, broker, page, told):
        page.start()
        broker.control.travel(3600)
        broker.release(page.stream)
        broker.control.travel(60)
        assert page.snapshot().state == "attached"
        assert told == [True]

    def test_how_it_is_served_can_be_seen(self, broker, page):
        assert page.snapshot().transport is None
        page.start()
        assert page.snapshot().transport == "stream"
        page.park()
        assert page.snapshot().transport == "poll"


class TestPushAfterAnswer:
    def test_what_a_request_sends_waits_for_its_answer(self, make, clock):
        broker = make(push_after_answer=MARGIN)
        mine, other = Page(broker), Page(broker, browser="Firefox")
        request = broker.app_requests.begin("Chromium", False)
        for each in (mine, other):
            each.start()
        send(broker, "before")
        send(broker, "held", request=request)
        send(broker, "behind")
        assert other.read() == ["before", "held", "behind"]
        assert mine.read() == ["before"]
        broker.app_requests.end(request)
        mine.woken.clear()
        clock.advance(MARGIN)
        assert mine.woken.is_set()
        assert mine.read() == ["held", "behind"]

    def test_also_while_what_was_sent_before_is_not_acknowledged(self, make, clock):
        broker = make(push_after_answer=MARGIN)
        page = Page(broker)
        page.start()
        send(broker, "one", "two")
        page.read(acknowledge=False)
        request = broker.app_requests.begin("Chromium", False)
        send(broker, "held", request=request)
        assert page.read(acknowledge=False) == []
        page.acknowledge()
        assert page.read(acknowledge=False) == []
        broker.app_requests.end(request)
        clock.advance(MARGIN)
        assert page.read() == ["held"]

    def test_one_that_moves_to_another_browser_need_not_wait(self, make):
        broker = make(push_after_answer=MARGIN)
        page = Page(broker)
        send(broker, "held", request=broker.app_requests.begin("Chromium", False))
        page.browser = "Firefox"
        page.start()
        assert page.read() == ["held"]


def test_many_threads_send_while_the_page_changes_its_transport(broker, page):
    """Nothing is lost, comes twice, or in another order than that of its sender."""
    senders, each = 4, 250

    def say(name):
        for number in range(each):
            send(broker, f"{name} {number}")

    threads = [threading.Thread(target=say, args=(name,)) for name in range(senders)]
    for thread in threads:
        thread.start()
    page.start()
    rounds = 0
    while len(page.received) < senders * each:
        if rounds % 7 == 3:
            page.poll(lose=rounds % 2 == 1)
            page.start()
        else:
            page.read(acknowledge=rounds % 3 == 0)
        if len(page.received) < senders * each and page.stream.sent == page.snapshot().last_number:
            assert page.woken.wait(LONGEST)
        rounds += 1
    for thread in threads:
        thread.join()
    for name in range(senders):
        assert [text for text in page.received if text.startswith(f"{name} ")] == [
            f"{name} {number}" for number in range(each)
        ]
