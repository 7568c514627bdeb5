"""What a test is told when a message does not come: by `NoMessage`, by `explain()`, and in a terminal."""

from __future__ import annotations

import pickle

import pytest

from appengine_channel_emu.testing import (
    ChannelClient,
    ChannelServer,
    Emulator,
    EmulatorAway,
    NoMessage,
    PresenceHandlerError,
)
from appengine_channel_emu.testing.story import tell
from appengine_channel_emu.testing.transports import Reply
from tests.support.waiting import eventually
from tests.testing.test_docs import run_pytest


def app(environ, start_response):
    """Knows nobody of the name of Carl."""
    if b"from=carl" in environ["wsgi.input"].read():
        raise LookupError("no user carl\nsee the manual")
    start_response("200 OK", [("Content-Type", "text/plain")])
    return []


@pytest.fixture(params=["in process", "poll", "stream"])
def emulator(request):
    with (Emulator if request.param == "in process" else ChannelServer)(app) as emulator:
        emulator.way = "stream" if request.param == "stream" else "poll"
        yield emulator
        emulator.presence_errors.clear()


def page_of(emulator, client_id="anna"):
    return emulator.client(client_id, transport=emulator.way).open()


def why(page, timeout=0.0):
    with pytest.raises(NoMessage) as raised:
        page.receive(timeout)
    return str(raised.value).split("\n")


def state(emulator, arrived):
    way = "over a WebSocket" if emulator.way == "stream" else "by long polls"
    return f"The socket of this page is open, {way}. {arrived} arrived so far."


def test_the_likeliest_reason_comes_first_then_the_socket_then_the_rest(emulator):
    page = page_of(emulator)
    emulator.send_message("Anna", "hello")
    assert why(page) == [
        '1 message was sent to "Anna", which is not "anna": upper and lower case differ.',
        "    Send to the client id letter by letter as create_channel was given it.",
        state(emulator, "No messages"),
        'A page of "anna" is open. No message was sent to it.',
        "    Look whether the app has called send_message, for this client id and at this emulator.",
    ]


def test_how_long_it_has_waited_is_told(emulator):
    page = page_of(emulator)
    emulator.send_message("anna", "hello")
    assert page.receive() == "hello"
    assert f"receive() has waited 0.05 s. {state(emulator, '1 message')}" in why(page, 0.05)


def test_explain_tells_the_same_at_any_time(emulator):
    page = page_of(emulator)
    emulator.send_message("Anna", "hello")
    assert page.explain().split("\n") == why(page)
    emulator.send_message("anna", "hello")
    assert page.receive() == "hello"
    eventually(page.explain, lambda story: 'The page of "anna" has 1 of 1 message' in story)
    assert "onmessage, not onMessage" in page.explain()


def test_a_presence_handler_that_raised_is_told_with_what_it_said(emulator):
    page = page_of(emulator, "carl")

    def told():
        return page.explain().split("\n")[0]

    text = 'The app was not told of "carl" (connected). The app\'s handler raised LookupError: no user carl.'
    assert eventually(told, lambda line: "raised" in line) == text


def test_a_fault_in_force_is_told(emulator):
    page = page_of(emulator)
    emulator.faults.add("send drop")
    emulator.send_message("anna", "hello")
    first, _, _, second, *_ = why(page)
    assert first == 'A fault on request is in force: send drop. It has happened to "anna" 1 time.'
    assert second == '1 message to "anna" was dropped: a fault on request (send drop).'


def test_that_the_clock_was_moved_is_told_where_a_token_timed_out(emulator):
    page = page_of(emulator)
    emulator.advance(2 * 60 * 60)
    emulator.send_message("anna", "hello")
    lines = why(page)
    assert lines[0].startswith('1 message to "anna" was dropped: its token timed out')
    assert "The socket of this page has ended: 401 Token+timed+out. No messages arrived before." in lines
    assert any(line.startswith("The clock was moved on by 72") for line in lines)


def test_a_page_whose_token_was_refused(emulator):
    client = emulator.client(token="undefined", transport=emulator.way).open()
    assert why(client)[0] == client.explain().split("\n")[0]
    assert '"undefined"' in client.explain()
    assert "open() was refused: 401 Invalid+token." in client.explain()


