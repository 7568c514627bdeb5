"""Other names of this server for polls: browsers open only six connections to one host and port (design.md)."""

from __future__ import annotations

from threading import Lock

from appengine_channel_emu.web.guard import ALIASES, is_loopback_host, split_host


class Aliases:
    """Hands out the alias with the fewest sockets. Callable from any thread."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._names = sorted(ALIASES, key=lambda name: (len(name), name))
        self._count = dict.fromkeys(self._names, 0)
        self._given: dict[str, str] = {}

    def give(self, socket_id: str, scheme: str, host_header: str) -> str | None:
        """`name:port` for the polls of a socket whose page asked `host_header`.

        None where browsers would not find us under such a name: only pages of this very machine, over http, do.
        """
        host, port = split_host(host_header)
        if scheme != "http" or not is_loopback_host(host):
            return None
        with self._lock:
            name = self._given.get(socket_id)
            if name is None:
                name = self._given[socket_id] = min(self._names, key=self._count.__getitem__)
                self._count[name] += 1
        return f"{name}:{port}" if port else name

    def take_back(self, socket_id: str) -> None:
        """The socket was closed."""
        with self._lock:
            name = self._given.pop(socket_id, None)
            if name is not None:
                self._count[name] -= 1
