"""Our browser client in Chromium, against the real command."""

from __future__ import annotations

import contextlib
import json

import urllib3
from playwright.sync_api import Error

from tests.support.waiting import LONG_ENOUGH, eventually

OPENED = ["onopen", {}]
CLOSED = ["onclose", {}]
NO_HANDLER = "goog.appengine: a message came, and there is no onmessage (in lower case)"


def open_tab(tab, emulator, client_id="anna"):
    tab.visit(emulator.url)
    tab.open(emulator.create_channel(client_id))
    tab.wait_for(1)


def assert_told_at_once(emulator, client_id="anna"):
    """The app was told of both ends, and the second because the page said so: not because it had vanished."""
    assert emulator.presence(2) == [("connected", client_id), ("disconnected", client_id)]
    assert {event["text"] for event in emulator.events("socket_closed")} == {"The page left."}


def test_a_message_arrives(tab, emulator):
    open_tab(tab, emulator)
    assert tab.ready_state() == 1
    assert emulator.send("anna", "hello") == 1
    assert tab.wait_for(2) == [OPENED, ["onmessage", {"data": "hello"}]]
    assert not tab.errors


def test_a_handler_of_a_mistyped_name_is_told_of_in_the_console(tab, emulator):
    warnings = []
    tab.page.on("console", lambda line: warnings.append(line.text) if line.type == "warning" else None)
    tab.visit(emulator.url)
    tab.page.evaluate(
        """token => {
            window.opened = 0;
            window.socket = new goog.appengine.Channel(token).open({onopen: () => { opened++; }, onMessage: () => {}});
        }""",
        emulator.create_channel("anna"),
    )
    tab.page.wait_for_function("opened")
    assert warnings == []
    with tab.page.expect_console_message(lambda line: line.type == "warning"):
        emulator.send("anna", "one")
    emulator.send("anna", "two")

    def unread():
        return emulator.get_json("/_emu/channel?client_id=anna")["sockets_shown"][0]["unread"]

    eventually(unread, lambda number: number == 0)
    tab.page.evaluate("")  # What the page has written by now has been heard.
    assert warnings == [NO_HANDLER]


def test_presence_and_close(tab, emulator):
    open_tab(tab, emulator, "a@b c/ü&+")
    tab.close()
    assert tab.ready_state() == 3
    assert tab.wait_for(2) == [OPENED, CLOSED]
    assert_told_at_once(emulator, "a@b c/ü&+")
    assert emulator.send("a@b c/ü&+", "too late") == 0


def test_an_invalid_token(tab, emulator):
    tab.visit(emulator.url)
    tab.open("no-such-token")
    assert tab.wait_for(2) == [["onerror", {"code": 401, "description": "Invalid+token."}], CLOSED]
    assert tab.ready_state() == 3


def test_an_expired_token(tab, service):
    tab.visit(f"{service.url}/_ah/channel/xpc_blank")
    token = service.broker.create_channel("anna", 1).token
    service.broker.clock.advance(61)
    tab.open(token)
    assert tab.wait_for(2) == [["onerror", {"code": 401, "description": "Token+timed+out."}], CLOSED]


def test_a_token_that_expires_while_the_socket_is_open(tab, service):
    tab.visit(f"{service.url}/_ah/channel/xpc_blank")
    tab.open(service.broker.create_channel("anna", 1).token)
    tab.wait_for(1)
    service.broker.clock.advance(61)
    assert tab.wait_for(3) == [OPENED, ["onerror", {"code": 401, "description": "Token+timed+out."}], CLOSED]
    assert tab.ready_state() == 3


def test_a_page_that_unloads_tells_the_emulator(tab, emulator):
    open_tab(tab, emulator)
    tab.page.goto("about:blank")
    assert_told_at_once(emulator)


def test_a_tab_that_closes_tells_the_emulator(tab, emulator):
    open_tab(tab, emulator)
    tab.page.close()
    assert_told_at_once(emulator)


