"""Ports of this machine, and bytes to them and from them as they are."""

from __future__ import annotations

import contextlib
import secrets
import socket
import threading
from collections.abc import Callable

from tests.support.waiting import LONG_ENOUGH, until

BLOCK = 1024 * 1024


def connect(port: int, receive_buffer: int | None = None) -> socket.socket:
    """A connection; with a small `receive_buffer` (bytes) it soon takes nothing more."""
    made = socket.socket()
    if receive_buffer is not None:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    made.settimeout(LONG_ENOUGH)
    made.connect(("127.0.0.1", port))
    return made


def ask(port: int, data: bytes, half_close: bool = False) -> bytes:
    """All that comes back on a connection of its own, up to its end; `half_close` ends our own sending first."""
    with connect(port) as made:
        made.sendall(data)
        if half_close:
            made.shutdown(socket.SHUT_WR)
        return rest(made)


def rest(connection: socket.socket) -> bytes:
    """What is still to come on `connection`, up to its end; a broken end is one."""
    received = b""
    with contextlib.suppress(ConnectionError):
        while block := connection.recv(BLOCK):
            received += block
    return received


_PORTS = range(10_000, 25_000)
"""Below those that the system gives to whoever asks for any, and that the emulator takes for the dev server."""


def free_port() -> int:
    """One that nobody has at this moment, nor gets by chance in the next."""
    while True:
        # Not by `random`: Hypothesis gives every process the same numbers.
        port = secrets.choice(_PORTS)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


def wait_for_port(port: int) -> None:
    """Returns when somebody listens there."""
    until(lambda: takes_connections(port))


def takes_connections(port: int, host: str = "127.0.0.1") -> bool:
    """Whether somebody listens there."""
    with contextlib.suppress(OSError):
        socket.create_connection((host, port), 1).close()
        return True
    return False


class Listener:
    """Takes connections at `port`, and has `serve` look after each of them, on a thread each, until it returns."""

    def __init__(self, serve: Callable[[socket.socket], object]) -> None:
        self._serve = serve
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self._accept, name="listener", daemon=True).start()

    def close(self) -> None:
        """Take no more; what is under way goes on."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection = self._listener.accept()[0]
                threading.Thread(target=self._look_after, args=(connection,), daemon=True).start()

    def _look_after(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            self._serve(connection)
