"""The request deadline in process: sleeping moves the clock, and costs no time (behaviour.md 10)."""

from __future__ import annotations

import contextlib
import sys
import time
import types
from time import sleep

import pytest
from webtest import TestApp

from appengine_channel_emu.host.runner import deadline
from appengine_channel_emu.testing import Emulator
from appengine_channel_emu.testing import deadline as deadline_in_process


def app_that(handler):
    def app(environ, start_response):
        text = handler()
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [text.encode()]

    return app


def test_a_handler_that_sleeps_past_its_deadline_is_cut_at_once_and_at_the_right_time():
    emulator = Emulator(app_that(lambda: time.sleep(3600) or "late"))
    began = emulator.clock.now()
    answer = TestApp(emulator).get("/slow", status=500)
    assert "late" not in answer.text
    assert emulator.clock.now() == began + 30
    (account,) = TestApp(emulator).get("/_emu/accounts").json["accounts"]
    assert account["cut"] == 1
    assert [event.kind for event in emulator.broker.events.after(0)] == ["request_cut"]


def test_many_short_sleeps_add_up():
    naps = []

    def handler():
        while len(naps) < 100:
            time.sleep(1)
            naps.append(1)
        return "done"

    TestApp(Emulator(app_that(handler))).get("/", status=500)
    assert len(naps) == 29
    naps.clear()
    assert TestApp(Emulator(app_that(handler), request_deadline=200)).get("/").text == "done"


def test_a_handler_that_catches_the_exception_answers_itself():
    def handler():
        from google.appengine.runtime import DeadlineExceededError

        try:
            time.sleep(31)
        except DeadlineExceededError as error:
            return str(error)

    answer = TestApp(Emulator(app_that(handler))).get("/")
    assert answer.text == "The overall deadline for responding to the HTTP request was exceeded."


def test_one_that_goes_on_for_more_than_half_a_second_has_answered_in_vain():
    def handler():
        from google.appengine.runtime import DeadlineExceededError

        for _ in range(2):
            with contextlib.suppress(DeadlineExceededError):
                time.sleep(31)
        return "in vain"

    assert "in vain" not in TestApp(Emulator(app_that(handler))).get("/", status=500).text


def busy_for_ever():
    while True:
        pass


def test_a_busy_loop_moves_no_clock_and_is_cut_by_real_time():
    emulator = Emulator(app_that(busy_for_ever), busy_deadline=0.2)
    began = emulator.clock.now()
    for _ in range(2):
        TestApp(emulator).get("/busy", status=500)
    assert emulator.clock.now() == began
    assert [event.kind for event in emulator.broker.events.after(0)] == ["request_cut"] * 2


def test_a_busy_handler_that_catches_the_exception_answers_itself_if_it_is_quick():
    from google.appengine.runtime import DeadlineExceededError

    def handler(seconds):
        try:
            busy_for_ever()
        except DeadlineExceededError:
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                pass
            return "sorry"

    assert TestApp(Emulator(app_that(lambda: handler(0)), busy_deadline=0.2)).get("/").text == "sorry"
    late = TestApp(Emulator(app_that(lambda: handler(0.6)), busy_deadline=0.2)).get("/", status=500)
    assert "sorry" not in late.text


def test_the_exception_never_strikes_after_the_handler():
    """Handlers that end about when their time is up, in a test that goes on."""
    emulator = TestApp(Emulator(app_that(lambda: _busy_for(0.02)), busy_deadline=0.02))
    for _ in range(50):
        assert emulator.get("/", expect_errors=True).status_int in (200, 500)
        _busy_for(0.002)


def _busy_for(seconds):
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass
    return "done"


def test_a_busy_handler_without_a_busy_deadline_ends_by_itself():
    emulator = Emulator(app_that(lambda: _busy_for(0.3)), busy_deadline=None)
    assert TestApp(emulator).get("/").text == "done"


