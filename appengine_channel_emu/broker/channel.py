"""A channel, its sockets, and their unread messages: plain state, changed by the broker alone, under its lock."""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Callable, Iterable, Sequence

from appengine_channel_emu.broker.errors import EmulatorError
from appengine_channel_emu.broker.receiver import Message, Receiver, Way
from appengine_channel_emu.broker.turn import Signal, Turn
from appengine_channel_emu.timer import Timer

ATTACHED_SECONDS = 5.0
"""How long a socket of our own client stays attached after its last poll ended (behaviour.md 3)."""

SDK_WIRE_ATTACHED_SECONDS = 2.0
"""The same for a poller of the SDK's own wire, at least: the dev server's own figure (facts.md 4.1)."""

SDK_WIRE_STRETCH = 3
"""A slow poller of the SDK's own wire is attached for this many of its intervals."""

ANSWER_MESSAGES = 1_000
ANSWER_BYTES = 512 * 1024
"""The most one poll's answer carries, and a stream has under way; the rest comes once the page has that."""

MESSAGE_OVERHEAD = 256
"""Bytes that a message takes beside its text, about."""


def random_id() -> str:
    """128 random bits as 22 characters of `[A-Za-z0-9_-]`, the first a letter or digit (a socket id)."""
    while True:
        # A leading dash would read as an option on a command line.
        name = secrets.token_urlsafe(16)
        if name[0] not in "-_":
            return name


class Unread:
    """The bytes of all messages that some socket has not acknowledged; one that several wait for counts once."""

    __slots__ = ("bytes",)

    def __init__(self) -> None:
        self.bytes = 0


class QueuedMessage(Message):
    """A message that knows how many sockets have it in their queues, and what became of it on each.

    `sent_at` is in seconds of the clock, None for one of a former process. `acknowledged` says when the page of a
    socket had it, and by which way; `waits_for` is there if it was to wait on some.
    """

    __slots__ = ("_holders", "_unread", "acknowledged", "sent_at", "waits_for")

    def __init__(self, text: str, unread: Unread, sent_at: float | None = None) -> None:
        Message.__init__(self, text)
        self._unread = unread
        self._holders = 0
        self.sent_at = sent_at
        self.acknowledged: dict[Socket, tuple[float, Way | None]] = {}
        self.waits_for: Hold | None = None

    def held_for(self, sockets: Iterable[Socket]) -> bool:
        """Whether it may not leave yet for some of `sockets`."""
        hold = self.waits_for
        return hold is not None and not hold.over and any(hold in held for held in map(_holds_of, sockets))

    @property
    def unread(self) -> bool:
        """Whether a socket has it in its queue."""
        return self._holders > 0

    def hold(self) -> None:
        """A socket queued it."""
        if not self._holders:
            self._unread.bytes += self.size + MESSAGE_OVERHEAD
        self._holders += 1

    def drop(self) -> None:
        """A socket does not need it any more."""
        self._holders -= 1
        if not self._holders:
            self._unread.bytes -= self.size + MESSAGE_OVERHEAD
            # The journal may keep it for long, and no socket asks for this any more.
            self._json = None


class TokenRecord:
    """A valid token: what a page may open with it. The sockets that live by it are among those of its channel."""

    __slots__ = ("client_id", "expires", "opened_by", "sdk_wire_socket", "token")

    def __init__(self, token: str, client_id: str, expires: float, opened_by: str | None = None) -> None:
        self.token = token
        self.opened_by = opened_by
        self.client_id = client_id
        self.expires = expires
        self.sdk_wire_socket: Socket | None = None


class Hold:
    """Why a message does not leave yet for the sockets of `browser`: its sender's answer comes first.

    `due` is when it is over at the latest; `begin` is called when the first socket is held.
    """

    __slots__ = ("_begin", "browser", "due", "over", "sockets")

    def __init__(self, browser: str, due: float, begin: Callable[[Hold], None]) -> None:
        self.browser = browser
        self.due = due
        self._begin = begin
        self.over = False
        self.sockets: list[Socket] = []

    def add(self, socket: Socket) -> None:
        """The newest message of `socket` waits for it."""
        if not self.sockets:
            self._begin(self)
        self.sockets.append(socket)
        if socket.holds is None:
            socket.holds = deque()
        socket.holds.append((socket.last_number, self))


