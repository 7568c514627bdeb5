"""A Redis that takes its time: a proxy in front of it, which hands on each answer so many seconds later."""

from __future__ import annotations

import contextlib
import queue
import socket
import threading
import time

from tests.support.wire import BLOCK, Listener


class SlowRedis:
    """In front of the Redis at the Unix socket `path`; `seconds` may be changed while connections are open."""

    def __init__(self, path: str) -> None:
        self.seconds = 0.0
        self._path = path
        self._listener = Listener(self._serve)
        self.url = f"redis://127.0.0.1:{self._listener.port}"

    def close(self) -> None:
        """Take no more connections."""
        self._listener.close()

    def _serve(self, client: socket.socket) -> None:
        with socket.socket(socket.AF_UNIX) as redis:
            redis.connect(self._path)
            answers: queue.SimpleQueue[tuple[float, bytes]] = queue.SimpleQueue()
            threading.Thread(target=self._collect, args=(redis, answers), daemon=True).start()
            threading.Thread(target=self._hand_on, args=(client, answers), daemon=True).start()
            with contextlib.suppress(OSError):
                while data := client.recv(BLOCK):
                    redis.sendall(data)
            with contextlib.suppress(OSError):
                redis.shutdown(socket.SHUT_RDWR)

    def _collect(self, redis: socket.socket, answers: queue.SimpleQueue[tuple[float, bytes]]) -> None:
        data = b"-"
        while data:
            try:
                data = redis.recv(BLOCK)
            except OSError:
                data = b""
            answers.put((time.monotonic() + self.seconds, data))

    def _hand_on(self, client: socket.socket, answers: queue.SimpleQueue[tuple[float, bytes]]) -> None:
        with contextlib.suppress(OSError):
            while True:
                due, data = answers.get()
                time.sleep(max(0.0, due - time.monotonic()))
                if not data:
                    client.shutdown(socket.SHUT_RDWR)
                    return
                client.sendall(data)
