"""What tests and the console do to the broker from outside the Channel API: end, cut, expire, travel, reset."""

from __future__ import annotations

from threading import Lock

from appengine_channel_emu.broker.clock import Clock
from appengine_channel_emu.broker.errors import ClosedByHand
from appengine_channel_emu.broker.events import Journal
from appengine_channel_emu.broker.sockets import Sockets
from appengine_channel_emu.broker.tokens import Tokens
from appengine_channel_emu.broker.turn import Turn

LATEST_TIME = 4_102_444_800.0
"""The end of the year 2099, in seconds since the epoch: a clock is advanced no further."""


class EmbeddedControl:
    """The `Control` of an embedded broker."""

    def __init__(self, turn: Turn, sockets: Sockets, tokens: Tokens, journal: Journal, clock: Clock) -> None:
        self._turn = turn
        self._sockets = sockets
        self._tokens = tokens
        self._journal = journal
        self._clock = clock
        self._travelling = Lock()
        self.travelled = 0.0

    def sockets_of(self, client_id: str) -> list[str]:
        """See `Control`."""
        with self._turn:
            channel = self._sockets.channels.get(client_id)
            return list(channel.sockets) if channel else []

    def close(self, socket_id: str) -> bool:
        """See `Control`."""
        with self._turn:
            socket = self._sockets.get(socket_id)
            if socket is not None:
                self._sockets.end(socket, ClosedByHand, "A socket was closed by hand.")
            return socket is not None

    def cut(self, socket_id: str) -> bool:
        """See `Control`."""
        with self._turn:
            socket = self._sockets.get(socket_id)
            if socket is None:
                return False
            if socket.poll is not None:
                socket.poll.cut = True
                self._turn.then(socket.poll.ready.set)
                self._turn.event(
                    "socket_cut",
                    "The connection of a socket was cut by hand.",
                    client_id=socket.channel.client_id,
                    socket=socket_id,
                )
            return True

    def expire(self, socket_id: str) -> bool:
        """See `Control`."""
        with self._turn:
            socket = self._sockets.get(socket_id)
            if socket is not None:
                self._tokens.expire(socket.token)
            return socket is not None

    def travel(self, seconds: float) -> None:
        """See `Control`; `LATEST_TIME` is the latest."""
        with self._travelling:
            target = self._clock.now() + seconds
            if not seconds >= 0 or target > LATEST_TIME:
                raise ValueError("The clock is advanced by 0 seconds or more, and not past the year 2099.")
            with self._turn:
                self._sockets.hold_attached(target)
                self._turn.event(
                    "clock_advanced", f"The clock was advanced by {seconds:g} s.", detail={"seconds": seconds}
                )
            try:
                self._clock.advance(seconds)
            finally:
                with self._turn:
                    self._sockets.hold_attached(None)
            self.travelled += seconds

    def reset(self) -> None:
        """See `Control`."""
        with self._turn:
            self._tokens.forget_all()
            self._sockets.forget_all()
            self._journal.clear()
            self._turn.events.clear()
            self._turn.event("reset", "The emulator was reset.")
