"""Mirrors: the sockets whose polls this node holds, with what their pages have not got yet. Redis is the truth.

A poll on a mirrored socket costs no call to Redis. What comes by push is queued if it follows what the mirror has; if
it does not, the log is read from there on.
"""

from __future__ import annotations

import functools
import hashlib
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from appengine_channel_emu.broker.channel import (
    ATTACHED_SECONDS,
    Channel,
    Hold,
    QueuedMessage,
    Socket,
    TokenRecord,
    Unread,
)
from appengine_channel_emu.broker.contract import BrokerOptions
from appengine_channel_emu.broker.errors import EmulatorError
from appengine_channel_emu.broker.figures import BrokerFigures
from appengine_channel_emu.broker.journal import JOURNAL_LENGTH
from appengine_channel_emu.broker.receiver import Receiver
from appengine_channel_emu.broker.turn import Turn


class Entry(NamedTuple):
    """One entry of a channel's log; `sent_at` in seconds of the clock, `hold` as a send wrote it, see `holds`."""

    offset: int
    text: str
    sent_at: float
    hold: str = ""


def entry_of(row: Any) -> Entry:
    """An entry of a log, as a script gives it."""
    id, fields = row
    hold = fields[7].decode() if len(fields) > 7 else ""
    return Entry(int(id.partition(b"-")[0]), fields[1].decode(), int(fields[5]) / 1000, hold)


class MirroredSocket(Socket):
    """A socket that this node holds. `base` is the offset of its last acknowledged message, `offsets` are its queue's.

    `behind`: the log is being read for it, and brings what is pushed meanwhile.
    """

    __slots__ = ("base", "behind", "offsets")

    def __init__(self, id: str, channel: Channel, token: TokenRecord, turn: Turn, number: int, base: int) -> None:
        super().__init__(id, channel, token, False, turn)
        self.acknowledged = number
        self.base = base
        self.offsets: deque[int] = deque()
        self.behind = False

    @property
    def known(self) -> int:
        """The last offset that it has."""
        return self.offsets[-1] if self.offsets else self.base

    def advance(self, number: int) -> Sequence[QueuedMessage]:
        """Its page has all up to `number`: forget them, and return them."""
        forgotten = self.acknowledge(number)
        for _ in forgotten:
            self.base = self.offsets.popleft()
        return forgotten