class Socket:
    """One open connection of one page.

    Its messages are numbered from 1: `acknowledged` is the last one the page has, the queue holds those after it.
    `browser` tells where it was last polled from, None where that is not known. `holds` has the messages that may not
    leave yet, by their numbers; most sockets never have any. `way` is what served it last. `attempt` is the name of the
    call that opened it, until it is resumed.
    """

    __slots__ = (
        "acknowledged",
        "attached",
        "attempt",
        "browser",
        "channel",
        "ended",
        "holds",
        "id",
        "interval",
        "may_lag",
        "queue",
        "queued_bytes",
        "quiet_since",
        "receiver",
        "sdk_wire",
        "since",
        "stored",
        "timer",
        "token",
        "unsettled",
        "way",
    )

    def __init__(self, id: str, channel: Channel, token: TokenRecord, sdk_wire: bool, turn: Turn) -> None:
        self.id = id
        self.channel = channel
        self.token = token
        self.sdk_wire = sdk_wire
        self.queue: list[QueuedMessage] | tuple[()] = ()
        self.queued_bytes = 0
        self.acknowledged = 0
        self.stored = 0
        self.receiver: Receiver | None = None
        self.attached = False
        self.quiet_since = turn.uptime()
        self.since = turn.now()
        self.interval = 0.0
        self.timer: Timer | None = None
        self.ended: type[EmulatorError] | None = None
        self.attempt: str | None = None
        self.browser: str | None = None
        self.way: Way | None = "sdk" if sdk_wire else None
        self.holds: deque[tuple[int, Hold]] | None = None
        # From a restart until the page says which number it has: the last one that the store knew.
        self.unsettled: int | None = None
        # The former process was killed, so that the page may know of later ones.
        self.may_lag = False

    @property
    def last_number(self) -> int:
        """The number of the newest message."""
        return self.acknowledged + len(self.queue)

    @property
    def deliverable(self) -> int:
        """How many messages, from the head of the queue on, may leave: those behind one that is held wait with it."""
        holds = self.holds
        if holds is None:
            return len(self.queue)
        while holds:
            number, hold = holds[0]
            if not hold.over and number > self.acknowledged:
                return number - 1 - self.acknowledged
            holds.popleft()
        self.holds = None
        return len(self.queue)

    @property
    def attached_seconds(self) -> float:
        """How long it stays attached without a poll."""
        if self.sdk_wire:
            return max(SDK_WIRE_ATTACHED_SECONDS, SDK_WIRE_STRETCH * self.interval)
        return ATTACHED_SECONDS

    def fitting(self, after: int) -> list[Message]:
        """The messages that may leave and go into one answer, but for those up to number `after`."""
        ready, known = self.deliverable, after - self.acknowledged
        if ready <= 1:
            return list(self.queue[known:ready])
        messages: list[Message] = []
        size = 0
        for count, message in enumerate(self.queue[:ready]):
            size += message.size
            if count and (size > ANSWER_BYTES or count == ANSWER_MESSAGES):
                break
            if count >= known:
                messages.append(message)
        return messages

    def append(self, message: QueuedMessage) -> None:
        """Queue `message` under the next number."""
        message.hold()
        # Most sockets have nothing unread: they have no list of their own.
        if self.queue:
            self.queue.append(message)
        else:
            self.queue = [message]
        self.queued_bytes += message.size

    def acknowledge(self, number: int) -> Sequence[QueuedMessage]:
        """Forget the messages up to and including `number`, and return them."""
        count, queue = max(0, number - self.acknowledged), self.queue
        if count < len(queue):
            forgotten, self.queue = queue[:count], list(queue[count:])
        else:
            forgotten, self.queue = queue, ()
        self.acknowledged += len(forgotten)
        for message in forgotten:
            message.drop()
            self.queued_bytes -= message.size
        return forgotten

    def opened_by(self) -> dict[str, str]:
        """The mark of its token for an event's detail, if it has one."""
        mark = self.token.opened_by
        return {} if mark is None else {"opened_by": mark}

    def forget_messages(self) -> None:
        """It has ended: nobody will ask for them."""
        for message in self.queue:
            message.drop()
        self.queue = ()
        self.queued_bytes = 0
        self.holds = None

    def settle(self, after: int) -> bool:
        """After a restart, believe the page about what it has; False if that shows a state that was not the last.

        After an unclean stop messages that the store did not keep may have reached the page. Those accepted since
        the restart must not have the numbers of such messages, or the page would take them for repeats.
        """
        known, self.unsettled = self.unsettled, None
        if known is None or after <= known:
            return True
        if not self.may_lag:
            return False
        self.acknowledge(known)
        self.acknowledged = after
        # The store's rows carry the old numbers; all that is left is to be saved anew.
        self.stored = after
        return True


def _holds_of(socket: Socket) -> list[Hold]:
    # Copied in one step: who asks is not in a turn.
    return [hold for _, hold in list(socket.holds or ())]


class Channel:
    """The one-way path to a client id."""

    __slots__ = (
        "attached",
        "client_id",
        "empty_since",
        "last_message_at",
        "openings",
        "posting",
        "posting_since",
        "presence_sent",
        "rotation",
        "sockets",
        "timer",
    )

    def __init__(self, client_id: str) -> None:
        self.client_id = client_id
        # In the order in which they were opened. A new one for each change, so that a message may keep it.
        self.sockets: tuple[Socket, ...] = ()
        self.attached = 0
        # Whether the app was last told that the client is connected, and what it is being told.
        self.presence_sent = False
        self.posting: bool | None = None
        self.posting_since = 0.0
        self.empty_since = 0.0
        self.timer: Timer | None = None
        self.openings: tuple[Signal, ...] = ()
        # Counts the messages that one of several sockets gets (--tabs=split).
        self.rotation = 0
        self.last_message_at: float | None = None

    @property
    def idle(self) -> bool:
        """Whether nothing would be lost by forgetting this channel."""
        return not self.sockets and not self.presence_sent and self.posting is None
