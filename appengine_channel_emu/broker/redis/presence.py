"""Presence of the whole service: this node makes the posts that a script gave it, and waits for those of others."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from appengine_channel_emu.broker.contract import PresencePost
from appengine_channel_emu.broker.figures import BrokerFigures
from appengine_channel_emu.broker.presence import presence_event
from appengine_channel_emu.broker.turn import Signal, Turn


class SharedPresence:
    """What Redis decided is posted here, once; `tell(client_id, connected, fence)` says that it has ended.

    All calls come inside the turn.
    """

    def __init__(
        self,
        turn: Turn,
        post: PresencePost | None,
        figures: BrokerFigures,
        tell: Callable[[str, bool, int], None],
    ) -> None:
        self._turn = turn
        self._post = post
        self._figures = figures
        self._tell = tell
        self._fences: dict[tuple[str, bool], int] = {}
        self._ending: set[int] = set()
        """Fences of posts that have ended, which Redis may not have been told."""
        self._openings: dict[str, list[Signal]] = {}

    def ended(self, fence: int) -> None:
        """Redis was told that the post of that fence has ended."""
        self._ending.discard(fence)

    def make(self, posts: list[list[Any]]) -> None:
        """Make what a script gave us to post."""
        for client_id, connected, fence in posts:
            if self._post is None:
                # Where one node tells presence and another does not, nobody is to wait for this one.
                self._end(client_id.decode(), bool(connected), int(fence))
            else:
                self._fences[client_id.decode(), bool(connected)] = int(fence)
                self._turn.then(functools.partial(self._post, client_id.decode(), bool(connected)))

    def make_unknown(self, posts: list[list[Any]]) -> None:
        """Redis believes that these are made here: make those that nobody has told us of."""
        known = {*self._fences.values(), *self._ending}
        self.make([each for each in posts if int(each[2]) not in known])

    def opening(self, client_id: str, settled: bool) -> Signal:
        """A signal that is set once the app has been told of the connected client, or need not be."""
        signal = Signal()
        if settled:
            self._turn.then(signal.set)
        else:
            self._openings.setdefault(client_id, []).append(signal)
        return signal

    def settled(self, client_id: str) -> None:
        """The app has been told, by whichever node."""
        for signal in self._openings.pop(client_id, ()):
            self._turn.then(signal.set)

    def settle_all(self) -> None:
        """What was told meanwhile is not known: nobody is to wait for it."""
        for client_id in list(self._openings):
            self.settled(client_id)

    def done(self, client_id: str, connected: bool, status: int | None, problem: str, seconds: float | None) -> None:
        """A post of ours has ended."""
        self._figures.presence["connected" if connected else "disconnected", status] += 1
        kind, text, detail = presence_event(connected, status, problem, seconds)
        self._turn.event(kind, text, client_id=client_id, detail=detail)
        fence = self._fences.pop((client_id, connected), None)
        if fence is not None:
            self._end(client_id, connected, fence)

    def _end(self, client_id: str, connected: bool, fence: int) -> None:
        self._ending.add(fence)
        self._turn.then(functools.partial(self._tell, client_id, connected, fence))
