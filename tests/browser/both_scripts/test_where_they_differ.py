"""Deliberate: docs/browser-client.md, "Where ours departs from the SDK's script", says why of each."""

from __future__ import annotations

from tests.browser.both_scripts.page import opened, poll_often, settled, wait_for


def test_arguments_of_onopen_and_onclose(page, emulator, script):
    page.evaluate(
        """token => {
            const note = (event) => { log.push(event === undefined ? 'none' : JSON.stringify(event)); };
            new goog.appengine.Channel(token).open(
                {...handlers(''), onopen(event) { note(event); this.close(); }, onclose: note});
        }""",
        emulator.create_channel("anna"),
    )
    page.wait_for_function("log.length >= 2")
    assert page.evaluate("log") == {"google": ["none", "none"], "ours": ["{}", "{}"]}[script]


def test_ready_state_after_close_and_in_onerror(page, emulator, script):
    opened(page, emulator)
    state = page.evaluate("() => { socket.close(); return socket.readyState; }")
    assert state == {"google": 2, "ours": 3}[script]
    page.evaluate("new goog.appengine.Channel('bad').open(handlers('bad'))")
    lines = wait_for(page, "bad onclose 3")
    assert f"bad onerror 401 Invalid+token. {state}" in lines


def test_close_twice(page, emulator, script):
    opened(page, emulator)
    page.evaluate("() => { socket.close(); socket.close(); }")
    times = {"google": 2, "ours": 1}[script]
    page.wait_for_function("times => log.filter((line) => line === 'socket onclose 3').length === times", arg=times)
    assert settled(page).count("socket onclose 3") == times


def test_close_while_it_connects(page, emulator, script):
    page.evaluate(
        "token => { new goog.appengine.Channel(token).open(handlers('socket')).close(); }",
        emulator.create_channel("anna"),
    )
    wait_for(page, "socket onclose 3")
    if script == "google":
        page.wait_for_function("log.some((line) => line.includes('onopen'))")
    else:
        assert not any("onopen" in line for line in settled(page))


def test_a_handler_object_without_all_four(tab, page, emulator, script):
    page.evaluate(
        """token => {
            const handler = {onmessage: (event) => log.push(event.data)};
            window.socket = new goog.appengine.Channel(token).open(handler);
        }""",
        emulator.create_channel("anna"),
    )
    if script == "google":
        page.wait_for_event("pageerror")  # TypeError; and it never polls.
        return
    page.wait_for_function("socket.readyState === 1")
    emulator.send("anna", "hello")
    wait_for(page, "hello")
    assert not tab.errors


def test_messages_after_a_handler_that_throws(page, emulator, script):
    opened(page, emulator)
    page.evaluate("() => { socket.onmessage = (event) => { log.push(event.data); throw new Error('broken'); }; }")
    with page.expect_event("pageerror"):
        emulator.send("anna", "one")
    emulator.send("anna", "two")
    lines = wait_for(page, "two") if script == "ours" else settled(page)
    assert lines[1:] == {"google": ["one"], "ours": ["one", "two"]}[script]


def test_an_error_of_the_server_in_mid_connection(page, emulator, script):
    page.evaluate("goog.appengine.Socket.TRANSPORT = 'xhr'")
    opened(page, emulator)
    failures = []

    def fail(route):
        failures.append(route.request.url)
        if len(failures) <= 2:
            route.fulfill(status=500, body="broken")
        else:
            route.continue_()

    page.route("**/_ah/channel/poll?*", fail)
    page.route("**/_ah/channel/dev?*", fail)
    emulator.send("anna", "one")
    if script == "google":
        lines = wait_for(page, "socket onclose 3")
        assert lines[-2].startswith("socket onerror 500 ")
    else:
        emulator.send("anna", "two")
        lines = wait_for(page, "socket onmessage two 1")
        assert lines == ["socket onopen 1", "socket onmessage one 1", "socket onmessage two 1"]
        assert len(failures) >= 2


def test_the_emulator_restarts(tab, serve, tmp_path, script):
    emulator = serve(state_dir=tmp_path / "state")
    tab.visit(emulator.url)
    poll_often(tab.page)
    opened(tab.page, emulator)
    emulator.stop()
    if script == "google":
        lines = wait_for(tab.page, "socket onclose 3")
        assert lines[-2].startswith("socket onerror ")
    emulator.start()
    if script == "ours":
        emulator.send("anna", "after")
        assert wait_for(tab.page, "socket onmessage after 1") == ["socket onopen 1", "socket onmessage after 1"]


def test_the_hidden_element_and_its_removal(page, emulator, script):
    opened(page, emulator)
    assert page.locator("#wcs-iframe").count() == {"google": 0, "ours": 1}[script]
    page.evaluate("() => { const own = document.getElementById('wcs-iframe'); if (own) own.remove(); }")
    if script == "ours":
        wait_for(page, "socket onclose 3")


def test_requests_of_a_script_in_the_head(tab, emulator, script):
    token = emulator.create_channel("anna")
    body = f"""<!DOCTYPE html><script src="/_ah/channel/jsapi"></script><script>
        try {{ new goog.appengine.Channel('{token}').open(handlers('')); }} catch (thrown) {{}}</script><body>"""
    tab.page.route("**/head", lambda route: route.fulfill(body=body, content_type="text/html"))
    if script == "google":
        with tab.page.expect_request(lambda request: token in request.url):
            tab.page.goto(f"{emulator.url}/head")
        return
    asked = []
    tab.page.on("request", lambda request: asked.append(token in request.url))
    tab.page.goto(f"{emulator.url}/head")
    settled(tab.page)
    assert not any(asked)


def test_the_key_that_send_posts(page, emulator, script):
    opened(page, emulator, "a-b")
    page.evaluate("socket.send('x')")
    key = emulator.received()[0]["key"]
    assert (key == "a-b") == (script == "ours")  # Google's takes it from the token, after the last dash.


def test_a_message_that_begins_with_a_byte_order_mark(page, emulator, script):
    opened(page, emulator)
    emulator.send("anna", "\ufeffhello")
    mark = {"google": "", "ours": "\ufeff"}[script]
    wait_for(page, f"socket onmessage {mark}hello 1")
