"""Our browser client in each engine of browsers: what an engine may do in its own way."""

from __future__ import annotations

import pytest

from tests.browser.engines import ENGINES, launch
from tests.browser.tab import Tab

OPENED = ["onopen", {}]
CLOSED = ["onclose", {}]
TEXTS = ["hello", '{"messages": ["x"]}', "</script>", "\u2028", "\0", "Grüße 😀 שלום", "x" * 32767]
TRANSPORTS = ["xhr", "iframe", "short", "websocket"]
STREAM, POLL = "stream", "poll"
"""What a socket waits by, as the admin API names it."""

NOTE_RETURN = "addEventListener('pageshow', (event) => { window.restored = event.persisted; })"

IN_FRAME = """([script, token, attributes]) => {
    window.heard = [];
    addEventListener('message', (event) => { if (typeof event.data === 'object') heard.push(event.data); });
    const page = `<body><script src="${script}"></script><script>
        const tell = (name) => (event) => parent.postMessage([name, event], '*');
        const socket = new goog.appengine.Channel('${token}').open(
            {onopen: tell('onopen'), onmessage: tell('onmessage'), onerror: tell('onerror'), onclose: tell('onclose')});
        </script>`;
    const frame = document.body.appendChild(document.createElement('iframe'));
    for (const [name, value] of Object.entries(attributes)) frame.setAttribute(name, value);
    if (!frame.sandbox.value) frame.src = 'data:text/html,' + encodeURIComponent(page); else frame.srcdoc = page;
}"""
"""A frame without an origin of its own; what its socket's handlers are called with comes to `heard`."""


@pytest.fixture(scope="module", params=[pytest.param(name, marks=pytest.mark.slow) for name in ENGINES])
def engine(request):
    with launch(request.param) as engine:
        yield engine


@pytest.fixture
def tab(engine):
    page = engine.new_page()
    yield Tab(page)
    page.close()


def open_tab(tab, emulator, path="/", transport=""):
    tab.visit(emulator.url + path, f"{emulator.url}/_ah/channel/jsapi?transport={transport}")
    assert (tab.page.evaluate("goog.appengine.Socket.TRANSPORT") or "") == transport
    tab.open(emulator.create_channel("anna"))
    tab.wait(1)


def gets_every_message(tab, emulator):
    """Of a socket that has just been opened."""
    for text in TEXTS:
        assert emulator.send("anna", text) == 1
    assert [name for name, _ in tab.wait_for(1 + len(TEXTS))] == ["onopen"] + ["onmessage"] * len(TEXTS)
    assert tab.texts() == TEXTS


def is_kept(tab, engine, emulator, transport):
    """Goes to another page; whether the browser keeps this one for its user's return, as one that is only hidden."""
    tab.page.evaluate(NOTE_RETURN)
    tab.page.goto(f"{emulator.url}/elsewhere")
    # Firefox keeps no page with a request under way.
    return transport == "short" or not engine.version.startswith("firefox")


def the_page_has_said_so(emulator):
    """The app was told of both ends, and of the second not because the page had vanished."""
    assert emulator.presence(2) == [("connected", "anna"), ("disconnected", "anna")]
    assert {event["text"] for event in emulator.events("socket_closed")} == {"The page left."}