def test_a_reload_is_not_reported(tab, serve):
    emulator = serve("--disconnect-after", str(LONG_ENOUGH))
    open_tab(tab, emulator)
    tab.page.reload()
    tab.page.add_script_tag(url="/_ah/channel/jsapi")
    tab.open(emulator.create_channel("anna"))
    tab.wait_for(1)
    emulator.send("anna", "welcome back")
    assert tab.wait_for(2)[1] == ["onmessage", {"data": "welcome back"}]
    tab.close()
    # Nothing is left of the socket from before the reload.
    eventually(lambda: emulator.events("socket_closed"), lambda events: len(events) == 2)
    emulator.advance(LONG_ENOUGH)
    assert_told_at_once(emulator)


def test_two_sockets_in_a_page(tab, emulator):
    tab.visit(emulator.url)
    for client_id in ("anna", "bert"):
        tab.open(emulator.create_channel(client_id), client_id)
        tab.wait_for(1, client_id)
        emulator.send(client_id, f"to {client_id}")
    assert tab.wait_for(2, "bert") == [OPENED, ["onmessage", {"data": "to bert"}]]
    assert tab.wait_for(2, "anna") == [OPENED, ["onmessage", {"data": "to anna"}]]
    tab.close("anna")
    emulator.send("bert", "still there")
    assert tab.wait_for(3, "bert")[2] == ["onmessage", {"data": "still there"}]


def test_the_script_loaded_twice(tab, emulator):
    open_tab(tab, emulator)
    tab.page.add_script_tag(url="/_ah/channel/jsapi?again=1")
    tab.open(emulator.create_channel("bert"), "second")
    tab.wait_for(1, "second")
    emulator.send("anna", "one")
    emulator.send("bert", "two")
    assert tab.wait_for(2)[1] == ["onmessage", {"data": "one"}]
    assert tab.wait_for(2, "second")[1] == ["onmessage", {"data": "two"}]
    assert tab.page.evaluate("Object.keys(goog)") == ["appengine"]


def test_the_script_from_another_origin(tab, emulator, other_origin):
    tab.visit(other_origin, f"{emulator.url}/_ah/channel/jsapi")
    assert tab.page.evaluate("goog.appengine.Socket.BASE_URL") == f"{emulator.url}/_ah/channel/"
    tab.open(emulator.create_channel("anna"))
    tab.wait_for(1)
    emulator.send("anna", "across")
    assert tab.wait_for(2)[1] == ["onmessage", {"data": "across"}]
    tab.close()
    assert_told_at_once(emulator)


def test_the_hidden_element(tab, emulator):
    open_tab(tab, emulator)
    assert tab.page.evaluate("getComputedStyle(document.getElementById('wcs-iframe')).display") == "none"
    tab.page.evaluate("document.body.innerHTML += '<p>more</p>'")
    emulator.send("anna", "still there")
    assert tab.wait_for(2)[1] == ["onmessage", {"data": "still there"}]
    tab.page.evaluate("document.getElementById('wcs-iframe').remove()")
    assert tab.wait_for(3)[2] == CLOSED
    assert_told_at_once(emulator)


def test_a_script_in_the_head_gets_the_documented_string(tab, emulator):
    body = """<!DOCTYPE html><script src="/_ah/channel/jsapi"></script><script>
        try { new goog.appengine.Channel('token').open(); } catch (thrown) { window.thrown = thrown; }
        </script><body></body>"""
    asked = []
    tab.page.on("request", lambda request: asked.append(request.url))
    tab.page.route("**/head", lambda route: route.fulfill(body=body, content_type="text/html"))
    tab.page.goto(f"{emulator.url}/head")
    expected = "document.body is not defined -- do not create socket from script in <head>."
    assert tab.page.evaluate("window.thrown") == expected
    assert not [url for url in asked if "/open" in url]


