"""Time in which the emulator itself stood still counts against no socket (behaviour.md 2)."""

from __future__ import annotations

import time

import pytest

from appengine_channel_emu.broker.broker import EmbeddedBroker
from appengine_channel_emu.broker.clock import SystemClock
from appengine_channel_emu.broker.contract import BrokerOptions
from appengine_channel_emu.broker.errors import BacklogExceeded, SocketGone, TokenTimedOut
from tests.support.clocks import StoppableClock

ATTACHED = 5
WINDOW = 60
GRACE = 2


class App:
    """A broker, and what the app was told."""

    def __init__(self, **options):
        self.told = []
        self.clock = StoppableClock()
        self.broker = EmbeddedBroker(self.clock, BrokerOptions(**options), self._post)

    def _post(self, client_id, connected):
        self.told.append(connected)
        self.broker.presence_done(client_id, connected, 200)

    def open(self, minutes=120):
        return self.broker.open(self.broker.create_channel("bob", minutes).token).socket


@pytest.fixture
def app():
    return App()


def test_a_socket_between_two_polls_stays(app):
    socket = app.open()
    app.clock.stand_still(80)
    app.broker.poll(socket, 0)
    assert app.told == [True]


def test_a_poll_that_was_parked_and_then_answered_leaves_its_socket_all_its_time(app):
    socket = app.open()
    poll = app.broker.poll(socket, 0)
    app.clock.stand_still(3600)
    app.broker.take(poll)
    app.clock.advance(ATTACHED + WINDOW - 1)
    app.broker.poll(socket, 0)


def test_what_had_passed_before_still_counts(app):
    socket = app.open()
    app.clock.advance(ATTACHED + 50)
    app.clock.stand_still(600)
    app.clock.advance(9)
    app.broker.release(app.broker.poll(socket, 0))
    app.clock.advance(ATTACHED + 50)
    app.clock.stand_still(600)
    app.clock.advance(10)
    with pytest.raises(SocketGone):
        app.broker.poll(socket, 0)


def test_many_short_ones_count_as_one_long_one(app):
    socket = app.open()
    for _ in range(100):
        app.clock.stand_still(2)
        app.clock.advance(0.5)
    app.broker.poll(socket, 0)


def test_the_app_hears_nothing_of_it(app):
    socket = app.open()
    app.clock.advance(ATTACHED + 1)
    app.clock.stand_still(600)
    assert app.told == [True]
    app.broker.release(app.broker.poll(socket, 0))
    app.clock.advance(ATTACHED + GRACE - 1)
    assert app.told == [True]
    app.clock.advance(1)
    assert app.told == [True, False]


def test_a_poller_of_the_sdks_wire_does_not_flap(app):
    token = app.broker.create_channel("bob").token
    app.broker.connect(token)
    for _ in range(5):
        app.clock.advance(0.5)
        app.broker.poll_one(token)
    app.clock.stand_still(600)
    app.clock.advance(0.5)
    app.broker.poll_one(token)
    assert app.told == [True]
    # Nor is the standstill taken for its interval.
    app.clock.advance(2 + GRACE)
    assert app.told == [True, False]


def test_a_token_times_out_by_the_clock_all_the_same(app):
    socket = app.open(minutes=1)
    app.clock.stand_still(80)
    with pytest.raises(TokenTimedOut):
        app.broker.poll(socket, 0)


def test_why_a_socket_ended_is_still_known_to_a_page_that_could_not_ask():
    app = App(backlog_messages=1)
    app.clock.stand_still(600)
    socket = app.open()
    app.broker.send_message("bob", "one")
    app.broker.send_message("bob", "two")
    app.clock.stand_still(600)
    with pytest.raises(BacklogExceeded):
        app.broker.poll(socket, 0)
    app.clock.advance(WINDOW)
    with pytest.raises(SocketGone):
        app.broker.poll(socket, 0)


def test_a_clock_that_is_moved_on_is_no_standstill(app):
    socket = app.open()
    app.clock.advance(ATTACHED + WINDOW)
    with pytest.raises(SocketGone):
        app.broker.poll(socket, 0)


class TestSystemClock:
    class Machine:
        now = 1000.0

        def __call__(self):
            return self.now

    @pytest.fixture
    def machine(self):
        return self.Machine()

    @pytest.fixture
    def clock(self, machine):
        return SystemClock(machine)

    def test_time_that_nobody_looked_at_was_stood_still(self, machine, clock):
        began = clock.now()
        machine.now += 80
        assert clock.now() - began == 80
        assert clock.uptime() - began == pytest.approx(0.5)
        machine.now += 0.4
        assert clock.uptime() - began == pytest.approx(0.9)

    def test_looking_in_time_counts_all_of_it(self, machine, clock):
        began = clock.now()
        for _ in range(50):
            machine.now += 0.2
            clock.uptime()
        assert clock.uptime() - began == pytest.approx(10)

    def test_a_process_that_runs_a_tenth_of_the_time(self, machine, clock):
        began = clock.now()
        for _ in range(10):
            machine.now += 9
            clock.uptime()
            machine.now += 1
            clock.uptime()
        assert clock.now() - began == pytest.approx(100)
        assert clock.uptime() - began == pytest.approx(10)

    def test_advancing_it_moves_both(self, machine, clock):
        began = clock.now()
        machine.now += 80
        lag = clock.now() - clock.uptime()
        clock.advance(7200)
        assert clock.now() - began == 7280
        assert clock.now() - clock.uptime() == pytest.approx(lag)

    def test_while_it_is_frozen_nothing_passes(self, machine, clock):
        clock.freeze(True)
        now, uptime = clock.now(), clock.uptime()
        machine.now += 80
        assert (clock.now(), clock.uptime()) == (now, uptime)
        clock.freeze(False)
        assert (clock.now(), clock.uptime()) == (now, uptime)
        machine.now += 0.3
        assert clock.uptime() - uptime == pytest.approx(0.3)

    def test_the_machines_sleep_is_part_of_its_time(self, monkeypatch):
        """Else a token would outlive its expiry by the time for which the lid was closed."""
        slept = {1: 1000.0, 7: 1000.0}
        monkeypatch.setattr(time, "CLOCK_MONOTONIC", 1, raising=False)
        monkeypatch.setattr(time, "CLOCK_BOOTTIME", 7, raising=False)
        monkeypatch.setattr(time, "clock_gettime", slept.get)
        clock = SystemClock()
        began = clock.now()
        slept[7] += 3600
        assert clock.now() - began == 3600
        assert clock.uptime() - began == pytest.approx(0.5)

    def test_the_brokers_timers_are_what_looks_at_it(self, machine, clock):
        broker = EmbeddedBroker(clock)
        socket = broker.open(broker.create_channel("bob").token).socket
        for _ in range(5 * 70):
            machine.now += 0.2
            broker.run_due()
        with pytest.raises(SocketGone):
            broker.poll(socket, 0)