def test_except_exception_does_not_catch_it():
    def handler():
        try:
            time.sleep(31)
        except Exception:
            return "caught"

    TestApp(Emulator(app_that(handler))).get("/", status=500)


def test_an_answer_is_never_sent_in_part():
    def app(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        yield b"first"
        time.sleep(31)
        yield b"second"

    assert "first" not in TestApp(Emulator(app)).get("/", status=500).text


def test_a_held_request_sees_tokens_time_out_while_it_sleeps():
    emulator = Emulator(app_that(lambda: time.sleep(20) or "done"), presence=False)
    client = emulator.client(token=emulator.create_channel("anna", 1)).open()
    for _ in range(3):
        assert client.error is None
        assert TestApp(emulator).get("/").text == "done"
    assert client.error.description == "Token+timed+out."


def test_the_apps_own_errors_stay_its_own():
    def handler():
        raise KeyError("of the app")

    with pytest.raises(KeyError, match="of the app"):
        TestApp(Emulator(app_that(handler))).get("/")


def test_outside_a_handler_sleep_takes_its_time(monkeypatch):
    slept = []
    monkeypatch.setattr(time, "sleep", slept.append)
    with Emulator(app_that(lambda: "done")) as emulator:
        began = emulator.clock.now()
        TestApp(emulator).get("/")
        time.sleep(31)
        assert slept == [31]
        assert emulator.clock.now() == began


def test_an_app_that_has_its_own_name_for_sleep():
    emulator = Emulator(app_that(lambda: sleep(3600) or "late"))
    TestApp(emulator).get("/", status=500)
    with emulator:
        TestApp(emulator).get("/", status=500)


SYSTEM_SLEEP = [time.sleep]
"""Not a name of its own, which would be replaced."""


def test_a_sleep_that_a_test_has_put_there_is_called_in_handlers_too(monkeypatch):
    slept = []
    monkeypatch.setattr(time, "sleep", slept.append)
    emulator = Emulator(app_that(lambda: time.sleep(31) or "done"))
    began = emulator.clock.now()
    assert TestApp(emulator).get("/").text == "done"
    assert slept == [31]
    assert emulator.clock.now() == began


def test_one_that_is_undone_when_the_emulator_has_been_left(monkeypatch):
    """As where a test asks for monkeypatch before the emulator."""
    with Emulator(app_that(lambda: time.sleep(31) or "late")) as emulator:
        monkeypatch.setattr(time, "sleep", lambda seconds: None)
    monkeypatch.undo()
    time.sleep(0)
    TestApp(emulator).get("/", status=500)
    assert time.sleep is SYSTEM_SLEEP[0]
    time.sleep(0)


def test_one_that_a_test_has_put_into_the_apps_module(monkeypatch):
    emulator = TestApp(Emulator(app_that(lambda: sleep(31) or "done")))
    emulator.get("/", status=500)
    slept = []
    monkeypatch.setitem(globals(), "sleep", slept.append)
    assert emulator.get("/").text == "done"
    assert slept == [31]
    emulator.get("/")
    assert slept == [31, 31]


def test_a_module_that_replaces_another_gets_it_too(monkeypatch):
    for _ in range(3):
        app = types.ModuleType("an_app_of_this_test")
        app.sleep = time.sleep
        monkeypatch.setitem(sys.modules, "an_app_of_this_test", app)
        TestApp(Emulator(app_that(lambda app=app: app.sleep(3600) or "late"))).get("/", status=500)


def test_our_own_threads_sleep_in_real_time():
    with Emulator():
        assert time.sleep is not SYSTEM_SLEEP[0]
        assert deadline._sleep is SYSTEM_SLEEP[0]


def test_it_may_be_needed_while_it_is_being_put_there():
    """As by a signal's handler, or by what the garbage collector ends."""
    with deadline_in_process._sleeping._lock, Emulator(app_that(lambda: time.sleep(31) or "late")) as emulator:
        TestApp(emulator).get("/", status=500)
    assert time.sleep is SYSTEM_SLEEP[0]
