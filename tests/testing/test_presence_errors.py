"""A presence handler that raises is seen by who writes the test; and the app hears of every page that ends with it."""

from __future__ import annotations

import logging

import pytest

from appengine_channel_emu.testing import ChannelServer, Emulator, NoMessage, PresenceHandlerError


def app(environ, start_response):
    if environ["PATH_INFO"].endswith("/connected/"):
        raise LookupError("no such user")
    start_response("200 OK", [("Content-Type", "text/plain")])
    return []


def lazy(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield b""
    raise LookupError("no such user")


def failing(environ, start_response):
    pytest.fail("no such user")


@pytest.mark.parametrize("broken", [app, lazy, failing])
def test_it_is_logged_an_event_and_raised_at_the_end(broken, caplog):
    emulator = Emulator(broken).__enter__()
    page = emulator.client("anna").open()
    emulator.send_message("anna", "still here")
    assert page.receive() == "still here"
    with pytest.raises(PresenceHandlerError, match=r"connected/ raised .*no such user") as raised:
        emulator.__exit__(None, None, None)
    cause = raised.value.__cause__
    assert type(cause).__name__ in ("LookupError", "Failed")
    record = caplog.records[0]
    assert (record.levelno, record.exc_info[1]) == (logging.ERROR, cause)
    event = next(event for event in emulator.broker.events.after(0) if event.kind == "presence_failed")
    assert event.text == f"The app's handler raised {type(cause).__name__}: no such user."
    assert (event.client_id, event.detail["presence"], event.detail["status"]) == ("anna", "connected", 500)
    assert emulator.presence_errors == []


def fail_within(emulator):
    with emulator:
        emulator.client("anna").open()
        raise ZeroDivisionError


def test_of_a_block_that_fails_by_itself_only_that_is_raised(caplog):
    with pytest.raises(ZeroDivisionError):
        fail_within(Emulator(app))
    assert "no such user" in caplog.text


def test_a_test_that_means_it_clears_it():
    with Emulator(app) as emulator:
        emulator.client("anna").open()
        (error,) = emulator.presence_errors
        assert isinstance(error.__cause__, LookupError)
        emulator.presence_errors.clear()
    with Emulator(failing) as emulator:
        emulator.client("anna").open()
        emulator.presence_errors.clear()  # disconnected/, at the end, is to raise as well


def test_one_that_raises_at_the_end_alone():
    def disconnects_badly(environ, start_response):
        assert environ["PATH_INFO"] == "/_ah/channel/connected/"
        start_response("200 OK", [("Content-Type", "text/plain")])
        return []

    emulator = Emulator(disconnects_badly).__enter__()
    emulator.client("anna").open()
    with pytest.raises(PresenceHandlerError, match=r"disconnected/ raised AssertionError"):
        emulator.__exit__(None, None, None)
    emulator.__exit__(None, None, None)


def test_a_message_that_does_not_come_is_told_why():
    with Emulator(app) as emulator:
        page = emulator.client("anna").open()
        with pytest.raises(
            NoMessage, match=r"not told of \"anna\" \(connected\). The app's handler raised LookupError: no such user\."
        ):
            page.receive(timeout=0)
        emulator.presence_errors.clear()


def test_that_of_a_server(caplog):
    with ChannelServer(app) as server:
        assert server.client("anna").open().error is None
        (error,) = server.presence_errors
        assert isinstance(error.__cause__, LookupError)
        server.close_pages()
    assert "no such user" in caplog.text


class Guests:
    """An app with a global: who is there."""

    def __init__(self):
        self.there = set()

    def __call__(self, environ, start_response):
        name = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"] or 0)).decode().removeprefix("from=")
        (self.there.add if environ["PATH_INFO"].endswith("/connected/") else self.there.discard)(name)
        start_response("200 OK", [("Content-Type", "text/plain")])
        return []


@pytest.mark.parametrize("how", ["open", "closed", "vanished", "of another client", "with presence lost on request"])
def test_the_app_hears_of_every_page_that_ends_with_the_block(how):
    guests = Guests()
    with Emulator(guests) as emulator:
        page = emulator.client("anna").open()
        emulator.client("bert").open()
        assert guests.there == {"anna", "bert"}
        emulator.send_message("anna", "unread")
        if how == "closed":
            page.close()
        elif how == "vanished":
            page.vanish()
        elif how == "of another client":
            emulator.broker.open(emulator.create_channel("carl"))
            assert "carl" in guests.there
        elif how == "with presence lost on request":
            emulator.faults.add("presence drop")
    assert guests.there == set()
    assert how != "open" or page.messages == ["unread"]


def test_and_of_those_that_end_with_a_block_that_fails():
    guests = Guests()
    with pytest.raises(ZeroDivisionError):
        fail_within(Emulator(guests))
    assert guests.there == set()


def test_and_of_those_of_a_server():
    guests = Guests()
    with ChannelServer(guests) as server:
        server.client("anna").open()
        assert guests.there == {"anna"}
        server.close_pages()
        assert guests.there == set()
