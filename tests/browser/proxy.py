"""What the proxies of these tests have in common: a thread for each connection, and an end that no thread outlives."""

from __future__ import annotations

import contextlib
import itertools
import socket
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Self

CHUNK = 65536


class Proxy:
    """Listens on a free port in front of `port` of this machine. Use it as a context manager."""

    scheme = "http"
    host = "127.0.0.1"

    def __init__(self, port: int) -> None:
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: set[socket.socket] = set()
        """What a thread may wait for, beside the listener; those that are closed stay here."""
        self._threads: list[threading.Thread] = []

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"{self.scheme}://{self.host}:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(self, *exc_info: object) -> None:
        for thread in self._threads:
            while thread.is_alive():
                # Each closes what it uses by itself: a descriptor that is closed meanwhile may be another's by then.
                for sock in [self._listener, *list(self._open)]:
                    with contextlib.suppress(OSError):
                        # That of an SSLSocket would change it under the thread's hands.
                        socket.socket.shutdown(sock, socket.SHUT_RDWR)
                thread.join(0.05)
        self._listener.close()

    def _start(self, target: Callable[..., None], *arguments: object) -> None:
        self._threads.append(threading.Thread(target=target, args=arguments, daemon=True))
        self._threads[-1].start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            for number in itertools.count(1):
                self._start(self._serve, self._listener.accept()[0], number)

    def _serve(self, client: socket.socket, number: int) -> None:
        """Look after the connection of that number, and close it."""
        raise NotImplementedError

    def _connect(self) -> socket.socket:
        """To the emulator. Raises OSError while it is away."""
        server = socket.create_connection(("127.0.0.1", self._target), 5)
        self._open.add(server)
        return server
