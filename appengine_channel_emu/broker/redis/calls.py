"""What a connection to Redis is asked for, and whom it serves."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Protocol

from appengine_channel_emu.broker.redis.conversation import Conversation
from appengine_channel_emu.broker.redis.scripts import Argument


class RedisCall:
    """A script that is to run, once or, where the connection broke, again; scripts are idempotent.

    `then(value)` is given what it found, on the connection's thread, even after `failed(error)` was called because that
    took too long.
    """

    __slots__ = ("again", "arguments", "began", "deadline", "failed", "over", "script", "then", "with_text")

    def __init__(
        self,
        script: str,
        arguments: tuple[Argument, ...],
        then: Callable[[Any], None],
        failed: Callable[[Exception], None],
        seconds: float | None,
        again: Callable[[], bool],
    ) -> None:
        self.script = script
        self.arguments = arguments
        self.then = then
        self.failed = failed
        self.began = time.monotonic()
        self.deadline = None if seconds is None else self.began + seconds
        self.again = again
        """Whether it is to be sent again, behind others, if Redis does not know the script by its name."""
        self.over = False
        """It has an answer, or has failed."""
        self.with_text = False
        """Redis does not know the script by its name."""


class ConnectionOwner(Protocol):
    """Whose connection it is. All is called on the connection's thread."""

    @property
    def prefix(self) -> tuple[Argument, ...]:
        """What every call begins with."""

    def greet(self, conversation: Conversation) -> None:
        """Begin on a new connection. Raises `RedisRefused` where this Redis cannot be used, OSError where it is
        away."""

    def connected(self) -> None:
        """It was greeted; calls go out from here on, those that waited first."""

    def lost(self, why: str) -> None:
        """The connection is gone, or could not be made."""

    def pushed(self, payload: bytes) -> None:
        """Something was published to this node."""

    def chores(self) -> float:
        """Do what is due; seconds until it wants to be called again."""


class RedisRefused(Exception):
    """This Redis cannot be used as it is; the text says why, and what to do."""
