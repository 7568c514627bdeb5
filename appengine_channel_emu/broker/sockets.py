"""The sockets: attached while they are polled, then detached, then gone (behaviour.md 3)."""

from __future__ import annotations

from appengine_channel_emu.broker.channel import Channel, Socket, TokenRecord, Unread
from appengine_channel_emu.broker.errors import EmulatorError, SocketGone, TooManySockets
from appengine_channel_emu.broker.presence import Presence
from appengine_channel_emu.broker.saving import Unsaved
from appengine_channel_emu.broker.turn import Turn


class Sockets:
    """Every channel and socket there is; all calls come inside the broker's turn."""

    def __init__(
        self, turn: Turn, presence: Presence, unsaved: Unsaved, resume_window: float, most_of_a_client_id: int
    ) -> None:
        self._turn = turn
        self._presence = presence
        self._unsaved = unsaved
        self._resume_window = resume_window
        self._most = most_of_a_client_id
        self.unread = Unread()
        self._sockets: dict[str, Socket] = {}
        self._ended: dict[str, type[EmulatorError]] = {}
        self.channels: dict[str, Channel] = {}
        self._held_until = 0.0

    @property
    def count(self) -> int:
        """How many sockets there are."""
        return len(self._sockets)

    def find(self, id: str) -> Socket:
        """The socket of that id; raises the error that ended it, or `SocketGone`."""
        socket = self._sockets.get(id)
        if socket is None:
            raise self._ended.get(id, SocketGone)
        return socket

    def get(self, id: str) -> Socket | None:
        """The socket of that id, if it is not gone."""
        return self._sockets.get(id)

    def channel(self, client_id: str) -> Channel:
        """The channel to `client_id`, made when there is none."""
        channel = self.channels.get(client_id)
        if channel is None:
            channel = self.channels[client_id] = Channel(client_id)
        return channel

    def open(self, id: str, token: TokenRecord, old_wire: bool) -> Socket:
        """A new socket, attached. Raises `TooManySockets`."""
        channel = self.channel(token.client_id)
        if len(channel.sockets) >= self._most:
            self._turn.event(
                "socket_refused",
                f"This client id has {self._most} sockets, and --max-sockets allows no more.",
                client_id=token.client_id,
            )
            raise TooManySockets
        socket = Socket(id, channel, token, old_wire, self._turn)
        self.add(socket)
        self.attach(socket)
        self.rest(socket)
        self._unsaved.socket_at_once(socket)
        self._turn.event("socket_opened", "A socket was opened.", client_id=token.client_id, socket=id)
        return socket

    def add(self, socket: Socket) -> None:
        """Put `socket` into the tables."""
        self._sockets[socket.id] = socket
        socket.channel.sockets[socket.id] = socket
        socket.token.hold(socket)
        self._unsaved.socket(socket)

    def restore(self, socket: Socket, attached: bool) -> None:
        """A socket that a former process saved; nobody is told of it yet."""
        self.add(socket)
        if attached:
            socket.attached = True
            socket.channel.attached += 1
        self.rest(socket)

    def attach(self, socket: Socket) -> None:
        """`socket` is polled, or was just opened."""
        if socket.attached:
            return
        socket.attached = True
        socket.channel.attached += 1
        self._presence.update(socket.channel)
        self._unsaved.socket(socket)

    def rest(self, socket: Socket) -> None:
        """From this moment on `socket` has no poll parked."""
        now = self._turn.uptime()
        socket.quiet_since = max(now, self._held_until)
        left = socket.quiet_since + socket.attached_seconds - now
        if socket.timer is None or socket.timer.due > self._turn.now() + left:
            self._watch(socket, left)

    def end(self, socket: Socket, error: type[EmulatorError], text: str, quietly: bool = False) -> None:
        """Close `socket`: its poll, and later ones for a while, are answered with `error`.

        `quietly`: the app hears nothing of it.
        """
        if socket.ended is not None:
            return
        socket.ended = error
        if socket.timer is not None:
            socket.timer.cancel()
        del self._sockets[socket.id]
        del socket.channel.sockets[socket.id]
        socket.token.drop(socket)
        self._remember(socket.id, error)
        self._unsaved.socket_ended(socket)
        unread = len(socket.queue)
        socket.forget_messages()
        self._turn.event(
            "socket_closed",
            text,
            client_id=socket.channel.client_id,
            socket=socket.id,
            detail={"unread": unread} if unread else {},
        )
        if socket.poll is not None:
            socket.poll.ended = error
            self._turn.then(socket.poll.ready.set)
        if quietly:
            socket.attached = False
        else:
            self._detach(socket)

    def fullest(self) -> Socket | None:
        """The socket with the most unread bytes, if any has some. Looks at every one."""
        socket = max(self._sockets.values(), key=lambda socket: socket.queued_bytes, default=None)
        return socket if socket is not None and socket.queue else None

    def hold_attached(self, target: float | None) -> None:
        """Until the clock has been moved to `target` time does not count against attached sockets; None ends that.

        Their pages live in real time: between two polls no page has been away for what a test lets pass.
        """
        if target is None:
            self._held_until = 0.0
            return
        passing = target - self._turn.now()
        self._held_until = self._turn.uptime() + passing
        for socket in self._sockets.values():
            if socket.attached and socket.poll is None:
                # Its timer looks again when it runs.
                socket.quiet_since += passing

    def forget_all(self) -> None:
        """End every socket and forget every channel, without a word to the app."""
        for channel in list(self.channels.values()):
            channel.told = False
            if channel.timer is not None:
                channel.timer.cancel()
                channel.timer = None
            self._unsaved.told(channel)
            del self.channels[channel.client_id]
        for socket in list(self._sockets.values()):
            self.end(socket, SocketGone, "A socket was forgotten by a reset.", quietly=True)

    def save_all(self) -> None:
        """The store has none of them any more, nor what the app was told."""
        for socket in self._sockets.values():
            socket.stored = socket.acknowledged
            self._unsaved.socket(socket)
        for channel in self.channels.values():
            self._unsaved.told(channel)

    def forget_idle(self, channel: Channel) -> None:
        """Drop `channel` from the table when nothing would be lost by it."""
        if channel.idle and self.channels.get(channel.client_id) is channel:
            del self.channels[channel.client_id]

    def _remember(self, id: str, error: type[EmulatorError]) -> None:
        if error is SocketGone:
            return
        self._ended[id] = error
        since = self._turn.uptime()
        self._turn.after(self._resume_window, lambda: self._forget(id, since))

    def _forget(self, id: str, since: float) -> None:
        left = since + self._resume_window - self._turn.uptime()
        if left > 0:
            self._turn.after(left, lambda: self._forget(id, since))
        else:
            self._ended.pop(id, None)

    def _detach(self, socket: Socket) -> None:
        channel = socket.channel
        if socket.attached:
            socket.attached = False
            channel.attached -= 1
            if not channel.attached:
                channel.empty_since = self._turn.uptime()
            self._presence.update(channel)
            if socket.ended is None:
                self._unsaved.socket(socket)
        self.forget_idle(channel)

    def _watch(self, socket: Socket, seconds: float) -> None:
        if socket.timer is not None:
            socket.timer.cancel()
        socket.timer = self._turn.after(seconds, lambda: self._quiet(socket))

    def _quiet(self, socket: Socket) -> None:
        """The timer of `socket` ran: it is polled again, to be looked at later, detached by now, or gone."""
        socket.timer = None
        if socket.poll is not None:
            return
        now = self._turn.uptime()
        detach_due = socket.quiet_since + socket.attached_seconds
        gone_due = detach_due + self._resume_window
        if now < detach_due:
            self._watch(socket, detach_due - now)
        elif now < gone_due:
            self._detach(socket)
            self._watch(socket, gone_due - now)
        else:
            self.end(socket, SocketGone, "A socket was not polled within the resume window.")
