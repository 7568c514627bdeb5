"""A TCP proxy that breaks connections, to see what a client of the emulator makes of it."""

from __future__ import annotations

import contextlib
import random
import select
import socket
import struct
import threading
from collections import Counter
from collections.abc import Sequence

from tests.browser.proxy import CHUNK, Proxy

KINDS = ("request lost", "request repeated", "answer lost", "answer cut short", "answer late", "cut in the wait")
REFUSED = "upgrade refused"
"""What else may happen to the request for a WebSocket."""
TO_PAGE = ("frames lost", "frame cut short", "frames late")
TO_SERVER = ("number lost",)
UPGRADE_KINDS = (*KINDS, *[REFUSED] * len(KINDS))
STREAM_KINDS = (REFUSED, *TO_PAGE, *TO_SERVER)

FRAMES_PER_REQUEST = 4
"""What a stream brings meets as many faults in so many pieces as polls in one request, or few streams would be long."""

# Of a proxy that knows no WebSockets, of one whose server is away, of one that has its visitors sign in first; a reset.
REFUSALS = (
    b"HTTP/1.1 426 Upgrade Required\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/html\r\nContent-Length: 12\r\n\r\n<h1>502</h1>",
    b"HTTP/1.1 302 Found\r\nLocation: /login\r\nContent-Length: 0\r\n\r\n",
    b"",
)


class ChaosProxy(Proxy):
    """Forwards to `port` of this machine. Each request meets a fault with `probability`, 0 at first.

    `seed` fixes what happens to the n-th request of the n-th connection; `met` counts the faults by kind, `streams` the
    WebSockets that came through. Use it as a context manager.
    """

    def __init__(self, port: int, seed: int) -> None:
        super().__init__(port)
        self.probability = 0.0
        self.met: Counter[str] = Counter()
        self.streams = 0
        self._seed = seed

    def _serve(self, client: socket.socket, number: int) -> None:
        self._open.add(client)
        server = None
        try:
            server = self._connect()
            self._forward(client, server, random.Random(f"{self._seed} {number}"))
        except OSError:
            pass  # The emulator is away, or one side has gone.
        finally:
            for sock in (client, server):
                if sock is not None:
                    _reset(sock)

    def _forward(self, client: socket.socket, server: socket.socket, chance: random.Random) -> None:
        """Passes requests and answers on until one of them breaks the connection, or opens a stream."""
        kind = None
        while True:
            ready, _, _ = select.select([client, server], [], [])
            data = ready[0].recv(CHUNK)
            if not data:
                return
            if client in ready:
                kind = self._choose(chance, UPGRADE_KINDS if _asks_for_upgrade(data) else KINDS)
                if not self._pass_request(data, kind, client, server, chance):
                    return self._count(kind)
            else:
                if not self._pass_answer(data, kind, client, chance):
                    return self._count(kind)
                kind = None
                if data.startswith(b"HTTP/1.1 101 "):
                    return self._forward_stream(client, server, chance)

    def _pass_request(
        self, data: bytes, kind: str | None, client: socket.socket, server: socket.socket, chance: random.Random
    ) -> bool:
        """Whether the connection lives on."""
        if kind == "request lost":
            return False
        if kind == REFUSED:
            client.sendall(chance.choice(REFUSALS))
            return False
        if kind == "request repeated":
            self._count(kind)
            self._repeat(data)
        server.sendall(data)
        if kind == "cut in the wait":
            select.select([client], [], [], chance.uniform(0.0, 0.01))
            return False
        return True

    def _pass_answer(self, data: bytes, kind: str | None, client: socket.socket, chance: random.Random) -> bool:
        """Whether the connection lives on."""
        if kind == "answer lost":
            return False
        if kind == "answer cut short":
            client.sendall(data[: chance.randrange(len(data))])
            return False
        if kind == "answer late":
            self._count(kind)
            select.select([client], [], [], chance.uniform(0.0, 0.1))
        client.sendall(data)
        return True

    def _forward_stream(self, client: socket.socket, server: socket.socket, chance: random.Random) -> None:
        """Passes frames on, until one side or a fault ends the stream."""
        self.streams += 1
        while True:
            ready, _, _ = select.select([client, server], [], [])
            to_server = client in ready
            data = ready[0].recv(CHUNK)
            if not data:
                return
            kind = self._choose(chance, TO_SERVER) if to_server else self._choose(chance, TO_PAGE, FRAMES_PER_REQUEST)
            self._count(kind)
            if kind in ("number lost", "frames lost"):
                return
            if kind == "frame cut short":
                client.sendall(data[: chance.randrange(len(data))])
                return
            if kind == "frames late":
                select.select([client], [], [], chance.uniform(0.0, 0.1))
            (server if to_server else client).sendall(data)

    def _repeat(self, request: bytes) -> None:
        """Asks once more, for nobody."""
        with contextlib.suppress(OSError):
            copy = socket.create_connection(("127.0.0.1", self._target), 5)
            copy.sendall(request)
            copy.shutdown(socket.SHUT_WR)
            threading.Thread(target=_drain, args=(copy,), daemon=True).start()

    def _choose(self, chance: random.Random, kinds: Sequence[str], share: int = 1) -> str | None:
        kind = chance.choice(kinds)
        return kind if chance.random() < self.probability / share else None

    def _count(self, kind: str | None) -> None:
        if kind:
            self.met[kind] += 1


def _asks_for_upgrade(request: bytes) -> bool:
    return b"\r\nupgrade: websocket" in request.lower()


def _drain(sock: socket.socket) -> None:
    with contextlib.suppress(OSError), sock:
        while sock.recv(CHUNK):
            pass


def _reset(sock: socket.socket) -> None:
    # A reset, not an orderly end: whatever is still under way is lost.
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()
