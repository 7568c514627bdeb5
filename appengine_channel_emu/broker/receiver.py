"""A message, and what takes it to its page: a poll that is parked on the socket, or a stream."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import ClassVar, Literal, NamedTuple

from appengine_channel_emu.broker.errors import EmulatorError, size_of
from appengine_channel_emu.broker.turn import Signal

Transport = Literal["poll", "stream"]
"""How the messages of a socket get to its page."""

Way = Literal["poll", "stream", "sdk"]
"""The same, with the SDK's own wire."""


_as_json = json.JSONEncoder(ensure_ascii=False).encode


class Message:
    """A text on its way; one object serves every socket that it goes to. `size` in bytes of UTF-8."""

    __slots__ = ("_json", "size", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.size = size_of(text)
        self._json: bytes | None = None

    @property
    def json(self) -> bytes:
        """The text as a JSON string, encoded once however many sockets get it."""
        if self._json is None:
            self._json = _as_json(self.text).encode("utf-8")
        return self._json


class Receiver:
    """What takes the messages of a socket to its page: a poll or a stream; one at a time, the newest.

    Its fields change in the broker's turns alone. `wake` is called outside of them, from any thread, whenever one has
    changed or a message may leave: it may be called too often, never too seldom.
    """

    __slots__ = ("cut", "ended", "socket_id", "superseded")

    transport: ClassVar[Transport]

    def __init__(self, socket_id: str) -> None:
        self.socket_id = socket_id
        self.cut = False
        """Its connection is to be broken, instead of an answer."""
        self.superseded = False
        """A newer one of the socket took over."""
        self.ended: type[EmulatorError] | None = None
        """Why its socket ended while it was parked."""

    def wake(self) -> None:
        """Let whoever holds it look again."""
        raise NotImplementedError


class Poll(Receiver):
    """One poll of a socket, from its arrival until it is answered or its client vanishes.

    `ready` is set when a message waits, when a newer poll or stream of the socket took over, or when the socket ended.
    `last_message_at` is when the latest message before it was sent to its client id, in seconds of the clock.
    """

    __slots__ = ("after", "last_message_at", "ready")

    transport = "poll"

    def __init__(self, socket_id: str, after: int, last_message_at: float | None) -> None:
        Receiver.__init__(self, socket_id)
        self.after = after
        self.last_message_at = last_message_at
        self.ready = Signal()

    def wake(self) -> None:
        """See `Receiver`."""
        self.ready.set()


class Stream(Receiver):
    """One stream of a socket, from its upgrade until its connection ends.

    `sent` is the number of the last message that was taken for it, or that its page is known to have.
    """

    __slots__ = ("_wake", "sent")

    transport = "stream"

    def __init__(self, socket_id: str, sent: int, wake: Callable[[], None]) -> None:
        super().__init__(socket_id)
        self.sent = sent
        self._wake = wake

    def wake(self) -> None:
        """See `Receiver`."""
        self._wake()


class PollAnswer(NamedTuple):
    """What a poll or a stream brings: messages, and the number of the last one the page will then have."""

    messages: list[Message]
    next: int
