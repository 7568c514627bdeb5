"""The app's requests that run: what they send waits for their answers, at whatever node the page is (behaviour.md 3).

A send that waits says so in its entry of the log: `request|due|browser`. The node of the request tells all nodes when
its answer has left.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

from appengine_channel_emu.broker.app_requests import KnownAppRequests
from appengine_channel_emu.broker.channel import Hold, Socket
from appengine_channel_emu.broker.clock import Scheduler
from appengine_channel_emu.broker.redis.mirror import browser_name
from appengine_channel_emu.broker.turn import Turn

MOST_OVER = 1_000
"""Answers of requests that are remembered: what waits for one waits no longer than half a second."""


class SharedAppRequests(KnownAppRequests):
    """The `AppRequests` of one node. `answered(request, due)` tells all nodes; `due` in milliseconds of the clock."""

    def __init__(
        self,
        turn: Turn,
        scheduler: Scheduler,
        margin: float,
        release: Callable[[Socket], None],
        answered: Callable[[str, int], None],
    ) -> None:
        super().__init__(turn, scheduler, margin, release)
        self._answered = answered
        self._sent: set[str] = set()
        self._held: dict[str, list[Hold]] = {}
        self._over: dict[str, int] = {}

    def end(self, id: str) -> None:
        """See `AppRequests`."""
        with self._turn:
            request = self._end(id)
            if request is not None and request.ended_at is not None and id in self._sent:
                self._sent.discard(id)
                self._answered(id, self._on_clock(request.ended_at + request.margin))

    def hold_of(self, id: str | None) -> str:
        """What a send of the request of that id says of itself; nothing where it does not wait. Inside the turn."""
        found = self._waited_for(id)
        if found is None:
            return ""
        request, due = found
        assert request.browser is not None
        if request.ended_at is None:
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
