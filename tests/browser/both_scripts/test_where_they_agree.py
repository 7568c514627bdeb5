"""What legacy pages rely on: Google's script and ours do the same."""

from __future__ import annotations

import json

import pytest

from tests.browser.both_scripts.page import assert_came_and_left, opened, poll_often, wait_for

HEAD_TEXT = "document.body is not defined -- do not create socket from script in <head>."
ODD_TEXTS = [
    "plain",
    json.dumps({"messages": ["x"], "next": 9}),
    "]}'\"\\",
    "<html></script><script>alert(1)</script>",
    "1",
    "null",
    " a\tb\r\n\nc ",
    "a\0b",
    "\u2028\u00a0\u200f",
    "Grüße Ελληνικά Русский 中文 ไทย עברית 😀👩‍👩‍👧",
    "%3Cb%3E&amp;+",
    "x" * 32767,
    "é" * 16383,
]


def test_the_names_that_pages_use(page, script):
    assert page.evaluate("goog.appengine.Socket.ReadyState") == {
        "CONNECTING": 0, "OPEN": 1, "CLOSING": 2, "CLOSED": 3,
    }  # fmt: skip
    assert page.evaluate("goog.appengine.Socket.BASE_URL") == "/_ah/channel/"
    kinds = page.evaluate("""() => [goog.appengine.Channel, goog.appengine.Channel.prototype.open,
        goog.appengine.Socket, goog.appengine.Socket.prototype.close, goog.appengine.Socket.prototype.send,
        goog.appengine.Socket.Handler, new goog.appengine.Socket.Handler().onmessage].map((each) => typeof each)""")
    assert kinds == ["function"] * 7


def test_the_polling_interval_is_half_a_second_unless_the_page_sets_it(tab, emulator, script):
    tab.visit(emulator.url)
    assert tab.page.evaluate("goog.appengine.Socket.POLLING_TIMEOUT_MS") == 500


def test_a_life_of_a_socket(page, emulator):
    token = emulator.create_channel("anna")
    state = page.evaluate(
        """token => {
            window.socket = new goog.appengine.Channel(token).open(handlers('socket'));
            return [socket.readyState, log.length];
        }""",
        token,
    )
    assert state == [0, 0]  # Nothing is called inside open().
    wait_for(page, "socket onopen 1")
    assert emulator.send("anna", "hello") == 1
    wait_for(page, "socket onmessage hello 1")
    assert page.evaluate("() => { socket.close(); return log.length; }") == 2  # Nor inside close().
    assert wait_for(page, "socket onclose 3") == ["socket onopen 1", "socket onmessage hello 1", "socket onclose 3"]
    assert_came_and_left(emulator)
    assert emulator.send("anna", "too late") == 0


def test_messages_of_every_kind_arrive_once_and_in_order(page, emulator):
    opened(page, emulator)
    for text in ODD_TEXTS:
        assert emulator.send("anna", text) == 1
    expected = ["socket onopen 1", *(f"socket onmessage {text} 1" for text in ODD_TEXTS)]
    page.wait_for_function("count => log.length >= count", arg=len(expected))
    assert page.evaluate("log") == expected


def test_handlers_are_copied_at_open_and_the_sockets_own_are_read_at_each_call(page, emulator):
    page.evaluate(
        """token => {
            const handler = handlers('first');
            window.socket = new goog.appengine.Channel(token).open(handler);
            Object.assign(handler, handlers('never'));
        }""",
        emulator.create_channel("anna"),
    )
    wait_for(page, "first onopen 1")
    emulator.send("anna", "one")
    wait_for(page, "first onmessage one 1")
    page.evaluate("() => { socket.onmessage = handlers('second').onmessage; }")
    emulator.send("anna", "two")
    assert wait_for(page, "second onmessage two 1")[-2:] == ["first onmessage one 1", "second onmessage two 1"]


@pytest.mark.parametrize("given", ["", "null", "undefined", "{}"])
def test_handlers_set_on_the_socket_after_open(page, emulator, given):
    page.evaluate(
        f"token => Object.assign(new goog.appengine.Channel(token).open({given}), handlers('late'))",
        emulator.create_channel("anna"),
    )
    wait_for(page, "late onopen 1")
    emulator.send("anna", "hello")
    assert wait_for(page, "late onmessage hello 1") == ["late onopen 1", "late onmessage hello 1"]


def test_no_handler_at_all(tab, page, emulator):
    page.evaluate(
        "token => { window.socket = new goog.appengine.Channel(token).open(); }", emulator.create_channel("anna")
    )
    page.wait_for_function("socket.readyState === 1")
    emulator.send("anna", "unheard")
    page.evaluate("() => { socket.onmessage = handlers('socket').onmessage; }")
    emulator.send("anna", "heard")
    wait_for(page, "socket onmessage heard 1")
    page.evaluate("socket.close()")
    page.wait_for_function("socket.readyState === 3")
    assert not tab.errors


