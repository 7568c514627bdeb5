"""What the log says of events: in plain words, at the right level, and readable in a flood."""

from __future__ import annotations

import logging

import pytest

from appengine_channel_emu.broker.broker import EmbeddedBroker
from appengine_channel_emu.broker.clock import ManualClock
from appengine_channel_emu.broker.contract import BrokerOptions
from appengine_channel_emu.broker.turn import ClockScheduler
from appengine_channel_emu.server.event_lines import EventLines


class Scheduler:
    """One that a test moves."""

    def __init__(self):
        self.time = 0.0
        self.waiting = []

    def now(self):
        return self.time

    def at(self, due, action):
        self.waiting.append((due, action))

    def advance(self, seconds):
        self.time += seconds
        due = [each for each in self.waiting if each[0] <= self.time]
        self.waiting = [each for each in self.waiting if each[0] > self.time]
        for _, action in due:
            action()


@pytest.fixture
def scheduler():
    return Scheduler()


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def broker(scheduler, clock, caplog):
    caplog.set_level(logging.INFO, "channel_emu.event")
    broker = EmbeddedBroker(clock, BrokerOptions(backlog_messages=5))
    broker.events.listen(EventLines(scheduler))
    return broker


def lines(caplog):
    return [(record.levelname, record.getMessage()) for record in caplog.records]


def test_a_page_that_opens_gets_nothing_and_leaves(broker, caplog):
    token = broker.create_channel("anna").token
    broker.send_message("Anna", "hello")
    first = broker.open(token).socket
    broker.open(token)
    broker.send_message("Anna", "hello")
    broker.send_message("anna", "one")
    broker.send_message("anna", "two")
    broker.close(first)
    broker.open(broker.create_channel("bob", opened_by="tail").token)
    assert lines(caplog) == [
        ("WARNING", 'dropped for "Anna": no channel of that name. Not open: "anna"'),
        ("INFO", 'opened for "anna" (1 open)'),
        ("INFO", 'opened for "anna" (2 open)'),
        ("WARNING", 'dropped for "Anna": no channel of that name. Open: "anna"'),
        ("INFO", 'closed for "anna": the page left; 2 unread messages are lost'),
        ("INFO", 'opened for "bob" by tail (1 open)'),
    ]
    assert caplog.records[0].event.kind == "message_dropped"


def test_presence_says_what_was_posted_and_what_the_app_answered(broker, caplog):
    broker.presence_done("anna", True, 200, seconds=0.0121)
    broker.presence_done("anna", True, 404, seconds=0.003)
    broker.presence_done("b\nb", False, 500, "The app's handler raised ValueError.", seconds=1.5)
    assert lines(caplog) == [
        ("INFO", "POST /_ah/channel/connected/ from=anna: the app answered 200 in 12 ms"),
        ("WARNING", "POST /_ah/channel/connected/ from=anna: the app answered 404 in 3 ms"),
        ("WARNING", "POST /_ah/channel/disconnected/ from=b\\nb: the app's handler raised ValueError (in 1500 ms)"),
    ]


def test_a_flood_of_drops_is_counted_and_told_once_a_second(broker, scheduler, caplog):
    for _ in range(500):
        broker.send_message("nobody", "x")
    assert len(lines(caplog)) == 20
    # What is said seldom is not lost in it.
    broker.note("store_failed", "The state cannot be saved.")
    assert lines(caplog)[-1] == ("WARNING", "The state cannot be saved.")
    scheduler.advance(1)
    assert lines(caplog)[-1] == (
        "WARNING",
        "Not shown in the last second: 480 of message_dropped. The console at /_emu/ has the latest.",
    )
    broker.send_message("nobody", "x")
    assert len(lines(caplog)) == 23
    scheduler.advance(5)
    assert len(lines(caplog)) == 23


def test_pages_whose_policies_change_all_the_time_are_no_flood(broker, caplog):
    for _ in range(100):
        broker.note("csp_blocks", "The Content-Security-Policy of / blocks /_ah/channel/jsapi.")
    assert len(lines(caplog)) == 20


def test_thousands_of_pages_that_open_are_counted_too(broker, scheduler, caplog):
    for number in range(300):
        broker.open(broker.create_channel(f"page-{number}").token)
    scheduler.advance(1)
    assert len(lines(caplog)) == 51
    assert "250 of socket_opened" in lines(caplog)[-1][1]


def test_quiet_leaves_the_warnings(scheduler, caplog):
    caplog.set_level(logging.INFO, "channel_emu.event")
    broker = EmbeddedBroker(ManualClock())
    broker.events.listen(EventLines(scheduler, quiet=True))
    broker.open(broker.create_channel("anna").token)
    broker.send_message("bob", "x")
    assert [level for level, _ in lines(caplog)] == ["WARNING"]


def test_a_scheduler_of_the_brokers_own_serves_as_well(clock, caplog):
    caplog.set_level(logging.INFO, "channel_emu.event")
    broker = EmbeddedBroker(clock)
    broker.events.listen(EventLines(ClockScheduler(broker._turn)))
    for _ in range(30):
        broker.send_message("nobody", "x")
    clock.advance(1)
    assert "10 of message_dropped" in lines(caplog)[-1][1]
