"""One poll of a socket, from its arrival until it is answered or its client vanishes."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from appengine_channel_emu.broker.channel import Message, Socket
from appengine_channel_emu.broker.signal import Signal

if TYPE_CHECKING:
    from appengine_channel_emu.broker.broker import Broker


class PollAnswer(NamedTuple):
    """What a poll brings: messages, and the number of the last one the page will then have."""

    messages: list[Message]
    next: int


class Poll:
    """A poll that is parked, or ready to be answered.

    `ready` is set when a message waits, when a newer poll of the socket took over, or when the socket ended.
    Exactly one of `take` and `release` is called in the end; further calls do nothing.
    """

    __slots__ = ("_broker", "after", "cut", "ready", "socket", "superseded")

    def __init__(self, broker: Broker, socket: Socket, after: int) -> None:
        self._broker = broker
        self.socket = socket
        self.after = after
        self.ready = Signal()
        self.superseded = False
        # Its connection is to be broken, in place of an answer.
        self.cut = False

    def take(self) -> PollAnswer:
        """The answer, as things stand at this moment: empty if nothing waits.

        Raises `TokenTimedOut` or a `SocketError` when the socket ended. The messages stay queued until a later
        poll says that the page has them.
        """
        return self._broker.take(self)

    def release(self) -> None:
        """The client is gone, or has been answered: the socket has no poll parked any more."""
        self._broker.release(self)
