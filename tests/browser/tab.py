"""A page that notes what its channel's handlers are called with."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Page

from tests.browser.engines import EnginePage
from tests.support.browsers import WAIT

OPEN = """([token, name]) => {
    const calls = [];
    const note = (handler) => (event) => { calls.push([handler, event === undefined ? null : event]); };
    const handlers = {};
    for (const each of ['onopen', 'onmessage', 'onerror', 'onclose']) { handlers[each] = note(each); }
    const socket = new goog.appengine.Channel(token).open(handlers);
    window.sockets = Object.assign(window.sockets || {}, {[name]: {socket, calls}});
}"""


class Tab:
    """One tab; its sockets have names, so that a test can hold several. `errors` are kept in Playwright's Chromium."""

    def __init__(self, page: Page | EnginePage) -> None:
        self.page = page
        self.errors: list[str] = []
        if isinstance(page, Page):
            page.on("pageerror", lambda error: self.errors.append(str(error)))

    def visit(self, url: str, script: str | None = "/_ah/channel/jsapi") -> None:
        """Go to a page and load the browser client into it."""
        self.page.goto(url)
        if script:
            self.page.add_script_tag(url=script)

    def open(self, token: str, name: str = "socket") -> None:
        """`new goog.appengine.Channel(token).open(…)`."""
        self.page.evaluate(OPEN, [token, name])

    def close(self, name: str = "socket") -> None:
        """`socket.close()`."""
        self.page.evaluate("name => sockets[name].socket.close()", name)

    def ready_state(self, name: str = "socket") -> int:
        """The socket's readyState."""
        state: int = self.page.evaluate("name => sockets[name].socket.readyState", name)
        return state

    def wait(self, count: int, name: str = "socket") -> None:
        """Returns when the socket's handlers have been called `count` times."""
        enough = "([name, count]) => sockets[name].calls.length >= count"
        self.page.wait_for_function(enough, arg=[name, count], timeout=WAIT)

    def wait_for(self, count: int, name: str = "socket") -> list[Any]:
        """All calls of the socket's handlers, as [handler, argument], once there are `count` of them."""
        self.wait(count, name)
        return self.calls(name)

    def calls(self, name: str = "socket") -> list[Any]:
        """The calls so far."""
        calls: list[Any] = self.page.evaluate("name => sockets[name].calls", name)
        return calls

    def texts(self, name: str = "socket") -> list[str]:
        """The messages so far."""
        return [argument["data"] for handler, argument in self.calls(name) if handler == "onmessage"]
