"""The app's requests that run, and for how long what they send waits.

A push does not overtake the answer of the app's request that sent it (behaviour.md 3). What a request sends to pages of
the browser that made it is queued and numbered at once, as everything is, but may not leave before the browser has had
time to show the answer to its page. What is behind it in a socket's queue waits, too.
"""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Callable

from appengine_channel_emu.broker.channel import Hold, Socket, random_id
from appengine_channel_emu.broker.clock import Scheduler
from appengine_channel_emu.broker.turn import Turn

NAVIGATION_SECONDS = 0.3
"""At the least after the answer to a navigation, such as a form posted into a frame: a document takes long to load."""

LONGEST_HOLD = 0.5
"""Seconds after which a message leaves, answer or no answer: a handler that reports its progress is seen doing so."""


class AppRequest:
    """One request of the app.

    id:      what names it in a send, unguessable.
    browser: who made it, as sockets are marked with it; None where that is not known.
    margin:  seconds between its answer and what it sends to that browser.
    """

    __slots__ = ("browser", "ended_at", "holds", "id", "margin")

    def __init__(self, browser: str | None, margin: float) -> None:
        self.id = random_id()
        self.browser = browser
        self.margin = margin
        self.ended_at: float | None = None
        """When the last byte of its answer left, or its connection was lost; in seconds of the scheduler."""
        self.holds: deque[Hold] = deque()
        """Those that are not over, the first due first."""


class KnownAppRequests:
    """The requests that run, and those whose answers left a moment ago; `margin` is in seconds, 0 holds nothing."""

    def __init__(self, turn: Turn, scheduler: Scheduler, margin: float, release: Callable[[Socket], None]) -> None:
        self._turn = turn
        self._scheduler = scheduler
        self._margin = margin
        self._release = release
        self._known: dict[str, AppRequest] = {}
        self._ended: deque[AppRequest] = deque()

    @property
    def matter(self) -> bool:
        """See `AppRequests`."""
        return self._margin > 0

    def __len__(self) -> int:
        """How many are known."""
        return len(self._known)

    def begin(self, browser: str | None, navigation: bool) -> str:
        """See `AppRequests`."""
        request = AppRequest(browser, max(self._margin, NAVIGATION_SECONDS) if navigation else self._margin)
        # Nothing is held for a browser that cannot be told from others: then a send need not know the request.
        if browser is not None:
            with self._turn:
                self._forget_old()
                self._known[request.id] = request
        return request.id

    def _end(self, id: str) -> AppRequest | None:
        """Its answer has left, in this moment; None where that is known already. Inside the turn."""
        request = self._known.get(id)
        if request is None or request.ended_at is not None:
            return None
        request.ended_at = self._scheduler.now()
        self._ended.append(request)
        return request

    def _waited_for(self, id: str | None) -> tuple[AppRequest, float] | None:
        """The request of that id, and until when what it sends waits; None where it does not. Inside the turn.

        The id is unknown then, or the answer is long there.
        """
        request = self._known.get(id) if id is not None else None
        if request is None:
            return None
        now = self._scheduler.now()
        due = now + LONGEST_HOLD
        if request.ended_at is not None:
            due = min(due, request.ended_at + request.margin)
        return (request, due) if due > now else None

    def _forget_old(self) -> None:
        """Forget those whose answers are long there; they are kept that long for what is sent behind an answer."""
        longest = max(self._margin, NAVIGATION_SECONDS)
        since = self._scheduler.now() - longest
        while self._ended and (self._ended[0].ended_at or 0.0) < since:
            del self._known[self._ended.popleft().id]


class EmbeddedAppRequests(KnownAppRequests):
    """The `AppRequests` of an embedded broker."""

    def end(self, id: str) -> None:
        """See `AppRequests`."""
        with self._turn:
            request = self._end(id)
            if request is None or request.ended_at is None:
                return
            due = request.ended_at + request.margin
            for hold in request.holds:
                hold.due = min(hold.due, due)
            if request.holds:
                self._look_at(due, request)

    def hold(self, id: str | None) -> Hold | None:
        """What is sent by the request of that id is to wait like this, where it goes to the request's browser.

        None where it is not to wait. Called inside the broker's turn.
        """
        found = self._waited_for(id)
        if found is None:
            return None
        request, due = found
        assert request.browser is not None
        return Hold(request.browser, due, functools.partial(self._begin_hold, request))

    def _begin_hold(self, request: AppRequest, hold: Hold) -> None:
        request.holds.append(hold)
        if len(request.holds) == 1:
            self._look_at(hold.due, request)

    def _look_at(self, due: float, request: AppRequest) -> None:
        self._turn.then(lambda: self._scheduler.at(due, lambda: self._look(request)))

    def _look(self, request: AppRequest) -> None:
        """End the holds that are due."""
        with self._turn:
            now = self._scheduler.now()
            while request.holds and request.holds[0].due <= now:
                hold = request.holds.popleft()
                hold.over = True
                for socket in hold.sockets:
                    self._release(socket)
            if request.holds:
                self._look_at(request.holds[0].due, request)