def test_a_handler_that_throws_reaches_window_onerror_and_stops_nothing(tab, emulator):
    open_tab(tab, emulator)
    tab.page.evaluate("""() => {
        window.reported = [];
        window.onerror = (text) => { reported.push(text); };
        const {socket} = sockets.socket, note = socket.onmessage;
        socket.onmessage = function (event) { note(event); throw new Error('broken by ' + event.data); };
    }""")
    for text in ("one", "two", "three"):
        emulator.send("anna", text)
    tab.wait_for(4)
    tab.page.wait_for_function("reported.length === 3")
    assert tab.texts() == ["one", "two", "three"]
    assert tab.page.evaluate("reported[0]") == "Uncaught Error: broken by one"


def test_send_posts_to_the_app(tab, emulator):
    open_tab(tab, emulator, "a&b")
    assert tab.page.evaluate("sockets.socket.socket.send('x=1&ü')") is True
    assert emulator.received()[0] == {"path": "receive", "key": "a&b", "msg": "x=1&ü"}


def test_a_page_that_is_offline_for_a_while_misses_nothing(tab, emulator, context):
    open_tab(tab, emulator)
    context.set_offline(True)
    tab.page.evaluate("window.dispatchEvent(new Event('online'))")  # Breaks the poll that is parked.
    for number in range(5):
        emulator.send("anna", str(number))
    assert tab.texts() == []
    context.set_offline(False)
    assert [call[0] for call in tab.wait_for(6)] == ["onopen"] + ["onmessage"] * 5
    assert tab.texts() == ["0", "1", "2", "3", "4"]


def test_messages_that_look_like_something_else(tab, emulator):
    open_tab(tab, emulator)
    texts = [json.dumps({"messages": ["x"], "next": 9}), "]}", "</script><script>alert(1)</script>", "\u2028", "\0"]
    for text in texts:
        emulator.send("anna", text)
    tab.wait_for(1 + len(texts))
    assert tab.texts() == texts


def test_a_frozen_tab_gets_everything_when_it_thaws(tab, emulator, context):
    open_tab(tab, emulator)
    session = context.new_cdp_session(tab.page)
    session.send("Page.setWebLifecycleState", {"state": "frozen"})
    for number in range(5):
        assert emulator.send("anna", str(number)) == 1
    session.send("Page.setWebLifecycleState", {"state": "active"})
    tab.wait(6)
    assert tab.texts() == ["0", "1", "2", "3", "4"]


def test_a_tab_that_crashes_is_noticed(tab, emulator):
    open_tab(tab, emulator)
    with tab.page.expect_event("crash"), contextlib.suppress(Error):  # Nobody is left to answer.
        tab.page.goto("chrome://crash")
    assert emulator.presence(2) == [("connected", "anna"), ("disconnected", "anna")]


def test_advancing_the_clock_by_two_hours_times_out_an_open_pages_token(tab, emulator):
    open_tab(tab, emulator)
    emulator.advance(7200)
    assert tab.wait_for(3) == [OPENED, ["onerror", {"code": 401, "description": "Token+timed+out."}], CLOSED]


def test_cutting_a_pages_connection_is_not_noticed(tab, emulator):
    open_tab(tab, emulator)
    for number in range(3):
        url = f"{emulator.url}/_emu/sockets"
        assert urllib3.request("POST", url, json={"action": "cut", "client_id": "anna"}).status == 200
        assert emulator.send("anna", str(number)) == 1
        tab.wait(2 + number)
    assert tab.texts() == ["0", "1", "2"]
    assert tab.ready_state() == 1


def test_a_socket_that_was_closed_by_hand_gets_onclose_alone(tab, emulator):
    open_tab(tab, emulator)
    urllib3.request("POST", f"{emulator.url}/_emu/sockets", json={"action": "close", "client_id": "anna"})
    assert tab.wait_for(2) == [OPENED, CLOSED]
    assert tab.ready_state() == 3
