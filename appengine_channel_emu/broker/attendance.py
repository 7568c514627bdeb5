"""Which sockets are attached: those that a poll or a stream serves, or has served just now (behaviour.md 3)."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from appengine_channel_emu.broker.channel import Socket
from appengine_channel_emu.broker.presence import Presence
from appengine_channel_emu.broker.saving import DirtySet
from appengine_channel_emu.broker.turn import Turn


class Attendance:
    """Notices that pages come, rest and stay away; all calls come inside the broker's turn.

    `away` is called with a socket that was detached for `resume_window` seconds.
    """

    def __init__(
        self, turn: Turn, presence: Presence, dirty: DirtySet, resume_window: float, away: Callable[[Socket], None]
    ) -> None:
        self._turn = turn
        self._presence = presence
        self._dirty = dirty
        self._resume_window = resume_window
        self._away = away
        self._held_until = 0.0

    def attach(self, socket: Socket) -> None:
        """`socket` has a poll or a stream, or was just opened."""
        if socket.attached:
            return
        socket.attached = True
        socket.channel.attached += 1
        if socket.timer is not None:
            # It would run when a socket is gone that was detached.
            socket.timer.cancel()
            socket.timer = None
        self._presence.update(socket.channel)
        self._dirty.socket(socket)

    def rest(self, socket: Socket) -> None:
        """From this moment on `socket` has no poll and no stream."""
        now = socket.quiet_since = self._turn.clock.uptime()
        if now < self._held_until:
            socket.quiet_since = self._held_until
        left = socket.quiet_since + socket.attached_seconds - now
        # A timer that runs too early looks again. None of our own wire runs too late: see `attach`.
        if socket.timer is None or (socket.sdk_wire and socket.timer.due > self._turn.now() + left):
            self._watch(socket, left)

    def detach(self, socket: Socket) -> None:
        """Its page is away, or it has ended."""
        channel = socket.channel
        if socket.attached:
            socket.attached = False
            channel.attached -= 1
            if not channel.attached:
                channel.empty_since = self._turn.uptime()
            self._presence.update(channel)
            if socket.ended is None:
                self._dirty.socket(socket)

    def hold(self, target: float | None, sockets: Iterable[Socket]) -> None:
        """Until the clock has been moved to `target` time does not count against attached `sockets`; None ends that.

        Their pages live in real time: between two polls no page has been away for what a test lets pass.
        """
        if target is None:
            self._held_until = 0.0
            return
        passing = target - self._turn.now()
        self._held_until = self._turn.uptime() + passing
        for socket in sockets:
            if socket.attached and socket.receiver is None:
                # Its timer looks again when it runs.
                socket.quiet_since += passing

    def _watch(self, socket: Socket, seconds: float) -> None:
        if socket.timer is not None:
            socket.timer.cancel()
        socket.timer = self._turn.after(seconds, self._quiet, socket)

    def _quiet(self, socket: Socket) -> None:
        """The timer of `socket` ran: its page is back, or it is to be looked at later, detached by now, or gone."""
        socket.timer = None
        if socket.receiver is not None:
            return
        now = self._turn.uptime()
        detach_due = socket.quiet_since + socket.attached_seconds
        gone_due = detach_due + self._resume_window
        if now < detach_due:
            self._watch(socket, detach_due - now)
        elif now < gone_due:
            self.detach(socket)
            self._watch(socket, gone_due - now)
        else:
            self._away(socket)
