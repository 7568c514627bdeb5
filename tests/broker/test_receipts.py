"""What became of a message on each socket that it was queued for."""

from __future__ import annotations

import weakref

import pytest

from appengine_channel_emu.broker.broker import EmbeddedBroker
from appengine_channel_emu.broker.clock import ManualClock
from appengine_channel_emu.broker.contract import BrokerOptions
from appengine_channel_emu.broker.journal import JOURNAL_SOCKETS


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def broker(clock):
    return EmbeddedBroker(clock, BrokerOptions(push_after_answer=0.05))


def opened(broker, client_id="anna", **marks):
    return broker.open(broker.create_channel(client_id, **marks).token, browser="Chromium").socket


def receipts(broker, number=1):
    return broker.control.receipts(broker.journal.get(number))


def states(broker, number=1):
    return [receipt.state for receipt in receipts(broker, number)]


def test_a_poll_acknowledges_what_the_one_before_it_has_brought(broker, clock):
    socket = opened(broker)
    poll = broker.poll(socket, 0)
    broker.send_message("anna", "hello")
    broker.take(poll)
    assert states(broker) == ["waiting"]
    clock.advance(0.02)
    broker.poll(socket, 1)
    (receipt,) = receipts(broker)
    assert (receipt.state, receipt.acknowledged, receipt.transport) == ("acknowledged", clock.now(), "poll")
    assert broker.journal.get(1).acknowledged == 1
    assert dict(broker.figures.latency.cumulative())[0.025] == 1
    assert broker.figures.latency.total == pytest.approx(0.02)


def test_the_connection_of_a_socket_that_has_ended_is_not_kept_with_the_message(broker):
    class Connection:
        def wake(self):
            """As the server's own, it hears that the socket has ended."""

    connection = Connection()
    socket = opened(broker)
    broker.stream(socket, 0, connection.wake)
    broker.send_message("anna", "hello")
    broker.close(socket)
    kept = weakref.ref(connection)
    del connection
    assert states(broker) == ["lost"]
    assert kept() is None


def test_a_stream_and_the_sdks_wire(broker):
    stream = broker.stream(opened(broker), 0, lambda: None)
    token = broker.create_channel("anna").token
    broker.connect(token)
    broker.send_message("anna", "hello")
    broker.take_next(stream)
    broker.acknowledge(stream, 1)
    assert states(broker) == ["acknowledged", "waiting"]
    broker.poll_one(token)
    assert [receipt.transport for receipt in receipts(broker)] == ["stream", "sdk"]
    assert states(broker) == ["acknowledged"] * 2


def test_what_a_socket_had_not_when_it_ended_is_lost(broker):
    gone = opened(broker)
    opened(broker)
    broker.send_message("anna", "hello")
    broker.close(gone)
    assert states(broker) == ["lost", "waiting"]
    assert broker.journal.get(1).delivered_to == 2


def test_a_message_behind_its_answer_is_held_and_so_is_what_comes_behind_it(broker, clock):
    opened(broker)
    request = broker.app_requests.begin("Chromium", navigation=False)
    broker.send_message("anna", "first", request)
    broker.send_message("anna", "second")
    assert [states(broker, 1), states(broker, 2)] == [["held"], ["held"]]
    assert [broker.journal.get(1).held, broker.journal.get(2).held] == [True, False]
    broker.app_requests.end(request)
    clock.advance(0.05)
    assert [states(broker, 1), states(broker, 2)] == [["waiting"], ["waiting"]]
    assert not broker.journal.get(1).held


def test_the_mark_of_a_tool_is_on_its_sockets_and_events(broker):
    opened(broker, opened_by="console")
    broker.send_message("anna", "hello")
    (socket,) = broker.control.channel("anna").sockets_shown
    assert socket.opened_by == "console"
    assert receipts(broker)[0].opened_by == "console"
    (event,) = [event for event in broker.events.after(0) if event.kind == "socket_opened"]
    assert event.detail == {"open": 1, "opened_by": "console"}


def test_the_sockets_that_are_remembered_are_bounded():
    broker = EmbeddedBroker(ManualClock(), BrokerOptions(max_sockets=100))
    for _ in range(100):
        opened(broker)
    for _ in range(150):
        broker.send_message("anna", "hello")
    kept = broker.journal.after(0)
    assert len(kept) == JOURNAL_SOCKETS // 100
    assert (broker.journal.oldest, kept[0].number, broker.journal.get(50)) == (51, 51, None)
    assert len(broker.control.receipts(kept[0])) == 100


def test_totals_count_by_what_serves_them(broker):
    broker.poll(opened(broker, "a"), 0)
    broker.stream(opened(broker, "b"), 0, lambda: None)
    opened(broker, "c")
    broker.connect(broker.create_channel("d").token)
    broker.create_channel("e")
    totals = broker.control.totals()
    assert (totals.channels, totals.sockets) == (5, {"stream": 1, "poll": 1, "sdk": 1, "none": 1})
    assert (broker.figures.polls, broker.figures.streams) == (1, 1)


def test_presence_is_counted_by_status(broker):
    broker.presence_done("anna", True, 200, seconds=0.0123)
    broker.presence_done("anna", False, None, "The app cannot be reached.")
    assert dict(broker.figures.presence) == {("connected", 200): 1, ("disconnected", None): 1}
    assert broker.events.after(0)[0].detail == {"presence": "connected", "status": 200, "milliseconds": 12.3}
