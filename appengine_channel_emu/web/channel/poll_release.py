"""Polls that are answered early, so that another tab of their browser can poll (design.md, "Many tabs").

A browser opens six connections to one host: WebKit six in all, Chromium and Firefox six for polls and six for the app's
own requests. Many parked polls would leave none, not for a fresh page either. So few polls of one browser are parked,
and the other pages pause between two. When a message comes for one of these, the oldest parked poll is answered early,
and its page calls that one, over a BroadcastChannel.

Pages that cannot pause poll without end: with many tabs some of their polls stay in the browser, even when a message
for them is here. Then the browser's parked polls are answered empty: their connections take the polls that stayed, and
their tabs poll again behind them. Firefox prefers some tabs for as long as they ask
(netwerk/protocol/http/PendingTransactionQueue.cpp): the last one gets through while all others are busy with their
answers, so polls that arrive meanwhile are answered at once, too.
"""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass, field
from threading import Lock
from typing import Protocol

from appengine_channel_emu.broker.clock import Scheduler
from appengine_channel_emu.broker.contract import Broker
from appengine_channel_emu.web.guard import LONGEST_POLL

FIRST_PAUSE = 0.004
"""Seconds that a tab between two polls is given; each further pause is twice as long as the last."""

LONGEST_TRY = 1.0
"""Seconds after an early answer in which polls of other tabs are answered as they arrive."""

FEWEST_PARKED, MOST_PARKED = 5, 32
"""A browser that holds polls back has this many parked; with more it is no single browser, but a load test."""

MOST_PAUSABLE = 4
"""Parked polls that can pause: two connections stay free, for the app and for pages that are called."""


class ParkedPoll(Protocol):
    """A poll that waits here for a message."""

    pauses: bool
    """Whether its page can be told to pause (`pauses=1`)."""

    def answer_early(self, **fields: object) -> None:
        """Let it be answered at once: empty, but for `released` and `fields`."""


@dataclass(slots=True)
class _Tabs:
    """The tabs of one browser."""

    parked: set[ParkedPoll] = field(default_factory=set)
    pausable: dict[ParkedPoll, str] = field(default_factory=dict)
    """Those of them whose pages can pause, with their sockets; the oldest first, none answered early."""
    awaited: set[str] = field(default_factory=set)
    """Sockets that have a message and no poll."""
    pause: float = FIRST_PAUSE
    due: float | None = None
    """When the next try is."""
    try_ends: float = 0.0
    """Until then polls are answered as they arrive. 0: none was answered early for those that are awaited."""


class PollRelease:
    """Knows each browser's parked polls. Callable from any thread; what a send costs does not grow with them."""

    def __init__(self, broker: Broker, scheduler: Scheduler) -> None:
        self._broker = broker
        self._scheduler = scheduler
        self._lock = Lock()
        self._browsers: dict[str, _Tabs] = {}
        broker.when_unpolled(self._await)

    def arrived(self, socket_id: str, browser: str, poll: ParkedPoll) -> None:
        """A poll of the socket arrived from `browser` (`wsgi.browser_of`); `left` follows."""
        fields = {}
        with self._lock:
            tabs = self._tabs_of(browser)
            tabs.parked.add(poll)
            tabs.awaited.discard(socket_id)
            if not tabs.awaited:
                tabs.try_ends = 0.0
            if poll.pauses:
                tabs.pausable[poll] = socket_id
                if len(tabs.pausable) <= MOST_PAUSABLE:
                    return
                poll, socket_id = _take_oldest(tabs.pausable)
                fields = {"pause": _name(socket_id)}
            elif self._scheduler.now() >= tabs.try_ends:
                return
        poll.answer_early(**fields)

    def left(self, browser: str, poll: ParkedPoll) -> None:
        """The poll was answered, or its client has gone."""
        with self._lock:
            tabs = self._tabs_of(browser)
            tabs.parked.discard(poll)
            tabs.pausable.pop(poll, None)
            self._forget_if_idle(browser, tabs)

    def _await(self, socket_id: str, browser: str) -> None:
        """A message came for a socket that was last polled from `browser`, and no poll of it is here."""
        with self._lock:
            tabs = self._tabs_of(browser)
            if socket_id in tabs.awaited or len(tabs.parked) > MOST_PARKED or len(tabs.awaited) > MOST_PARKED:
                return
            tabs.awaited.add(socket_id)
            tabs.pause = FIRST_PAUSE
            due = self._scheduler.now() + FIRST_PAUSE
            if tabs.due is not None and tabs.due <= due:
                return
            tabs.due = due
        self._scheduler.at(due, functools.partial(self._try, browser))

    def _try(self, browser: str) -> None:
        now = self._scheduler.now()
        with self._lock:
            tabs = self._browsers.get(browser)
            if tabs is None or tabs.due is None or now < tabs.due:
                return
            tabs.due = None
            tabs.awaited = {socket_id for socket_id in tabs.awaited if self._broker.is_unpolled(socket_id)}
            # After so long every poll that was parked in the beginning has been answered: the tab does not ask.
            if not tabs.awaited or tabs.pause > LONGEST_POLL:
                tabs.awaited.clear()
                tabs.try_ends = 0.0
                self._forget_if_idle(browser, tabs)
                return
            parked: list[ParkedPoll] = []
            fields = {}
            if tabs.pausable:
                parked = [_take_oldest(tabs.pausable)[0]]
                fields = {"call": [_name(socket_id) for socket_id in tabs.awaited]}
            # While a try goes on fewer are parked.
            elif (0 if tabs.try_ends else FEWEST_PARKED) <= len(tabs.parked) <= MOST_PARKED:
                parked = list(tabs.parked)
                tabs.try_ends = now + LONGEST_TRY
            tabs.due = due = now + tabs.pause
            tabs.pause *= 2
        for poll in parked:
            poll.answer_early(**fields)
        self._scheduler.at(due, functools.partial(self._try, browser))

    def _tabs_of(self, browser: str) -> _Tabs:
        tabs = self._browsers.get(browser)
        if tabs is None:
            tabs = self._browsers[browser] = _Tabs()
        return tabs

    def _forget_if_idle(self, browser: str, tabs: _Tabs) -> None:
        if not tabs.parked and not tabs.awaited and tabs.due is None:
            self._browsers.pop(browser, None)


def _take_oldest(polls: dict[ParkedPoll, str]) -> tuple[ParkedPoll, str]:
    poll = next(iter(polls))
    return poll, polls.pop(poll)


def _name(socket_id: str) -> str:
    """Of the BroadcastChannel at which a page is called. Other pages know it; the id is a secret."""
    return f"goog.appengine.{hashlib.sha256(socket_id.encode('utf-8')).hexdigest()[:16]}"
