"""Where connections come in: as many as the settings and the system allow, and a quick 503 for those beyond."""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import resource
import socket
from typing import Any

from waitress.utilities import Error

from appengine_channel_emu.server.loop import Loop
from appengine_channel_emu.server.parking import ParkingChannel
from appengine_channel_emu.server.slow_clients import Note

SPARE_CONNECTIONS = 32
"""Connections beyond the limit that are still heard, so that `/_emu/health` answers."""

FILES_OF_OUR_OWN = 128
"""File descriptors left for the app's connections, temporary files and the store."""

HEALTH_PATHS = ("/_emu/health", "/_emu/health/live", "/_emu/health/ready")
RELIEF = 0.9
"""Part of the limit below which all is well again."""

_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_FULL = "The emulator has too many connections; try again in a moment."
_REFUSAL = (
    "HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain; charset=utf-8\r\nRetry-After: 1\r\n"
    f"Connection: close\r\nContent-Length: {len(_FULL) + 1}\r\n\r\n{_FULL}\n"
).encode("ascii")


class Busy(Error):  # type: ignore[misc]
    """The answer on a connection beyond the limit."""

    code = 503
    reason = "Service Unavailable"


class SpareChannel(ParkingChannel):
    """A connection beyond the limit: it may ask how the emulator is, once."""

    spare = True
    ours_alone = True

    def add_channel(self, map: dict[int, Any] | None = None) -> None:
        """See waitress; it is watched from the start, for the next one may need its place."""
        super().add_channel(map)
        self.request, self.requests = None, []
        self.slow_clients.watch(self)

    def service(self) -> None:
        """Answer, and close."""
        request = self.requests[0]
        request.headers["CONNECTION"] = "close"
        if request.error is None and request.path.rstrip("/") not in HEALTH_PATHS:
            request.error = Busy(_FULL)
        super().service()


class Entrance:
    """Takes the connections of all servers; `limit` counts them together, `why` names what sets it."""

    def __init__(self, limit: int, why: str, loop: Loop, note: Note) -> None:
        self._limit = limit
        self._why = why
        self._loop = loop
        self._note = note
        self._servers: list[Any] = []
        self._full = self._starved = False
        self._reserve: int | None = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)

    def guard(self, server: Any, channel_class: type[ParkingChannel], spare_class: type[SpareChannel]) -> None:
        """Take the connections that come to `server`."""
        server.handle_accept = functools.partial(self._accept, server, channel_class, spare_class)
        server.maintenance = functools.partial(_end_idle, server)
        self._servers.append(server)

    def look(self) -> None:
        """Say it when the worst is over; called now and then."""
        if self._reserve is None:
            with contextlib.suppress(OSError):
                self._reserve = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        if self._full and self._count() < self._limit * RELIEF:
            self._full = False
            self._note("connections_accepted", "There is room for connections again.")
        if self._starved and self._reserve is not None and _can_open_files():
            self._starved = False
            self._note("connections_accepted", "Files can be opened again: connections are accepted.")

    def close(self) -> None:
        """Give back what it holds."""
        if self._reserve is not None:
            os.close(self._reserve)
            self._reserve = None

    def _count(self) -> int:
        return sum(len(server.active_channels) for server in self._servers)

    def _accept(self, server: Any, channel_class: type[ParkingChannel], spare_class: type[SpareChannel]) -> None:
        try:
            connection, address = server.socket.accept()
        except OSError as error:
            if error.errno in _EXHAUSTED:
                self._shed_without_files(server, error)
            return
        beyond = self._count() - self._limit
        if beyond >= 0:
            self._say_full()
            if beyond >= SPARE_CONNECTIONS:
                _turn_away(connection)
                return
        try:
            # Without delays: an answer whose head went out early would else wait for the head to be acknowledged.
            server.set_socket_options(connection)
            made = spare_class if beyond >= 0 else channel_class
            made(server, connection, server.fix_addr(address), server.adj, map=server._map)
        except OSError:
            # Gone already, or the system can watch no more; the server itself must not end by it.
            connection.close()

    def _say_full(self) -> None:
        if not self._full:
            self._full = True
            text = f"{self._limit} connections are open, which is all that {self._why} allows; further ones get 503."
            self._note("connections_refused", text)

    def _shed_without_files(self, server: Any, error: OSError) -> None:
        """No connection can be accepted, and each that waits would wake the loop again and again."""
        if not self._starved:
            self._starved = True
            soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
            self._note(
                "connections_refused",
                f"No more files can be opened ({error.strerror}; the limit is {soft}): new connections get 503. "
                "Raise it with ulimit -n before the start, or lower --max-connections.",
            )
        if self._reserve is not None:
            os.close(self._reserve)
            self._reserve = None
            with contextlib.suppress(OSError):
                _turn_away(server.socket.accept()[0])
        try:
            self._reserve = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            self._loop.pause(server)


def connection_limit(wanted: int) -> tuple[int, str]:
    """How many connections there may be, after raising the limit of open files, and what sets that bound."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + SPARE_CONNECTIONS + FILES_OF_OUR_OWN
    reachable = needed if hard == resource.RLIM_INFINITY else min(hard, needed)
    if soft < reachable:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (reachable, hard))
            soft = reachable
    if soft >= needed:
        return wanted, "--max-connections"
    return max(soft - SPARE_CONNECTIONS - FILES_OF_OUR_OWN, soft // 2), f"the limit of {soft} open files (ulimit -n)"


def _end_idle(server: Any, now: float) -> None:
    """Have those closed that have been idle for long; waitress's own way walks a dict that changes meanwhile."""
    cutoff = now - server.adj.channel_timeout
    for channel in list(server.active_channels.values()):
        if not channel.requests and channel.last_activity < cutoff:
            channel.will_close = True


def _can_open_files() -> bool:
    try:
        os.close(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
    except OSError:
        return False
    return True


def _turn_away(connection: socket.socket) -> None:
    with connection, contextlib.suppress(OSError):
        connection.setblocking(False)
        # What has been sent is read first: closing over unread bytes would break the answer off.
        with contextlib.suppress(BlockingIOError):
            connection.recv(64 * 1024)
        connection.send(_REFUSAL)
        connection.shutdown(socket.SHUT_WR)
