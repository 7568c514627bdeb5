"""The examples of docs/moving-off.md: its tests on the emulator and on what comes after it, its page in Chromium."""

from __future__ import annotations

import subprocess
import sys

import pytest
from playwright.sync_api import expect

from tests.docs.documents import block
from tests.docs.terminal import run_pytest
from tests.support.waiting import LONG_ENOUGH
from tests.support.wire import free_port, wait_for_port

DOCUMENT = "docs/moving-off.md"

AFTERWARDS = {
    "push.py": """
import asyncio, threading
import channel_server

loop = asyncio.new_event_loop()
threading.Thread(target=loop.run_forever, daemon=True).start()
token_for = channel_server.create_channel

def on_the_loop(function, *arguments):
    async def call():
        return function(*arguments)
    return asyncio.run_coroutine_threadsafe(call(), loop).result(30)

def send(client_id, text):
    on_the_loop(channel_server.send_message, client_id, text)
""",
    "conftest.py": """
import asyncio, time
import pytest
from websockets.sync.client import connect
from websockets.asyncio.server import serve
import channel_server, push

@pytest.fixture
def open_page():
    server = asyncio.run_coroutine_threadsafe(serve_pages(), push.loop).result(30)
    pages = []

    def open_page(client_id):
        before = len(channel_server.connections[client_id])
        port = server.sockets[0].getsockname()[1]
        page = connect(f"ws://127.0.0.1:{port}/channel?token={push.token_for(client_id)}", proxy=None)
        while len(channel_server.connections[client_id]) == before:
            time.sleep(0.01)
        page.receive = lambda: page.recv(timeout=30)
        pages.append(page)
        return page

    yield open_page
    for page in pages:
        page.close()
    push.on_the_loop(server.close)

async def serve_pages():
    return await serve(channel_server.page, "127.0.0.1", 0)
""",
}
"""What an app's `push.py` and `conftest.py` are after the move."""

PAGE = """<body><ul id="heard"></ul><script>
function say(text) { document.body.appendChild(document.createElement('li')).textContent = text; }
var socket = new goog.appengine.Channel(location.hash.slice(1)).open({
  onopen: function () { say('open'); },
  onmessage: function (message) { say('message ' + message.data); },
  onerror: function (error) { say(error.code + ' ' + error.description); },
  onclose: function () { say('close'); }
});
</script>"""


def code(name, comment="#"):
    return block(DOCUMENT, f"{comment} {name}").code


def test_the_tests_pass_on_the_emulator(tmp_path):
    for name in ("push.py", "conftest.py", "test_news.py"):
        (tmp_path / name).write_text(code(name), "utf-8")
    assert "2 passed" in run_pytest(tmp_path)


@pytest.mark.slow
def test_they_pass_word_by_word_after_the_move(tmp_path):
    for name in ("channel_server.py", "test_news.py"):
        (tmp_path / name).write_text(code(name), "utf-8")
    for name, text in AFTERWARDS.items():
        (tmp_path / name).write_text(text, "utf-8")
    assert "2 passed" in run_pytest(tmp_path)


def opened(context, port, token):
    """A tab with a page of the app's, which loads channel.js and opens its channel with `token`."""
    html = f"<script>{code('channel.js', '//')}</script>{PAGE}"
    # What a test hands to Chromium counts as a page from afar, which must be allowed to ask this machine.
    context.grant_permissions(["local-network-access"])
    page = context.new_page()
    page.route("**/*", lambda route: route.fulfill(body=html, content_type="text/html"))
    page.goto(f"http://127.0.0.1:{port}/#{token}")
    return page


@pytest.mark.slow
def test_pages_need_not_change(tmp_path, context):
    (tmp_path / "channel_server.py").write_text(code("channel_server.py"), "utf-8")
    port = free_port()
    command = [sys.executable, "channel_server.py", str(port)]
    with subprocess.Popen(
        command, cwd=tmp_path, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as server:
        try:
            token = server.stdout.readline().strip()
            wait_for_port(port)
            page = opened(context, port, token)
            expect(page.locator("li")).to_have_text(["open"])
            server.stdin.write("hello\n")
            server.stdin.flush()
            expect(page.locator("li")).to_have_text(["open", "message hello"])
            page.evaluate("socket.close()")
            expect(page.locator("li")).to_have_text(["open", "message hello", "close"])
            expect(opened(context, port, "nonsense").locator("li")).to_have_text(
                ["open", "401 Invalid+token.", "close"]
            )
        finally:
            server.stdin.close()
            server.terminate()
            server.wait(LONG_ENOUGH)
