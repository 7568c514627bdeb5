"""The sockets: attached while a poll or a stream is there, then detached, then gone (behaviour.md 3)."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from functools import partial

from appengine_channel_emu.broker.attendance import Attendance
from appengine_channel_emu.broker.channel import Channel, QueuedMessage, Socket, TokenRecord, Unread, random_id
from appengine_channel_emu.broker.contract import BrokerOptions
from appengine_channel_emu.broker.drops import WhyLeft
from appengine_channel_emu.broker.ended import EndedSockets, why_ended
from appengine_channel_emu.broker.errors import (
    EmulatorError,
    Replaced,
    SocketGone,
    TokenTimedOut,
    TooManySockets,
)
from appengine_channel_emu.broker.figures import BrokerFigures
from appengine_channel_emu.broker.presence import Presence
from appengine_channel_emu.broker.receiver import Message, Receiver
from appengine_channel_emu.broker.saving import DirtySet, SavedSocket, State
from appengine_channel_emu.broker.turn import Turn

ATTEMPTS_LOOKED_AT = 1_000
"""Latest sockets of a client id that may have been opened by the same attempt; a page tries again within seconds."""

_STALE = "The saved state is not the last one: messages of this socket may be missing, and its page is told."


class Sockets:
    """Every channel and socket there is; all calls come inside the broker's turn."""

    def __init__(
        self, turn: Turn, presence: Presence, dirty: DirtySet, options: BrokerOptions, figures: BrokerFigures
    ) -> None:
        self._turn = turn
        self.figures = figures
        self._presence = presence
        self._dirty = dirty
        self._resume_window = options.resume_window
        self._one_tab = options.tabs == "single"
        self._most = options.max_sockets
        self.unread = Unread()
        self._sockets: dict[str, Socket] = {}
        self.ended = EndedSockets(turn, options.resume_window)
        self.channels: dict[str, Channel] = {}
        self.attendance = Attendance(turn, presence, dirty, options.resume_window, self._away)

    @property
    def count(self) -> int:
        """How many sockets there are."""
        return len(self._sockets)

    def get(self, id: str) -> Socket | None:
        """The socket of that id, if it is not gone."""
        return self._sockets.get(id)

    def all(self) -> list[Socket]:
        """Those that there are at this moment."""
        return list(self._sockets.values())

    def is_open(self, client_id: str) -> bool:
        """Whether that client id has a socket."""
        return bool(self.of(client_id))

    def of(self, client_id: str) -> tuple[Socket, ...]:
        """The sockets of that client id, in the order in which they were opened."""
        channel = self.channels.get(client_id)
        return () if channel is None else channel.sockets

    def channel(self, client_id: str) -> Channel:
        """The channel to `client_id`, made when there is none."""
        channel = self.channels.get(client_id)
        if channel is None:
            channel = self.channels[client_id] = Channel(client_id)
        return channel

    def open(self, token: TokenRecord, sdk_wire: bool = False, attempt: str | None = None) -> Socket:
        """A new socket, attached; the same again for the same `attempt`. Raises `TooManySockets`."""
        channel = self.channel(token.client_id)
        if attempt is not None:
            for socket in channel.sockets[-ATTEMPTS_LOOKED_AT:]:
                if socket.attempt == attempt and socket.token is token:
                    return socket
        # With --tabs=single the older socket makes room itself.
        if len(channel.sockets) >= self._most + self._one_tab:
            refusal = TooManySockets()
            refusal.client_id = token.client_id
            raise refusal
        socket = Socket(random_id(), channel, token, sdk_wire, self._turn)
        socket.attempt = attempt
        self._add(socket)
        self.attendance.attach(socket)
        self.attendance.rest(socket)
        self._dirty.socket_at_once(socket)
        self.ended.departures.back(token.client_id)
        self._turn.event(
            "socket_opened",
            "A socket was opened.",
            client_id=token.client_id,
            socket=socket.id,
            detail=_socket_opened(len(channel.sockets), token.opened_by),
        )
        if self._one_tab:
            for older in [each for each in channel.sockets if each is not socket]:
                self.end(older, Replaced, "A newer socket of the client id was opened (--tabs=single).")
        return socket

    def resume(self, token: TokenRecord, id: str, after: int) -> Socket | None:
        """Go on with the socket of that id, whose page has all up to number `after`, if that can be done."""
        socket = self._sockets.get(id)
        if socket is None or socket.sdk_wire or socket.channel.client_id != token.client_id:
            return None
        if socket.unsettled is not None and not self._settle(socket, after):
            return None
        if not socket.acknowledged <= after <= socket.last_number:
            return None
        socket.token = token
        socket.attempt = None
        self.attendance.attach(socket)
        if socket.receiver is None:
            self.attendance.rest(socket)
        self._dirty.socket(socket)
        return socket

    def arrive(self, id: str, after: int) -> Socket:
        """The socket of that id, for a poll or stream of its page, which has all up to number `after`.

        Raises the error that ended the socket, or `SocketGone`.
        """
        socket = self._sockets.get(id)
        if socket is None:
            raise self.ended.error(id)
        if (socket.unsettled is not None and not self._settle(socket, after)) or socket.sdk_wire:
            raise SocketGone
        if after != socket.acknowledged:
            self.acknowledge(socket, after)
        return socket

    def acknowledge(self, socket: Socket, number: int) -> None:
        """Its page has all up to `number`. Raises `SocketGone` for a number that was never sent."""
        more = number - socket.acknowledged
        if more > len(socket.queue):
            raise SocketGone
        if more > 0:
            self._acknowledge(socket, number)

    def park(self, socket: Socket, receiver: Receiver) -> None:
        """From here on `receiver` takes the messages; an older one is told that it does not."""
        if socket.receiver is not None:
            socket.receiver.superseded = True
            self._turn.then(socket.receiver.wake)
        socket.receiver = receiver
        socket.way = receiver.transport
        if not socket.attached:
            self.attendance.attach(socket)

    def parked(self, receiver: Receiver) -> Socket | None:
        """The socket that `receiver` is parked on; None if it was answered or released, or a newer one took over."""
        socket = self._sockets.get(receiver.socket_id)
        return socket if socket is not None and socket.receiver is receiver else None

    def unpark(self, socket: Socket) -> None:
        """Its poll is answered, or the client of that or of its stream is gone."""
        socket.receiver = None
        self.attendance.rest(socket)

    def touch(self, token: TokenRecord) -> Socket:
        """The socket of `token` on the SDK's own wire, seen alive at this moment (facts.md 4.1)."""
        socket = token.sdk_wire_socket
        if socket is None:
            return self.open(token, sdk_wire=True)
        gap = self._turn.uptime() - socket.quiet_since
        # A slow poller's interval is believed at once and forgotten slowly, so that it never flaps.
        socket.interval = max(min(gap, self._resume_window), socket.interval / 2)
        self.attendance.attach(socket)
        self.attendance.rest(socket)
        return socket

    def pop(self, socket: Socket) -> Message | None:
        """The next message of a socket on the SDK's own wire, removed as it is read."""
        if not socket.deliverable:
            return None
        return self._acknowledge(socket, socket.acknowledged + 1)[0]

    def restore(self, state: State, tokens: dict[str, TokenRecord]) -> None:
        """Take up what a former process saved. Nobody is told of it yet.

        Sockets that were attached have their five seconds from this moment on, so that a short restart is no event to
        the app. A token that timed out meanwhile ends its sockets by its timer, as any other.
        """
        for client_id in state.connected:
            self.channel(client_id).presence_sent = True
        for saved in state.sockets:
            # In a state that was not closed cleanly, a socket's token may be missing.
            if saved.token in tokens:
                self._take_up(saved, tokens[saved.token], state)
            else:
                self._dirty.socket_ended(saved)
                self._turn.event("socket_closed", "The token of a socket was not saved.", socket=saved.id)
        for channel in list(self.channels.values()):
            channel.empty_since = self._turn.uptime()
            # Not at once: there is no app yet that could be told.
            self._turn.timers.set(self._turn.now(), partial(self._presence.update, channel))
            self.forget_idle(channel)

    def end(
        self,
        socket: Socket,
        error: type[EmulatorError],
        text: str,
        quietly: bool = False,
        why: WhyLeft = "page_left",
    ) -> None:
        """Close `socket`: its poll or stream, and later ones for a while, are answered with `error`.

        `quietly`: the app hears nothing of it. `why` is for what `SocketGone` alone does not say.
        """
        if socket.ended is not None:
            return
        socket.ended = error
        if socket.timer is not None:
            socket.timer.cancel()
        del self._sockets[socket.id]
        socket.channel.sockets = tuple([each for each in socket.channel.sockets if each is not socket])
        if socket.token.sdk_wire_socket is socket:
            socket.token.sdk_wire_socket = None
        self.ended.add(socket.id, error)
        self._dirty.socket_ended(socket)
        why = why_ended(error, why)
        unread = len(socket.queue)
        socket.forget_messages()
        self._turn.event(
            "socket_closed",
            text,
            client_id=socket.channel.client_id,
            socket=socket.id,
            detail={"why": why} | ({"unread": unread} if unread else {}) | socket.opened_by(),
        )
        if not socket.channel.sockets:
            self.ended.left(socket.channel.client_id, why)
        if socket.receiver is not None:
            socket.receiver.ended = error
            self._turn.then(socket.receiver.wake)
            # Messages are kept with their sockets, for long; connections are not to be.
            socket.receiver = None
        if quietly:
            socket.attached = False
        else:
            self.attendance.detach(socket)
            self.forget_idle(socket.channel)

    def end_with(self, token: TokenRecord) -> None:
        """`token` timed out, and its sockets with it."""
        channel = self.channels.get(token.client_id)
        if channel is not None:
            ended = [socket for socket in channel.sockets if socket.token is token]
            # All at once: each would be looked for among the others, and there may be thousands.
            channel.sockets = tuple([socket for socket in channel.sockets if socket.token is not token])
            for socket in ended:
                self.end(socket, TokenTimedOut, "Its token timed out.")

    def hold(self, target: float | None) -> None:
        """Until the clock has been moved to `target` no page is taken for one that is away; None ends that."""
        self.attendance.hold(target, self._sockets.values())
        self.ended.hold(target)

    def fullest(self) -> Socket | None:
        """The socket with the most unread bytes, if any has some. Looks at every one."""
        socket = max(self._sockets.values(), key=lambda socket: socket.queued_bytes, default=None)
        return socket if socket is not None and socket.queue else None

    def forget_all(self) -> None:
        """End every socket and forget every channel, and tell the app nothing."""
        for channel in list(self.channels.values()):
            channel.presence_sent = False
            if channel.timer is not None:
                channel.timer.cancel()
                channel.timer = None
            self._dirty.presence(channel)
            channel.sockets = ()
            del self.channels[channel.client_id]
        for socket in list(self._sockets.values()):
            self.end(socket, SocketGone, "A socket was forgotten by a reset.", quietly=True, why="reset")
        self.ended.departures.clear()

    def save_all(self) -> None:
        """The store has none of them any more, nor what the app was told."""
        for socket in self._sockets.values():
            socket.stored = socket.acknowledged
            self._dirty.socket(socket)
        for channel in self.channels.values():
            self._dirty.presence(channel)

    def forget_idle(self, channel: Channel) -> None:
        """Drop `channel` from the table when nothing would be lost by it."""
        if channel.idle and self.channels.get(channel.client_id) is channel:
            del self.channels[channel.client_id]

    def _acknowledge(self, socket: Socket, number: int) -> Sequence[QueuedMessage]:
        """Its page has all up to `number`: they are not needed any more, and when it had them is known."""
        now = self._turn.clock.now()
        receipt = now, socket.way
        forgotten = socket.acknowledge(number)
        for message in forgotten:
            if message.sent_at is not None:
                message.acknowledged[socket] = receipt
                self.figures.latency.add(now - message.sent_at)
        self._dirty.socket(socket)
        return forgotten

    def _add(self, socket: Socket) -> None:
        """Put `socket` into the tables."""
        self._sockets[socket.id] = socket
        socket.channel.sockets += (socket,)
        if socket.sdk_wire:
            socket.token.sdk_wire_socket = socket
        self._dirty.socket(socket)

    def _take_up(self, saved: SavedSocket, token: TokenRecord, state: State) -> None:
        socket = Socket(saved.id, self.channel(token.client_id), token, saved.sdk_wire, self._turn)
        socket.acknowledged = saved.acknowledged
        for text in saved.messages:
            socket.append(QueuedMessage(text, self.unread))
        socket.stored = socket.last_number
        socket.may_lag = saved.unsettled is not None or not state.clean
        socket.unsettled = socket.last_number if saved.unsettled is None else saved.unsettled
        self._add(socket)
        if saved.attached and not state.stale:
            socket.attached = True
            socket.channel.attached += 1
        self.attendance.rest(socket)
        if state.stale:
            self.end(socket, SocketGone, _STALE, quietly=True, why="stale")

    def _away(self, socket: Socket) -> None:
        """Its page was not heard of for as long as it may be."""
        self.end(socket, SocketGone, "The page was not heard of within --resume-window.", why="away")

    def _settle(self, socket: Socket, after: int) -> bool:
        """What the page says first after a restart; False if the socket has ended by it."""
        if not socket.settle(after):
            self.end(socket, SocketGone, _STALE, why="stale")
            return False
        if socket.may_lag:
            # At once: were it forgotten, a second unclean stop would renumber what the page has by then.
            self._dirty.socket_at_once(socket)
        return True


@functools.lru_cache(maxsize=256)
def _socket_opened(count: int, opened_by: str | None) -> dict[str, object]:
    """Detail of the event. Shared: thousands of these events are kept, and nearly all are alike."""
    return {"open": count} if opened_by is None else {"open": count, "opened_by": opened_by}
