"""What is remembered of sockets that have ended: what their pages are told, and why nobody is there."""

from __future__ import annotations

from appengine_channel_emu.broker.drops import Departure, Departures, WhyLeft
from appengine_channel_emu.broker.errors import (
    BacklogExceeded,
    ClosedByHand,
    EmulatorError,
    Replaced,
    SocketGone,
    TokenTimedOut,
)
from appengine_channel_emu.broker.turn import Turn

_WHY: dict[type[EmulatorError], WhyLeft] = {
    TokenTimedOut: "expired",
    BacklogExceeded: "overflow",
    ClosedByHand: "by_hand",
    Replaced: "replaced",
}


class EndedSockets:
    """The errors by which sockets have ended, for `window` seconds each; all calls come inside the broker's turn.

    Pages that are between two polls ask for them in real time: seconds that a test lets pass do not count (see `hold`).
    """

    def __init__(self, turn: Turn, window: float) -> None:
        self._turn = turn
        self._window = window
        self._errors: dict[str, tuple[type[EmulatorError], float]] = {}
        """By socket id; with the uptime from which the window counts."""
        self._held_until = 0.0
        self.departures = Departures()

    def add(self, id: str, error: type[EmulatorError]) -> None:
        """The socket of that id has ended by `error`."""
        if error is SocketGone:
            return
        self._errors[id] = error, max(self._turn.uptime(), self._held_until)
        self._turn.after(self._window, self._forget, id)

    def left(self, client_id: str, why: WhyLeft) -> None:
        """That was the last socket of `client_id`, or its last token."""
        self.departures.left(client_id, Departure(self._turn.now(), why))

    def error(self, id: str) -> type[EmulatorError]:
        """What a page is told that asks for a socket which is not there."""
        error, _ = self._errors.get(id, (SocketGone, 0.0))
        return error

    def hold(self, target: float | None) -> None:
        """Until the clock has been moved to `target` nothing is forgotten, nor sooner after it; None ends that."""
        if target is None:
            self._held_until = 0.0
            return
        passing = target - self._turn.now()
        self._held_until = self._turn.uptime() + passing
        for id, (error, since) in self._errors.items():
            self._errors[id] = error, since + passing

    def _forget(self, id: str) -> None:
        _, since = self._errors[id]
        left = since + self._window - self._turn.uptime()
        if left > 0:
            self._turn.after(left, self._forget, id)
        else:
            del self._errors[id]


def why_ended(error: type[EmulatorError], otherwise: WhyLeft) -> WhyLeft:
    """Why a socket has ended by `error`, where that says it, `otherwise` where it is `SocketGone`."""
    return _WHY.get(error, otherwise)