def test_handlers_on_a_prototype_and_a_handler_object_of_the_script(page, emulator):
    page.evaluate(
        """token => {
            function Base() {}
            Base.prototype = handlers('inherited');
            const own = new goog.appengine.Socket.Handler();
            Object.assign(own, handlers('own'));
            new goog.appengine.Channel(token).open(new Base());
            new goog.appengine.Channel(token).open(own);
        }""",
        emulator.create_channel("anna"),
    )
    wait_for(page, "inherited onopen 1", "own onopen 1")


def test_this_is_the_socket(page, emulator):
    token = emulator.create_channel("anna")
    page.evaluate(
        """token => {
            const handler = {};
            for (const name of ['onopen', 'onmessage', 'onerror', 'onclose']) {
                handler[name] = function () { log.push(`${name} ${this === window.socket}`); };
            }
            window.socket = new goog.appengine.Channel(token).open(handler);
        }""",
        token,
    )
    wait_for(page, "onopen true")
    emulator.send("anna", "hello")
    wait_for(page, "onmessage true")
    page.evaluate("socket.close()")
    assert wait_for(page, "onclose true") == ["onopen true", "onmessage true", "onclose true"]


def test_an_invalid_token(page):
    page.evaluate("window.socket = new goog.appengine.Channel('no-such-token').open(handlers('socket'))")
    lines = wait_for(page, "socket onclose 3")
    assert [line.rpartition(" ")[0] for line in lines] == ["socket onerror 401 Invalid+token.", "socket onclose"]


@pytest.mark.parametrize("when", ["before open()", "in mid-connection"])
def test_a_token_that_expired(tab, service, script, when):
    page = tab.page
    tab.visit(f"{service.url}/_ah/channel/xpc_blank")
    poll_often(page)
    token = service.broker.create_channel("anna", 1).token
    if when == "before open()":
        service.broker.clock.advance(61)
    page.evaluate("token => { window.socket = new goog.appengine.Channel(token).open(handlers('socket')); }", token)
    if when != "before open()":
        wait_for(page, "socket onopen 1")
        service.broker.clock.advance(61)
    lines = [line.rpartition(" ")[0] for line in wait_for(page, "socket onclose 3")]
    assert lines[-2:] == ["socket onerror 401 Token+timed+out.", "socket onclose"]
    assert len(lines) == (2 if when == "before open()" else 3)


def test_the_argument_of_onerror(page):
    page.evaluate("""new goog.appengine.Channel('bad').open({...handlers(''), onerror: (error) => {
        log.push(Object.keys(error).sort().join(), typeof error.code, typeof error.description); }})""")
    page.wait_for_function("log.length >= 3")
    assert page.evaluate("log.slice(0, 3)") == ["code,description", "number", "string"]


def test_a_script_in_the_head(tab, emulator, script):
    body = f"""<!DOCTYPE html><script src="/_ah/channel/jsapi"></script><script>
        try {{ new goog.appengine.Channel({json.dumps(emulator.create_channel("anna"))}).open(handlers('')); }}
        catch (thrown) {{ window.thrown = thrown; }}
        </script><body></body>"""
    tab.page.route("**/head", lambda route: route.fulfill(body=body, content_type="text/html"))
    tab.page.goto(f"{emulator.url}/head")
    assert tab.page.evaluate("window.thrown") == HEAD_TEXT


def test_close_in_a_handler(page, emulator):
    page.evaluate(
        """token => {
            const handler = handlers('socket'), note = handler.onmessage;
            handler.onmessage = function (event) { note.call(this, event); this.close(); };
            new goog.appengine.Channel(token).open(handler);
        }""",
        emulator.create_channel("anna"),
    )
    wait_for(page, "socket onopen 1")
    emulator.send("anna", "one")
    emulator.send("anna", "two")
    assert wait_for(page, "socket onclose 3") == ["socket onopen 1", "socket onmessage one 1", "socket onclose 3"]
    assert_came_and_left(emulator)


def test_a_page_that_opens_a_new_channel_in_onclose(page, emulator):
    page.evaluate(
        """good => {
            const handler = handlers('bad'), note = handler.onclose;
            handler.onclose = function () {
                note.call(this);
                new goog.appengine.Channel(good).open(handlers('good'));
            };
            new goog.appengine.Channel('bad').open(handler);
        }""",
        emulator.create_channel("anna"),
    )
    wait_for(page, "good onopen 1")
    emulator.send("anna", "hello")
    assert wait_for(page, "good onmessage hello 1")[1:] == [
        "bad onclose 3",
        "good onopen 1",
        "good onmessage hello 1",
    ]


