"""A TCP proxy that breaks connections, to see what a client of the emulator makes of it."""

from __future__ import annotations

import contextlib
import random
import select
import socket
import struct
import threading
from collections import Counter

CHUNK = 65536
KINDS = ("request lost", "request repeated", "answer lost", "answer cut short", "answer late", "cut in the wait")


class ChaosProxy:
    """Forwards to `port` of this machine. Each request meets a fault with `probability`, 0 at first.

    `seed` fixes what happens to the n-th request of the n-th connection; `met` counts the faults by kind.
    Use it as a context manager.
    """

    def __init__(self, port: int, seed: int) -> None:
        self.probability = 0.0
        self.met: Counter[str] = Counter()
        self._target = port
        self._seed = seed
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: set[socket.socket] = set()
        self._closed = False

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> ChaosProxy:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._closed = True
        for sock in [self._listener, *self._open]:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()

    def _accept(self) -> None:
        number = 0
        while not self._closed:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            number += 1
            chance = random.Random(f"{self._seed} {number}")
            threading.Thread(target=self._serve, args=(client, chance), daemon=True).start()

    def _serve(self, client: socket.socket, chance: random.Random) -> None:
        self._open.add(client)
        server = None
        try:
            server = socket.create_connection(("127.0.0.1", self._target), 5)
            self._open.add(server)
            self._forward(client, server, chance)
        except OSError:
            pass  # The emulator is away, or one side has gone.
        finally:
            for sock in (client, server):
                if sock is not None:
                    _reset(sock)
                    self._open.discard(sock)

    def _forward(self, client: socket.socket, server: socket.socket, chance: random.Random) -> None:
        """Passes requests and answers on until one of them breaks the connection."""
        kind = None
        while True:
            ready, _, _ = select.select([client, server], [], [])
            data = ready[0].recv(CHUNK)
            if not data:
                return
            if client in ready:
                kind = self._choose(chance)
                if kind == "request lost":
                    return self._count(kind)
                if kind == "request repeated":
                    self._count(kind)
                    self._repeat(data)
                server.sendall(data)
                if kind == "cut in the wait":
                    select.select([client], [], [], chance.uniform(0.0, 0.01))
                    return self._count(kind)
                continue
            if kind == "answer lost":
                return self._count(kind)
            if kind == "answer cut short":
                client.sendall(data[: chance.randrange(len(data))])
                return self._count(kind)
            if kind == "answer late":
                self._count(kind)
                select.select([client], [], [], chance.uniform(0.0, 0.1))
            client.sendall(data)
            kind = None

    def _repeat(self, request: bytes) -> None:
        """Asks once more, for nobody."""
        with contextlib.suppress(OSError):
            copy = socket.create_connection(("127.0.0.1", self._target), 5)
            copy.sendall(request)
            copy.shutdown(socket.SHUT_WR)
            threading.Thread(target=_drain, args=(copy,), daemon=True).start()

    def _choose(self, chance: random.Random) -> str | None:
        kind = chance.choice(KINDS)
        return kind if chance.random() < self.probability else None

    def _count(self, kind: str | None) -> None:
        if kind:
            self.met[kind] += 1


def _drain(sock: socket.socket) -> None:
    with contextlib.suppress(OSError), sock:
        while sock.recv(CHUNK):
            pass


def _reset(sock: socket.socket) -> None:
    # A reset, not an orderly end: whatever is still under way is lost.
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()
