"""What is published to a node: each push begins with a letter, which scripts write and this file reads."""

from __future__ import annotations

import logging
import struct
from collections.abc import Callable
from functools import cached_property
from typing import Protocol

from appengine_channel_emu.broker.errors import EmulatorError, SocketGone
from appengine_channel_emu.broker.redis.happened import SOCKET_ERRORS
from appengine_channel_emu.broker.redis.mirror import Entry, Mirrors
from appengine_channel_emu.broker.redis.presence import SharedPresence
from appengine_channel_emu.broker.redis.record import Record
from appengine_channel_emu.broker.turn import Turn

PUSH_SECONDS = 1.0
"""How late a push may be, where that matters."""

log = logging.getLogger("channel_emu.redis")

_MESSAGE = struct.Struct(">QQQHH")


class NodeHooks(Protocol):
    """What the broker around it does about what it is told."""

    def clock_moved(self, by: float, now: float, frozen: bool, late: float) -> None:
        """The clock of the service was moved on by `by` seconds, and showed `now`, `late` seconds ago at most.

        Inside the turn.
        """

    def request_answered(self, id: str, due: int) -> None:
        """See `SharedAppRequests.over`. Inside the turn."""

    def faults_changed(self) -> None:
        """Those of the service are to be read anew."""

    def cut(self, socket_id: str) -> None:
        """The connection of a socket is to break. Inside the turn."""


class Pushes:
    """Takes what is published, on the connection's thread."""

    def __init__(
        self, turn: Turn, mirrors: Mirrors, presence: SharedPresence, record: Record, hooks: NodeHooks
    ) -> None:
        self._turn = turn
        self._mirrors = mirrors
        self._presence = presence
        self._record = record
        self._hooks = hooks

    def take(self, payload: bytes) -> None:
        """Do what a push says; one that is not known means nothing, and may be a newer emulator's."""
        try:
            self._take(payload[:1], payload[1:])
        except Exception:
            # Whoever may use this Redis may publish: the connection, and what others have asked, is to go on.
            log.exception("What was published could not be used.")

    def _take(self, kind: bytes, rest: bytes) -> None:
        if kind == b"f":
            self._hooks.faults_changed()
        elif kind == b"m":
            with self._turn:
                self._message(rest)
        elif kind in self._told:
            with self._turn:
                self._told[kind](rest.decode())

    @cached_property
    def _told(self) -> dict[bytes, Callable[[str], None]]:
        """What is done about what is published, by its first byte."""
        return {
            b"g": lambda id: self._drop(id, None),
            b"x": self._ended,
            b"b": self._hooks.cut,
            b"q": self._mirrors.seen,
            b"p": self._presence.settled,
            b"h": self._answered,
            b"c": self._clock_moved,
            b"r": lambda resets: self._record.forget(int(resets)),
        }

    def _ended(self, text: str) -> None:
        error, _, id = text.partition(" ")
        self._drop(id, SOCKET_ERRORS.get(error, SocketGone))

    def _answered(self, text: str) -> None:
        due, _, id = text.partition(" ")
        self._hooks.request_answered(id, int(due))

    def _clock_moved(self, text: str) -> None:
        by, now, frozen = text.split()
        self._hooks.clock_moved(int(by) / 1000, int(now) / 1000, frozen == "1", PUSH_SECONDS)

    def _message(self, packed: bytes) -> None:
        offset, previous, now, length, held = _MESSAGE.unpack_from(packed)
        at = _MESSAGE.size
        client_id = packed[at : at + length].decode()
        hold = packed[at + length : at + length + held].decode()
        text = packed[at + length + held :].decode()
        self._mirrors.push(client_id, previous, Entry(offset, text, now / 1000, hold))

    def _drop(self, id: str, error: type[EmulatorError] | None) -> None:
        socket = self._mirrors.sockets.get(id)
        if socket is not None:
            self._mirrors.drop(socket, error)