class Mirrors:
    """All of this node; every call comes inside the broker's turn.

    `on_unsent()` is called when pages have said what they have and Redis does not know it. `on_gap(socket)` is to read
    the log for it, `on_quiet(socket, seconds)` is told that it was not polled for as long as it stays attached, so many
    seconds ago, and `find_hold(text)` gives what an entry waits for.
    """

    def __init__(
        self,
        turn: Turn,
        figures: BrokerFigures,
        options: BrokerOptions,
        on_unsent: Callable[[], None],
        on_gap: Callable[[MirroredSocket], None],
        on_quiet: Callable[[MirroredSocket, float], None],
        find_hold: Callable[[str], Hold | None],
    ) -> None:
        self._turn = turn
        self._figures = figures
        self._options = options
        self._on_unsent = on_unsent
        self._on_gap = on_gap
        self._on_quiet = on_quiet
        self._find_hold = find_hold
        self.sockets: dict[str, MirroredSocket] = {}
        self.channels: dict[str, Channel] = {}
        self.unread = Unread()
        self._latest: dict[tuple[str, int], tuple[QueuedMessage, tuple[Socket, ...]]] = {}
        self.unsent: dict[str, MirroredSocket] = {}
        """Those of which Redis does not know yet what their pages have."""
        self.on_unpolled: Callable[[str, str], None] | None = None

    def add(self, socket: MirroredSocket) -> None:
        """This node holds it from here on."""
        older = self.sockets.get(socket.id)
        if older is not None:
            self._remove(older)
        self.sockets[socket.id] = socket
        self.channels.setdefault(socket.channel.client_id, socket.channel)
        socket.channel.sockets += (socket,)
        socket.attached = True

    def channel(self, client_id: str) -> Channel:
        """The channel to `client_id` here, or one for a socket that is to be added."""
        return self.channels.get(client_id) or Channel(client_id)

    def drop(self, socket: MirroredSocket, error: type[EmulatorError] | None = None) -> None:
        """This node holds it no longer: it ended by `error`, or is another's, which its page is to find."""
        self._remove(socket)
        socket.ended = error
        receiver, socket.receiver = socket.receiver, None
        if receiver is not None:
            receiver.ended = error
            receiver.superseded = error is None
            self._turn.then(receiver.wake)

    def park(self, socket: MirroredSocket, receiver: Receiver) -> None:
        """From here on `receiver` takes the messages; an older one is told that it does not."""
        if socket.receiver is not None:
            socket.receiver.superseded = True
            self._turn.then(socket.receiver.wake)
        socket.receiver = receiver
        socket.way = receiver.transport

    def rest(self, socket: MirroredSocket) -> None:
        """From this moment on it has no poll and no stream."""
        socket.receiver = None
        socket.quiet_since = self._turn.uptime()
        if socket.timer is None:
            self._watch(socket, ATTACHED_SECONDS)

    def seen(self, id: str) -> None:
        """The page of that socket was seen at this moment, at whatever node."""
        socket = self.sockets.get(id)
        if socket is not None and socket.receiver is None:
            self.rest(socket)

    def parked(self, receiver: Receiver) -> MirroredSocket | None:
        """The socket that `receiver` is parked on."""
        socket = self.sockets.get(receiver.socket_id)
        return socket if socket is not None and socket.receiver is receiver else None

    def acknowledge(self, socket: MirroredSocket, number: int) -> None:
        """Its page has all up to `number`, which is not beyond its last one."""
        if number <= socket.acknowledged:
            return
        now = self._turn.now()
        receipt = now, socket.way
        for message in socket.advance(number):
            message.acknowledged[socket] = receipt
            if message.sent_at is not None:
                self._figures.latency.add(max(0.0, now - message.sent_at))
        if not self.unsent:
            self._turn.then(self._on_unsent)
        self.unsent[socket.id] = socket

    def push(self, client_id: str, previous: int, entry: Entry) -> None:
        """An entry was appended behind that of offset `previous`."""
        channel = self.channels.get(client_id)
        if channel is None:
            return
        channel.last_message_at = entry.sent_at
        message: QueuedMessage | None = None
        queued: list[Socket] = []
        for socket in channel.sockets:
            assert isinstance(socket, MirroredSocket)
            if socket.behind or entry.offset <= socket.known:
                continue
            if previous != socket.known:
                self.fill(socket)
                continue
            message = message or QueuedMessage(entry.text, self.unread, entry.sent_at)
            self.queue(socket, message, entry)
            queued.append(socket)
        if message is not None:
            self._latest[client_id, entry.offset] = message, tuple(queued)
            if len(self._latest) > JOURNAL_LENGTH:
                del self._latest[next(iter(self._latest))]

    def pushed(self, client_id: str, offset: int) -> tuple[QueuedMessage, tuple[Socket, ...]] | None:
        """The message of that offset, and the sockets here that it was queued for, if it is one of the latest."""
        return self._latest.get((client_id, offset))

    def fill(self, socket: MirroredSocket) -> None:
        """Something is missing: read the log."""
        socket.behind = True
        self._on_gap(socket)

    def extend(self, socket: MirroredSocket, entries: list[Entry]) -> None:
        """What the log has behind that of the mirror."""
        socket.behind = False
        for entry in entries:
            if entry.offset > socket.known:
                socket.channel.last_message_at = entry.sent_at
                self.queue(socket, QueuedMessage(entry.text, self.unread, entry.sent_at), entry)

    def queue(self, socket: MirroredSocket, message: QueuedMessage, entry: Entry) -> None:
        """Queue `message` under the next number; its receiver wakes if it may leave."""
        socket.append(message)
        socket.offsets.append(entry.offset)
        if entry.hold:
            hold = self._find_hold(entry.hold)
            if hold is not None and socket.browser is not None and hold.browser == browser_name(socket.browser):
                hold.add(socket)
        if socket.holds is not None and self._is_filling(socket):
            socket.holds = None
        self.release(socket)

    def release(self, socket: Socket) -> None:
        """Something of it may be held no longer."""
        if not socket.deliverable:
            return
        if socket.receiver is not None:
            self._turn.then(socket.receiver.wake)
        elif self.on_unpolled is not None and socket.browser is not None:
            self._turn.then(functools.partial(self.on_unpolled, socket.id, socket.browser))

    def polled_from(self, socket: MirroredSocket, browser: str | None) -> None:
        """It belongs to a page in `browser`; what waits for another one's answer waits no longer."""
        if socket.browser != browser:
            socket.browser = browser
            if socket.holds is not None:
                socket.holds = None
                self.release(socket)

    def travelled(self, seconds: float) -> None:
        """The clock was moved on: pages live in real time, and none of them was away for that."""
        for socket in self.sockets.values():
            if socket.receiver is None:
                # Its timer looks again when it runs.
                socket.quiet_since += seconds

    def by_way(self) -> dict[str, int]:
        """How many there are by what serves them at this moment."""
        ways = {"stream": 0, "poll": 0, "none": 0}
        for socket in self.sockets.values():
            ways["none" if socket.receiver is None else socket.receiver.transport] += 1
        return ways

    def take_unsent(self, most: int) -> list[tuple[str, str, int, int]]:
        """Client id, socket, offset and number of those of which Redis does not know yet what their pages have."""
        taken: list[tuple[str, str, int, int]] = []
        while self.unsent and len(taken) < most:
            _, socket = self.unsent.popitem()
            if self.sockets.get(socket.id) is socket:
                taken.append((socket.channel.client_id, socket.id, socket.base, socket.acknowledged))
        return taken

    def _is_filling(self, socket: Socket) -> bool:
        """Whether half of the backlog is used: nothing is held then, for no socket is to be closed by that."""
        options = self._options
        return len(socket.queue) * 2 > options.backlog_messages or socket.queued_bytes * 2 > options.backlog_bytes

    def _remove(self, socket: MirroredSocket) -> None:
        del self.sockets[socket.id]
        self.unsent.pop(socket.id, None)
        channel = socket.channel
        channel.sockets = tuple(each for each in channel.sockets if each is not socket)
        if not channel.sockets:
            self.channels.pop(channel.client_id, None)
        if socket.timer is not None:
            socket.timer.cancel()
        socket.forget_messages()

    def _watch(self, socket: MirroredSocket, seconds: float) -> None:
        socket.timer = self._turn.after(seconds, lambda: self._look(socket))

    def _look(self, socket: MirroredSocket) -> None:
        socket.timer = None
        if socket.receiver is not None or self.sockets.get(socket.id) is not socket:
            return
        left = socket.quiet_since + ATTACHED_SECONDS - self._turn.uptime()
        if left > 0:
            self._watch(socket, left)
        else:
            self._on_quiet(socket, -left)


@functools.lru_cache(maxsize=4096)
def browser_name(browser: str) -> str:
    """A short name of a browser, which may be a long text, for what is kept in Redis."""
    return hashlib.blake2b(browser.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
