"""What the attacks in tests/server/test_attacks.py have in common: raw connections, and a page that must not suffer."""

from __future__ import annotations

import json
import select
import socket
import subprocess
import time
from collections.abc import Iterable

from tests.support.emulator import RunningEmulator
from tests.support.waiting import LONG_ENOUGH
from tests.support.wire import connect

MIB = 1024 * 1024


def memory(emulator: RunningEmulator) -> float:
    """Resident MiB of the emulator's own process."""
    return int(subprocess.check_output(["ps", "-o", "rss=", "-p", str(emulator.pid)])) / 1024


class Bystander:
    """A page with an open socket, polling on a connection of its own while others attack."""

    def __init__(self, emulator: RunningEmulator) -> None:
        self._emulator = emulator
        self.open()

    def open(self) -> None:
        """Open its socket, with a new token."""
        token = self._emulator.create_channel("bystander")
        self._socket = self._emulator.get_json(f"/_ah/channel/open?channel={token}")["socket"]
        self._connection = connect(self._emulator.port)
        self._file = self._connection.makefile("rb")
        self._count = 0
        self._poll()

    def still_receives(self) -> None:
        """Send it a message, and see it arrive."""
        text = f"message {self._count}"
        assert self._emulator.send("bystander", text) == 1
        while not (messages := self._answer()):
            self._poll()
        self._count += 1
        assert messages == [text]
        self._poll()

    def close(self) -> None:
        """Leave."""
        self._file.close()
        self._connection.close()

    def _poll(self) -> None:
        target = f"/_ah/channel/poll?socket={self._socket}&after={self._count}&wait=20"
        self._connection.sendall(f"GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())

    def _answer(self) -> list[str]:
        assert self._file.readline().startswith(b"HTTP/1.1 200 ")
        length = 0
        while (line := self._file.readline()) != b"\r\n":
            name, _, value = line.partition(b":")
            length = int(value) if name.lower() == b"content-length" else length
        messages: list[str] = json.loads(self._file.read(length))["messages"]
        return messages


def trickle(
    connections: Iterable[socket.socket], byte: bytes, interval: float, bystander: Bystander
) -> dict[socket.socket, bytes]:
    """Send `byte` on each connection every `interval` seconds until the server has ended it; what it said to each."""
    open_ones = dict.fromkeys(connections, b"")
    ended: dict[socket.socket, bytes] = {}
    give_up = time.monotonic() + LONG_ENOUGH
    while open_ones:
        assert time.monotonic() < give_up, f"{len(open_ones)} connections are still open"
        bystander.still_receives()
        readable, _, _ = select.select(list(open_ones), [], [], interval)
        for each in readable:
            try:
                block = each.recv(65536)
            except ConnectionError:
                block = b""
            open_ones[each] += block
            if not block:
                ended[each] = open_ones.pop(each)
        for each in open_ones:
            try:
                each.send(byte)
            except ConnectionError:
                continue
    return ended