def test_one_channel_opened_again_after_close(page, emulator):
    page.evaluate(
        """token => {
            const channel = new goog.appengine.Channel(token), first = handlers('first');
            first.onopen = function () { this.close(); };
            first.onclose = function () { channel.open(handlers('second')); };
            channel.open(first);
        }""",
        emulator.create_channel("anna"),
    )
    wait_for(page, "second onopen 1")
    emulator.send("anna", "hello")
    assert wait_for(page, "second onmessage hello 1") == ["second onopen 1", "second onmessage hello 1"]


def test_two_sockets_in_a_page(page, emulator):
    opened(page, emulator, "anna", "first")
    opened(page, emulator, "bert", "second")
    emulator.send("anna", "to anna")
    emulator.send("bert", "to bert")
    wait_for(page, "first onmessage to anna 1", "second onmessage to bert 1")
    page.evaluate("first.close()")
    wait_for(page, "first onclose 3")
    emulator.send("bert", "again")
    wait_for(page, "second onmessage again 1")


def test_the_script_loaded_twice_late_and_with_a_query(tab, page, emulator):
    opened(page, emulator, "anna", "first")
    page.add_script_tag(url="/_ah/channel/jsapi?v=2")
    poll_often(page)
    opened(page, emulator, "bert", "second")
    emulator.send("anna", "one")
    emulator.send("bert", "two")
    wait_for(page, "first onmessage one 1", "second onmessage two 1")
    assert not tab.errors


def test_beside_a_closure_library(tab, emulator, script):
    tab.visit(emulator.url, script=None)
    tab.page.evaluate("window.goog = {require: () => 'closure'}")
    tab.page.add_script_tag(url="/_ah/channel/jsapi")
    opened(tab.page, emulator)
    assert tab.page.evaluate("goog.require()") == "closure"


def test_a_front_end_on_another_origin_sets_base_url(tab, emulator, other_origin, script):
    tab.visit(other_origin)
    poll_often(tab.page)
    tab.page.evaluate("url => { goog.appengine.Socket.BASE_URL = url + goog.appengine.Socket.BASE_URL; }", emulator.url)
    opened(tab.page, emulator)
    emulator.send("anna", "across")
    wait_for(tab.page, "socket onmessage across 1")


def test_a_page_that_removes_the_hidden_element_before_it_opens_again(page, emulator):
    opened(page, emulator, "anna", "first")
    page.evaluate("() => { const old = document.getElementById('wcs-iframe'); if (old) old.remove(); }")
    opened(page, emulator, "bert", "second")
    emulator.send("bert", "hello")
    wait_for(page, "second onmessage hello 1")


def test_send_posts_to_the_app_if_the_socket_is_open(page, emulator):
    sent = page.evaluate(
        """token => {
            window.socket = new goog.appengine.Channel(token).open(handlers('socket'));
            return socket.send('too soon');
        }""",
        emulator.create_channel("anna"),
    )
    assert sent is False
    wait_for(page, "socket onopen 1")
    assert page.evaluate("socket.send('x=1&ü')") is True
    post = emulator.received()[0]
    assert (post["path"], post["msg"]) == ("receive", "x=1&ü")
    page.evaluate("socket.close()")
    wait_for(page, "socket onclose 3")
    assert page.evaluate("socket.send('too late')") is False


def test_a_handler_that_throws_is_reported_to_the_page(tab, page, emulator):
    opened(page, emulator)
    page.evaluate("() => { socket.onmessage = () => { throw new Error('broken'); }; }")
    with page.expect_event("pageerror") as error:
        emulator.send("anna", "hello")
    assert "broken" in str(error.value)


@pytest.mark.parametrize("handler", ["onopen", "onmessage", "onclose"])
def test_a_handler_that_leaves_the_page(page, emulator, handler):
    page.evaluate(
        """([token, name]) => {
            const handler = {...handlers('socket'), [name]() { location.href = '/elsewhere'; }};
            window.socket = new goog.appengine.Channel(token).open(handler);
        }""",
        [emulator.create_channel("anna"), handler],
    )
    if handler != "onopen":
        wait_for(page, "socket onopen 1")
        emulator.send("anna", "hello")
    if handler == "onclose":
        page.evaluate("socket.close()")
    page.wait_for_url("**/elsewhere")
    assert_came_and_left(emulator)


def test_a_page_that_unloads_is_reported_gone(page, emulator):
    opened(page, emulator)
    page.goto("about:blank")
    assert_came_and_left(emulator)
