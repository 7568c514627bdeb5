"""Commands and replies in turn, while a connection begins."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from typing import Any

import hiredis

from appengine_channel_emu.broker.redis.target import CONNECT_SECONDS


class Conversation:
    """Commands and replies in turn, while a connection begins; all of it within `CONNECT_SECONDS`."""

    def __init__(self, sock: socket.socket, meanwhile: Callable[[], object] = lambda: None) -> None:
        self.sock = sock
        self.reader = hiredis.Reader()
        self._until = time.monotonic() + CONNECT_SECONDS
        self._meanwhile = meanwhile

    def ask(self, *commands: bytes) -> list[Any]:
        """The replies to `commands`; an error of Redis is one of them. Raises OSError."""
        self.sock.settimeout(CONNECT_SECONDS)
        self.sock.sendall(b"".join(commands))
        found: list[Any] = []
        while len(found) < len(commands):
            reply = self.reader.gets()
            if reply is False:
                self._read()
            elif not isinstance(reply, hiredis.PushNotification) or reply[0] != b"message":
                # What is published meanwhile is of no use yet: the node asks for all of it once it has begun.
                found.append(reply)
        return found

    def _read(self) -> None:
        self.sock.settimeout(0.2)
        try:
            data = self.sock.recv(262_144)
        except TimeoutError:
            self._meanwhile()
            if time.monotonic() > self._until:
                raise TimeoutError("no answer") from None
            return
        if not data:
            raise ConnectionError("it closed the connection")
        self.reader.feed(data)