def test_a_page_that_was_never_opened(emulator):
    client = emulator.client("anna", transport=emulator.way)
    # At once, whatever it is to wait.
    lines = why(client, timeout=60)
    assert lines[0] == '"anna" has a token, and no page has opened its channel.'
    assert "This page was never opened: call open(), or use it in a with block." in lines
    assert client.explain().split("\n") == lines


@pytest.mark.parametrize(
    ("leave", "text"),
    [
        (ChannelClient.close, "This page has closed its socket. No messages arrived before."),
        (ChannelClient.vanish, "This page has gone without a word: vanish() was called. No messages arrived before."),
    ],
)
def test_a_page_that_has_left(emulator, leave, text):
    page = page_of(emulator)
    leave(page)
    assert text in why(page, timeout=60)
    page.open()
    assert state(emulator, "No messages") in page.explain()


def test_a_page_of_which_the_test_has_no_client(emulator):
    emulator.send_message("Anna", "hello")
    emulator.create_channel("anna")
    assert emulator.explain("anna").startswith('1 message was sent to "Anna", which is not "anna"')


def test_an_emulator_that_has_gone_is_the_story():
    with ChannelServer() as server:
        page = server.client("anna").open()
        never = server.client("bert")
        gone = f"No emulator answers at {server.url}: "
    for client in (page, never):
        first, second = client.explain().split("\n")
        assert first.startswith(gone)
        assert second.startswith("This page ")


def test_an_emulator_that_does_not_say():
    class Refusing:
        def request(self, method, path, query, body=None):
            return Reply(403, "Forbidden", b"This machine alone may ask.\n")

    told = tell(Refusing(), "anna", None, ["The socket of this page is open."])
    assert told.split("\n") == [
        "The emulator does not say why: 403 This machine alone may ask.",
        "The socket of this page is open.",
    ]


def test_many_findings_are_cut_short():
    with Emulator() as emulator:
        page = emulator.client("anna").open()
        for number in range(1, 20):
            emulator.send_message("anna" + number * " ", "hello")
        assert len(why(page)) < 16


@pytest.mark.parametrize(
    "error",
    [
        NoMessage("two\nlines"),
        PresenceHandlerError("text"),
        EmulatorAway("http://127.0.0.1:9", ConnectionRefusedError("Connection refused")),
    ],
)
def test_what_is_raised_can_be_sent_to_another_process(error):
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again)) == (type(error), str(error))


FAILING = """
import pytest
from webtest import TestApp
from appengine_channel_emu.testing import ChannelClient, ChannelServer, Emulator

def chat(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/_ah/channel/connected/":
        {}["who"]  # no such key
    if path == "/broken":
        raise ZeroDivisionError("in the app")
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b""]

@pytest.fixture
def channel_app():
    return chat

def test_in_process(channel_emulator):
    page = channel_emulator.client("anna").open()
    channel_emulator.presence_errors.clear()
    page.receive(timeout=0)

def test_over_http():
    with ChannelServer() as server:
        server.client("anna").open().receive(timeout=0)

def test_away():
    ChannelClient("http://127.0.0.1:9", "token").open()

def test_presence(channel_emulator):
    channel_emulator.client("anna").open()

def test_of_a_block():
    with Emulator(chat) as emulator:
        emulator.client("anna").open()

def test_the_app_raises(channel_emulator):
    TestApp(channel_emulator).get("/broken")
"""


def test_a_terminal_shows_what_is_the_tests_own(tmp_path):
    (tmp_path / "test_failing.py").write_text(FAILING)
    said = run_pytest(tmp_path, "--show-capture=no")
    assert "5 failed, 1 passed" in said, said
    # No frame of ours, by file or by source.
    assert "appengine_channel_emu/" not in said, said
    assert "__tracebackhide__" not in said
    summary = said.partition("short test summary info")[2]
    for line in (
        "test_in_process - NoMessage: The app was not told",
        "test_over_http - NoMessage: A page of",
        "test_away - EmulatorAway: No emulator",
        "ERROR test_failing.py::test_presence - PresenceHandlerError: The",
        "test_of_a_block - PresenceHandlerError: The",
        "test_the_app_raises - ZeroDivisionError: in the app",
    ):
        assert line in summary, said
    assert '{}["who"]  # no such key' in said
    assert "KeyError: 'who'" in said
