"""Several emulators in one process: each app's calls reach its own, and what cannot be known is refused."""

from __future__ import annotations

import sys
import threading
import types

import pytest
from webtest import TestApp

from appengine_channel_emu.testing import AmbiguousEmulator, ChannelServer, Emulator, server_api
from tests.support.waiting import LONG_ENOUGH


def make_app():
    """Sends to "anna" whatever it is asked to, in each of the ways that an app has; counts who is there."""
    from google.appengine.api import channel

    def app(environ, start_response):
        path = environ["PATH_INFO"]
        start_response("200 OK", [("Content-Type", "text/plain")])
        if path == "/lazy":
            return lazily(environ["QUERY_STRING"])
        if path == "/say":
            channel.send_message("anna", environ["QUERY_STRING"])
        elif path.startswith("/_ah/channel/"):
            channel.send_message("anna", path.split("/")[3])
        elif path == "/thread":
            thread = threading.Thread(target=in_a_thread, args=(environ["QUERY_STRING"],))
            thread.start()
            thread.join()
        elif path == "/nested":
            TestApp(app.other).get("/say?from-within")
            channel.send_message("anna", environ["QUERY_STRING"])
        return []

    def lazily(text):
        channel.send_message("anna", text)
        yield b""

    def in_a_thread(text):
        try:
            channel.send_message("anna", text)
        except AmbiguousEmulator as error:
            app.refused.append(str(error))

    app.refused = []
    return app


@pytest.fixture
def two():
    apps = make_app(), make_app()
    with Emulator(apps[0], disconnect_after=0) as one, Emulator(apps[1], disconnect_after=0) as other:
        yield (one, apps[0]), (other, apps[1])


@pytest.mark.parametrize("path", ["/say", "/lazy"])
def test_each_apps_requests_reach_its_own_pages(two, path):
    pages = [emulator.client("anna").open() for emulator, _ in two]
    for number, (emulator, _) in enumerate(two):
        TestApp(emulator).get(f"{path}?{number}")
    assert [page.messages for page in pages] == [["connected", "0"], ["connected", "1"]]


@pytest.mark.parametrize("deadline", [30.0, None])
def test_a_body_that_is_made_while_it_is_read(deadline):
    with Emulator(make_app(), request_deadline=deadline) as one, Emulator(make_app()):
        page = one.client("anna").open()
        TestApp(one).get("/lazy?x")
        assert page.messages == ["connected", "x"]


def test_presence_handlers_too(two):
    (one, _), (other, _) = two
    stays, watches = one.client("anna").open(), other.client("anna").open()
    assert (stays.messages, watches.messages) == (["connected"], ["connected"])
    other.client("anna").open()
    one.client("bert").open().close()
    assert stays.messages == ["connected", "connected", "disconnected"]
    assert watches.messages == ["connected"]


def test_a_request_within_a_request(two):
    (one, app), (other, _) = two
    app.other = other
    pages = one.client("anna").open(), other.client("anna").open()
    TestApp(one).get("/nested?own")
    assert [page.messages for page in pages] == [["connected", "own"], ["connected", "from-within"]]


def test_a_call_from_outside_of_any_request_is_refused_and_says_what_to_do(two):
    from google.appengine.api import channel

    (one, app), (other, _) = two
    page = other.client("anna").open()
    with pytest.raises(AmbiguousEmulator, match=r"with emulator\.leading\(\)"):
        channel.send_message("anna", "whose?")
    with other.leading():
        channel.send_message("anna", "yours")
    TestApp(one).get("/thread?whose?")
    assert len(app.refused) == 1
    assert page.messages == ["connected", "yours"]


def test_where_there_is_one_its_threads_and_the_test_itself_reach_it():
    from google.appengine.api import channel

    app = make_app()
    with Emulator(app) as emulator:
        page = emulator.client("anna").open()
        TestApp(emulator).get("/thread?from-a-thread")
        channel.send_message("anna", "from the test")
        assert page.messages == ["connected", "from-a-thread", "from the test"]


def test_leaving_them_in_whatever_order_harms_none():
    from google.appengine.api import channel

    one, other = Emulator(make_app()), Emulator(make_app())
    pages = [emulator.__enter__().client("anna").open() for emulator in (one, other)]
    one.__exit__(None, None, None)
    channel.send_message("anna", "to the other")
    TestApp(other).get("/say?as-well")
    assert pages[1].messages == ["connected", "to the other", "as-well"]
    other.__exit__(None, None, None)
    one.__exit__(None, None, None)


def test_those_that_nobody_entered():
    """The latest leads, until it is left; one that was entered is not robbed by a later one."""
    from google.appengine.api import channel

    first, second = Emulator(), Emulator()
    assert second.broker.client_id_of(channel.create_channel("anna")) == "anna"
    second.__exit__()
    assert first.broker.client_id_of(channel.create_channel("anna")) == "anna"
    with Emulator() as entered:
        assert entered.broker.client_id_of(channel.create_channel("anna")) == "anna"
        later = Emulator()
        with pytest.raises(AmbiguousEmulator):
            channel.create_channel("anna")
        later.__exit__()
        assert entered.broker.client_id_of(channel.create_channel("anna")) == "anna"
    assert first.broker.client_id_of(channel.create_channel("anna")) == "anna"
    first.__exit__()


def test_the_app_of_a_server_asks_that_server():
    with ChannelServer(make_app()) as server, Emulator(make_app()) as emulator:
        pages = server.client("anna").open(), emulator.client("anna").open()
        assert server.client("bert").open().error is None
        assert pages[0].receive(LONG_ENOUGH) == "connected"
        assert pages[0].receive(LONG_ENOUGH) == "connected"
        assert pages[1].messages == ["connected"]
        server.close_pages()


def test_a_module_that_a_test_has_put_there_is_left_alone(monkeypatch):
    monkeypatch.setitem(sys.modules, "google.appengine.api.channel.channel", types.ModuleType("channel"))
    with Emulator() as emulator:
        assert emulator.create_channel("anna")


def test_one_that_is_let_go_of_by_the_garbage_collector(monkeypatch):
    """At any allocation, also one that is made while the emulators in use are looked at."""
    from google.appengine.api.channel import channel

    def hold(emulator):
        with emulator:
            yield

    former = Emulator()
    transport = channel.transport
    held = hold(Emulator())
    next(held)
    with server_api.in_use._lock, server_api._routing._lock:
        held.close()
    assert channel.transport is transport
    assert former.broker.client_id_of(channel.create_channel("anna")) == "anna"


def test_a_body_that_cannot_be_read_is_closed():
    closed = []

    class Body:
        def __iter__(self):
            raise KeyError("of the app")

        def close(self):
            closed.append(True)

    def app(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return Body()

    for deadline in (30, None):
        with pytest.raises(KeyError, match="of the app"):
            TestApp(Emulator(app, request_deadline=deadline)).get("/")
    assert closed == [True, True]