@pytest.mark.parametrize("transport", TRANSPORTS)
class TestOnEveryTransport:
    @pytest.mark.parametrize("path", ["/", "/sandbox"])
    def test_messages_arrive_with_and_without_an_origin(self, tab, emulator, transport, path):
        open_tab(tab, emulator, path, transport)
        gets_every_message(tab, emulator)
        tab.close()
        assert tab.wait_for(2 + len(TEXTS))[-1] == CLOSED
        the_page_has_said_so(emulator)

    def test_messages_arrive_at_a_page_of_another_site(self, tab, emulator, other_origin, transport):
        script = f"{emulator.url}/_ah/channel/jsapi?transport={transport}"
        tab.visit(other_origin.replace("127.0.0.1", "localhost"), script)
        tab.open(emulator.create_channel("anna"))
        tab.wait(1)
        gets_every_message(tab, emulator)
        tab.page.reload()
        the_page_has_said_so(emulator)

    @pytest.mark.parametrize("sandbox", ["allow-scripts", ""])
    def test_messages_arrive_in_a_frame_without_an_origin(self, tab, emulator, transport, sandbox):
        tab.visit(emulator.url, script=None)
        script = f"{emulator.url}/_ah/channel/jsapi?transport={transport}"
        attributes = {"sandbox": sandbox} if sandbox else {}
        tab.page.evaluate(IN_FRAME, [script, emulator.create_channel("anna"), attributes])
        tab.page.wait_for_function("heard.length === 1")
        emulator.send("anna", "hello")
        tab.page.wait_for_function("heard.length === 2")
        assert tab.page.evaluate("heard") == [OPENED, ["onmessage", {"data": "hello"}]]

    def test_an_invalid_token(self, tab, emulator, transport):
        tab.visit(emulator.url, f"/_ah/channel/jsapi?transport={transport}")
        tab.open("no-such-token")
        assert tab.wait_for(2) == [["onerror", {"code": 401, "description": "Invalid+token."}], CLOSED]

    def test_a_cut_connection_goes_unnoticed(self, tab, emulator, transport):
        open_tab(tab, emulator, transport=transport)
        for number in range(3):
            emulator.cut()
            assert emulator.send("anna", str(number)) == 1
            tab.wait(2 + number)
        assert tab.texts() == ["0", "1", "2"]

    def test_a_page_that_is_loaded_again_says_so(self, tab, emulator, transport):
        open_tab(tab, emulator, transport=transport)
        tab.page.reload()
        the_page_has_said_so(emulator)

    def test_a_page_that_is_left_and_restored_lives_on(self, engine, tab, emulator, transport):
        open_tab(tab, emulator, transport=transport)
        if not is_kept(tab, engine, emulator, transport):
            return the_page_has_said_so(emulator)
        assert emulator.send("anna", "while away") == 1
        tab.page.go_back()
        tab.page.wait_for_function("window.restored")  # The very page that was left.
        tab.wait(2)
        emulator.send("anna", "back again")
        assert [name for name, _ in tab.wait_for(3)] == ["onopen", "onmessage", "onmessage"]
        assert tab.texts() == ["while away", "back again"]


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["webkit"], indirect=True)
def test_the_basics(tab, emulator):
    """In the engine that no other test has."""
    open_tab(tab, emulator)
    for number in range(3):
        emulator.send("anna", str(number))
        tab.wait(2 + number)
    emulator.wait_for_transport(STREAM)
    emulator.send("anna", "over the stream")
    tab.wait(5)
    assert tab.texts() == ["0", "1", "2", "over the stream"]
    tab.close()
    assert tab.wait_for(6)[-1] == CLOSED
    the_page_has_said_so(emulator)


class TestByItself:
    """A page that has asked for no transport."""

    @pytest.mark.parametrize("path", ["/", "/sandbox"])
    def test_a_stream_once_one_has_worked(self, tab, emulator, path):
        open_tab(tab, emulator, path)
        emulator.wait_for_transport(STREAM)
        gets_every_message(tab, emulator)

    def test_polls_where_streams_are_refused(self, tab, emulator):
        emulator.fault(stage="stream", action="error", error="503")
        open_tab(tab, emulator)
        gets_every_message(tab, emulator)
        emulator.wait_for_transport(POLL)

    def test_polls_when_the_stream_has_ended_and_no_other_works(self, tab, emulator):
        open_tab(tab, emulator)
        emulator.wait_for_transport(STREAM)
        emulator.fault(stage="stream", action="drop")
        emulator.cut()
        gets_every_message(tab, emulator)
        emulator.wait_for_transport(POLL)


@pytest.mark.parametrize("transport", ["xhr", ""])
def test_a_restart_goes_unnoticed(tab, serve, tmp_path, transport):
    emulator = serve(state_dir=tmp_path / "state")
    open_tab(tab, emulator, transport=transport)
    emulator.wait_for_transport(POLL if transport else STREAM)
    emulator.send("anna", "before")
    emulator.stop()
    emulator.start()
    emulator.send("anna", "after")
    tab.wait(3)
    assert tab.texts() == ["before", "after"]
    emulator.wait_for_transport(POLL if transport else STREAM)


def test_an_iframe_where_the_page_may_not_ask(tab, emulator):
    open_tab(tab, emulator, "/framed")
    emulator.send("anna", "hello")
    tab.wait(2)
    assert tab.texts() == ["hello"]


def test_removing_the_hidden_element_closes_the_socket(tab, emulator):
    open_tab(tab, emulator)
    tab.page.evaluate("document.getElementById('wcs-iframe').remove()")
    assert tab.wait_for(2)[-1] == CLOSED
    assert emulator.send("anna", "too late") == 0


def test_a_tab_that_is_closed_is_reported(engine, emulator):
    tab = Tab(engine.new_page())
    open_tab(tab, emulator)
    tab.page.close()
    assert emulator.presence(2) == [("connected", "anna"), ("disconnected", "anna")]


def test_a_page_that_is_restored_too_late_knows_that_it_is_closed(engine, tab, emulator):
    open_tab(tab, emulator, transport="short")
    assert is_kept(tab, engine, emulator, "short")
    assert emulator.presence(2)[1] == ("disconnected", "anna")
    emulator.advance(120)
    assert emulator.send("anna", "to nobody") == 0
    tab.page.go_back()
    tab.page.wait_for_function("window.restored")
    assert tab.wait_for(3) == [OPENED, ["onerror", {"code": 410, "description": "Socket+gone."}], CLOSED]
