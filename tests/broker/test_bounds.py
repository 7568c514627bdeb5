"""What one emulator holds at most, and what those beyond are told."""

from __future__ import annotations

import pytest

from appengine_channel_emu.broker.broker import EmbeddedBroker
from appengine_channel_emu.broker.clock import ManualClock
from appengine_channel_emu.broker.contract import BrokerOptions
from appengine_channel_emu.broker.errors import BacklogExceeded, TooManySockets, TooManyTokens

KIB = 1024


def make(**options):
    clock = ManualClock()
    return EmbeddedBroker(clock, BrokerOptions(**options)), clock


def open_socket(broker, client_id):
    return broker.open(broker.create_channel(client_id).token).socket


def kinds(broker, kind):
    return [event for event in broker.events.after(0) if event.kind == kind]


class TestBacklogInAll:
    def test_the_page_that_does_not_poll_pays_for_it(self):
        broker, _ = make(backlog_total=200 * KIB)
        hog, modest = open_socket(broker, "hog"), open_socket(broker, "modest")
        broker.send_message("modest", "kept")
        for _ in range(30):
            broker.send_message("hog", "x" * 10 * KIB)
        with pytest.raises(BacklogExceeded):
            broker.poll(hog, 0)
        assert [message.text for message in broker.take(broker.poll(modest, 0)).messages] == ["kept"]
        (event,) = kinds(broker, "backlog_full")
        assert "--backlog-total" in event.text

    @pytest.mark.parametrize("tabs", ["fanout", "split", "single"])
    def test_a_send_that_closes_its_own_last_socket_is_dropped(self, tabs):
        broker, _ = make(backlog_total=20 * KIB, tabs=tabs)
        open_socket(broker, "hog")
        sent = [broker.send_message("hog", "x" * 15 * KIB) for _ in range(2)]
        assert [each.delivered_to for each in sent] == [1, 0]
        assert kinds(broker, "message_dropped")[0].detail["why"] == "overflow"

    def test_what_is_read_counts_no_more(self):
        broker, _ = make(backlog_total=200 * KIB)
        socket = open_socket(broker, "reader")
        for number in range(100):
            broker.send_message("reader", "x" * 10 * KIB)
            assert len(broker.take(broker.poll(socket, number)).messages) == 1
        assert kinds(broker, "backlog_full") == []

    @pytest.mark.parametrize("end", ["close", "reset", "expiry", "SDK wire"])
    def test_what_nobody_can_read_any_more_counts_no_more(self, end):
        broker, clock = make(backlog_total=10_000 * KIB)
        token = broker.create_channel("bob").token
        if end == "SDK wire":
            broker.connect(token)
        sockets = [broker.open(token).socket for _ in range(3)]
        for _ in range(5):
            broker.send_message("bob", "x" * KIB)
        held = broker._sockets.unread.bytes
        # Once, though several sockets wait for it.
        assert 5 * KIB <= held < 7 * KIB
        if end == "reset":
            broker.control.reset()
        elif end == "expiry":
            clock.advance(24 * 60 * 60)
        else:
            if end == "SDK wire":
                while broker.poll_one(token):
                    pass
                broker.disconnect(token)
            for socket in sockets:
                broker.close(socket)
        assert broker._sockets.unread.bytes == 0


class TestTokens:
    def test_too_many_are_refused_and_it_is_said_once(self):
        broker, clock = make(max_tokens=3)
        for number in range(3):
            broker.create_channel(f"client {number}", 1)
        for _ in range(5):
            with pytest.raises(TooManyTokens, match="--max-tokens"):
                broker.create_channel("one too many")
        assert len(kinds(broker, "tokens_full")) == 1
        clock.advance(61)
        broker.create_channel("there is room")
        assert len(broker._tokens._records) == 1

    def test_sending_goes_on(self):
        broker, _ = make(max_tokens=1)
        open_socket(broker, "bob")
        assert broker.send_message("bob", "hello").delivered_to == 1


class TestSockets:
    def test_too_many_of_one_client_id(self):
        broker, _ = make(max_sockets=2)
        first, second = open_socket(broker, "bob"), open_socket(broker, "bob")
        with pytest.raises(TooManySockets) as refused:
            open_socket(broker, "bob")
        assert refused.value.client_id == "bob"
        # A page that comes back has its place.
        assert broker.open(broker.create_channel("bob").token, (first, 0)).socket == first
        open_socket(broker, "alice")
        broker.close(second)
        open_socket(broker, "bob")

    def test_those_that_vanished_leave_their_places(self):
        broker, clock = make(max_sockets=2)
        for _ in range(2):
            open_socket(broker, "bob")
        clock.advance(5 + 60 + 1)
        open_socket(broker, "bob")

    def test_a_single_tab_still_replaces_the_older_one(self):
        broker, _ = make(max_sockets=1, tabs="single")
        open_socket(broker, "bob")
        open_socket(broker, "bob")


def test_the_event_log_has_the_length_that_was_asked_for():
    broker, _ = make(event_log=100)
    for number in range(150):
        broker.note("test", str(number))
    assert [event.text for event in broker.events.after(0)] == [str(number) for number in range(50, 150)]
