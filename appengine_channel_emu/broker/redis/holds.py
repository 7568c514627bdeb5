"""The app's requests that run: what they send waits for their answers, at whatever node the page is (behaviour.md 3).

A send that waits says so in its entry of the log: `request|due|browser`. The node of the request tells all nodes when
its answer has left.
"""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Callable

from appengine_channel_emu.broker.app_requests import LONGEST_HOLD, NAVIGATION_SECONDS, AppRequest
from appengine_channel_emu.broker.channel import Hold, Socket
from appengine_channel_emu.broker.clock import Scheduler
from appengine_channel_emu.broker.redis.mirror import browser_name
from appengine_channel_emu.broker.turn import Turn

MOST_OVER = 1_000
"""Answers of requests that are remembered: what waits for one waits no longer than half a second."""


class SharedAppRequests:
    """The `AppRequests` of one node. `answered(request, due)` tells all nodes; `due` in milliseconds of the clock."""

    def __init__(
        self,
        turn: Turn,
        scheduler: Scheduler,
        margin: float,
        release: Callable[[Socket], None],
        answered: Callable[[str, int], None],
    ) -> None:
        self._turn = turn
        self._scheduler = scheduler
        self._margin = margin
        self._release = release
        self._answered = answered
        self._known: dict[str, AppRequest] = {}
        self._ended: deque[AppRequest] = deque()
        self._sent: set[str] = set()
        self._held: dict[str, list[Hold]] = {}
        self._over: dict[str, int] = {}

    @property
    def matter(self) -> bool:
        """See `AppRequests`."""
        return self._margin > 0

    def begin(self, browser: str | None, navigation: bool) -> str:
        """See `AppRequests`."""
        request = AppRequest(browser, max(self._margin, NAVIGATION_SECONDS) if navigation else self._margin)
        if browser is not None:
            with self._turn:
                self._forget_old()
                self._known[request.id] = request
        return request.id

    def end(self, id: str) -> None:
        """See `AppRequests`."""
        with self._turn:
            request = self._known.get(id)
            if request is None or request.ended_at is not None:
                return
            request.ended_at = self._scheduler.now()
            self._ended.append(request)
            if id in self._sent:
                self._sent.discard(id)
                self._answered(id, self._on_clock(request.ended_at + request.margin))

    def hold_of(self, id: str | None) -> str:
        """What a send of the request of that id says of itself; nothing where it does not wait. Inside the turn."""
        request = self._known.get(id) if id is not None else None
        if request is None:
            return ""
        assert request.browser is not None
        now = self._scheduler.now()
        due = now + LONGEST_HOLD
        if request.ended_at is not None:
            due = min(due, request.ended_at + request.margin)
            if due <= now:
                return ""
        else:
            self._sent.add(request.id)
        return f"{request.id}|{self._on_clock(due)}|{browser_name(request.browser)}"

    def find(self, text: str) -> Hold | None:
        """What an entry of the log waits for that says `text`; None where that is over. Inside the turn."""
        id, due, browser = text.split("|")
        left = min(int(due), self._over.get(id, int(due))) / 1000 - self._turn.now()
        if left <= 0:
            return None
        return Hold(browser, self._scheduler.now() + left, functools.partial(self._begin_hold, id))

    def over(self, id: str, due: int) -> None:
        """The answer of the request has left; what it sent may leave at `due`. Inside the turn."""
        # Who claims a socket later reads what it waited for in the log.
        self._over[id] = due
        if len(self._over) > MOST_OVER:
            del self._over[next(iter(self._over))]
        held = self._held.get(id, ())
        until = self._scheduler.now() + due / 1000 - self._turn.now()
        for hold in held:
            hold.due = min(hold.due, until)
        if held:
            self._look_at(until, id)

    def _on_clock(self, due: float) -> int:
        return round((due - self._scheduler.now() + self._turn.now()) * 1000)

    def _begin_hold(self, id: str, hold: Hold) -> None:
        self._held.setdefault(id, []).append(hold)
        self._look_at(hold.due, id)

    def _look_at(self, due: float, id: str) -> None:
        self._turn.then(lambda: self._scheduler.at(due, lambda: self._look(id)))

    def _look(self, id: str) -> None:
        with self._turn:
            now = self._scheduler.now()
            held = self._held.pop(id, [])
            left = [hold for hold in held if hold.due > now]
            if left:
                self._held[id] = left
            for hold in held:
                if hold.due <= now:
                    hold.over = True
                    for socket in hold.sockets:
                        self._release(socket)

    def _forget_old(self) -> None:
        since = self._scheduler.now() - max(self._margin, NAVIGATION_SECONDS)
        while self._ended and (self._ended[0].ended_at or 0.0) < since:
            del self._known[self._ended.popleft().id]
