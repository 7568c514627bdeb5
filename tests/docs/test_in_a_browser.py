"""Blocks of README.md, browser-client.md and messages-do-not-arrive.md that are a page's affair, in Chromium."""

from __future__ import annotations

import json
import re

import pytest
from playwright.sync_api import expect

from appengine_channel_emu.testing import ChannelServer
from tests.docs.documents import block, blocks_of
from tests.docs.terminal import DocumentTerminal
from tests.support.waiting import eventually

HELLO_LINES = 15


def test_the_hello_app_of_the_readme(tmp_path, context):
    """A page gets its messages: the app's own, and the one from the terminal."""
    code = block("README.md", "# hello.py").code
    assert len([line for line in code.splitlines()[1:] if line]) <= HELLO_LINES
    serve, send = block("README.md", "channel-emu serve hello:app").code.splitlines()
    with DocumentTerminal(tmp_path / "hello") as terminal:
        (terminal.folder / "hello.py").write_text(code, "utf-8")
        terminal.run(serve)
        page = context.new_page()
        page.goto(terminal.url)
        expect(page.locator("body")).to_contain_text("Hello, Anna! ")
        assert "delivered to 1 socket" in terminal.run(send)
        expect(page.locator("body")).to_contain_text("Hello, Anna! It is your turn.")


@pytest.fixture
def server():
    with ChannelServer(lambda environ, start_response: pages(environ["PATH_INFO"], start_response)) as server:
        yield server


def pages(path, start_response):
    """`/html` has the block of HTML, any other page the script alone."""
    (html,) = [each.code for each in blocks_of("docs/browser-client.md") if each.language == "html"]
    script = html if path == "/html" else '<script src="/_ah/channel/jsapi"></script>'
    start_response("200 OK", [("Content-Type", "text/html")])
    return [f"<body>{script}".encode()]


def transports(server, context):
    """How the open sockets wait, and of which there are how many."""
    status = json.loads(context.request.get(f"{server.url}/_emu/status").text())
    return {name for name, sockets in status["sockets"].items() if sockets}


def test_one_transport_alone(server, context):
    (script,) = [each.code for each in blocks_of("docs/browser-client.md") if each.language == "js"]
    page = context.new_page()
    page.goto(f"{server.url}/html")
    page.evaluate("token => { new goog.appengine.Channel(token).open() }", server.create_channel("anna"))
    eventually(lambda: transports(server, context), lambda found: found == {"poll"})
    polled = []
    page.on("request", lambda request: polled.extend(re.findall("/_ah/channel/poll.*", request.url)))
    page.goto(f"{server.url}/js")
    page.evaluate(f"token => {{ var handler = {{}}; {script} }}", server.create_channel("ben"))
    eventually(lambda: transports(server, context), lambda found: "stream" in found)
    assert polled == []


def test_a_page_that_is_refused_says_so(server, context):
    (script,) = [each.code for each in blocks_of("docs/messages-do-not-arrive.md") if each.language == "js"]
    page = context.new_page()
    said = []
    page.on("console", lambda message: said.append(message.text))
    page.goto(server.url)
    page.evaluate(f"() => {{ var socket = new goog.appengine.Channel('nonsense').open(); {script} }}")
    eventually(lambda: (page.wait_for_timeout(10), said)[1], lambda lines: "onclose" in lines)
    assert said[-2:] == ["onerror 401 Invalid+token.", "onclose"]
