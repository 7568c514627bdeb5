"""Many tabs of one browser, which opens six connections to one host and port (design.md, "Many tabs").

When a message comes for a tab whose poll waits in the browser, the browser's parked polls are answered empty; their
tabs poll again, behind the one that waited.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Protocol

from appengine_channel_emu.broker.clock import Scheduler
from appengine_channel_emu.broker.contract import Broker, Poll
from appengine_channel_emu.broker.events import Event
from appengine_channel_emu.web.wsgi import browser_of

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

GRACE = 0.004
"""Seconds that a tab between two polls is given before its browser is shaken."""

SHAKE = 0.1
"""Seconds that one shake lasts at the most."""

PAUSES = (0.1, 0.2, 0.4, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
"""Seconds between the shakes for a tab that does not come; then it is left to its resume window.

The first are short: Firefox lets tabs through in an order of its own, and one shake in some does not reach the last.
"""

LAPS = 12
"""How often one shake answers the polls of one tab at the most. Firefox lets some tabs go ahead again and again."""

FEWEST_PARKED, MOST_PARKED = 5, 32
"""A browser that holds polls back has this many parked; with more it is no single browser, but a load test."""

Browser = tuple[str | None, str]
"""Who asks (`wsgi.browser_of`), and the Host: tabs that share them may share connections."""


class Shakeable(Protocol):
    """A parked poll."""

    def shake(self) -> None:
        """Let it be answered, empty, at once."""


class Tabs:
    """What the wire tells of sockets and polls. Without `scheduler`, as in a test in process, nothing is shaken."""

    def __init__(self, broker: Broker, scheduler: Scheduler | None) -> None:
        self._broker = broker
        self._shaker = Shaker(scheduler) if scheduler is not None else None
        broker.events.listen(self._hear)
        if self._shaker is not None:
            broker.when_unpolled(self._shaker.unpolled)

    def opened(self, socket_id: str, environ: WSGIEnvironment) -> None:
        """A page opened a socket."""
        if self._shaker is not None:
            self._shaker.opened(socket_id, _browser(environ))

    def arrived(self, poll: Poll, environ: WSGIEnvironment, held: Shakeable) -> None:
        """A poll arrived; `left` follows."""
        if self._shaker is None:
            return
        if self._shaker.arrived(poll.socket_id, _browser(environ), held):
            held.shake()
        if self._broker.client_id_of_socket(poll.socket_id) is None:
            self._shaker.closed(poll.socket_id)

    def left(self, poll: Poll, held: Shakeable) -> None:
        """The poll was answered, or its client has gone."""
        if self._shaker is not None:
            self._shaker.left(poll.socket_id, held)

    def _hear(self, event: Event) -> None:
        if self._shaker is not None and event.kind == "socket_closed" and event.socket is not None:
            self._shaker.closed(event.socket)


def _browser(environ: WSGIEnvironment) -> Browser:
    return browser_of(environ), environ.get("HTTP_HOST", "")


@dataclass(slots=True)
class _BrowserTabs:
    """The sockets of one browser."""

    browser: Browser
    sockets: set[str] = field(default_factory=set)
    parked: dict[Shakeable, str] = field(default_factory=dict)
    wanted: set[str] = field(default_factory=set)
    """Those whose polls are waited for in the shake that is going on."""
    answered: Counter[str] = field(default_factory=Counter)
    """How often the shake that is going on has answered each."""


class Shaker:
    """Knows each browser's parked polls. Callable from any thread; what a send costs does not grow with them."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._lock = Lock()
        self._browsers: dict[Browser, _BrowserTabs] = {}
        self._of: dict[str, _BrowserTabs] = {}
        self._hungry: dict[str, int] = {}
        """The sockets with a message and no poll, and how often the browser was shaken for each."""

    def opened(self, socket_id: str, browser: Browser) -> None:
        """A socket was opened by a page in `browser`, or polls from there."""
        with self._lock:
            self._move(socket_id, browser)

    def closed(self, socket_id: str) -> None:
        """The socket is no more."""
        with self._lock:
            self._hungry.pop(socket_id, None)
            tabs = self._of.pop(socket_id, None)
            if tabs is not None:
                self._leave(socket_id, tabs)

    def arrived(self, socket_id: str, browser: Browser, held: Shakeable) -> bool:
        """A poll of the socket arrived; whether it is to be answered at once, to let others through."""
        with self._lock:
            self._hungry.pop(socket_id, None)
            tabs = self._move(socket_id, browser)
            tabs.wanted.discard(socket_id)
            if tabs.wanted and tabs.answered[socket_id] < LAPS:
                tabs.answered[socket_id] += 1
                return True
            tabs.parked[held] = socket_id
            return False

    def left(self, socket_id: str, held: Shakeable) -> None:
        """The poll was answered, or its client has gone."""
        with self._lock:
            tabs = self._of.get(socket_id)
            if tabs is not None:
                tabs.parked.pop(held, None)

    def unpolled(self, socket_id: str) -> None:
        """A message was queued for the socket, and no poll of it is here."""
        with self._lock:
            tabs = self._of.get(socket_id)
            if tabs is None or len(tabs.sockets) <= FEWEST_PARKED or socket_id in self._hungry:
                return
            self._hungry[socket_id] = 0
        self._after(GRACE, lambda: self._shake(socket_id))

    def _after(self, seconds: float, action: Callable[[], None]) -> None:
        self._scheduler.at(self._scheduler.now() + seconds, action)

    def _shake(self, socket_id: str) -> None:
        with self._lock:
            times, tabs = self._hungry.get(socket_id), self._of.get(socket_id)
            if times is None or tabs is None:
                return
            if times == len(PAUSES):
                del self._hungry[socket_id]
                return
            self._hungry[socket_id] = times + 1
            parked = []
            if FEWEST_PARKED <= len(tabs.parked) <= MOST_PARKED:
                tabs.answered.clear()
                tabs.wanted.add(socket_id)
                parked = list(tabs.parked)
                tabs.answered.update(tabs.parked.values())
                tabs.parked.clear()
        for held in parked:
            held.shake()
        self._after(SHAKE, lambda: self._give_up(socket_id))
        self._after(PAUSES[times], lambda: self._shake(socket_id))

    def _give_up(self, socket_id: str) -> None:
        with self._lock:
            tabs = self._of.get(socket_id)
            if tabs is not None:
                tabs.wanted.discard(socket_id)

    def _move(self, socket_id: str, browser: Browser) -> _BrowserTabs:
        tabs = self._of.get(socket_id)
        if tabs is not None and tabs.browser == browser:
            return tabs
        if tabs is not None:
            self._leave(socket_id, tabs)
        moved = self._browsers.get(browser)
        if moved is None:
            moved = self._browsers[browser] = _BrowserTabs(browser)
        moved.sockets.add(socket_id)
        self._of[socket_id] = moved
        return moved

    def _leave(self, socket_id: str, tabs: _BrowserTabs) -> None:
        tabs.sockets.discard(socket_id)
        tabs.wanted.discard(socket_id)
        if not tabs.sockets:
            self._browsers.pop(tabs.browser, None)
