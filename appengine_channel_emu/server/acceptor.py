"""Where connections come in: as many as there may be, and a quick 503 for those beyond."""

from __future__ import annotations

import contextlib
import errno
import functools
import logging
import os
import resource
import socket
import sys
from typing import TYPE_CHECKING, Any

from waitress import create_server
from waitress.adjustments import Adjustments

from appengine_channel_emu import SERVER_NAME
from appengine_channel_emu.server.connection import Port
from appengine_channel_emu.server.loop import Loop
from appengine_channel_emu.server.parked import ParkingChannel, ParkingMiddleware
from appengine_channel_emu.server.plain_connection import PlainConnection
from appengine_channel_emu.server.short_path import ShortPath
from appengine_channel_emu.server.slow_clients import Note, NotTaken
from appengine_channel_emu.server.threads import Pools
from appengine_channel_emu.settings import Settings
from appengine_channel_emu.web.short import ShortAnswers

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

SEND_BYTES = 64 * 1024
UNSENT_BYTES = 64 * 1024 * 1024
"""Of one connection: a thread with more to send waits for the client. No whole answer of an app's has as much, nor what
one read's worth of pipelined polls is answered."""

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


class SpareChannel(ParkingChannel):
    """A connection beyond the limit: it may ask how the emulator is, once."""

    spare = True

    def add_channel(self, map: dict[int, Any] | None = None) -> None:
        """See waitress; it is watched from the start, for the next one may need its place."""
        super().add_channel(map)
        self.request, self.requests = None, []
        self.port.slow_clients.watch(self)

    def service(self) -> None:
        """Answer, and close."""
        request = self.requests[0]
        request.headers["CONNECTION"] = "close"
        if request.error is None and request.path.rstrip("/") not in HEALTH_PATHS:
            request.error = NotTaken(_FULL)
        super().service()


class Acceptor:
    """Takes the connections of all servers, in `loop`, for `pools` to serve; those of all count together."""

    def __init__(self, settings: Settings, loop: Loop, pools: Pools, note: Note) -> None:
        self._settings = settings
        self._limit, self._limited_by = _connection_limit(settings.max_connections)
        self._loop = loop
        self._pools = pools
        self._note = note
        self.servers: list[Any] = []
        """Waitress's, one for each socket."""
        self._full = self._starved = False
        self._reserve = _open_reserve()
        """Given up to turn a connection away, when there are no more descriptors."""

    def serve(self, sockets: list[socket.socket], application: WSGIApplication, port: Port) -> None:
        """Have waitress serve `application` on `sockets`, which listen; to be called before the loop starts."""
        logging.getLogger("waitress.queue").setLevel(logging.ERROR)
        socket_map = self._loop.socket_map
        others = set(socket_map)
        create_server(
            ParkingMiddleware(application),
            map=socket_map,
            _dispatcher=self._pools,
            sockets=sockets,
            **_waitress_settings(self._settings),
        )
        for thing in [socket_map[number] for number in socket_map.keys() - others]:
            if hasattr(thing, "active_channels"):
                thing.handle_accept = functools.partial(self._accept, thing, port)
                # A service that ends stops listening before its loop does.
                thing.handle_close = functools.partial(socket_map.pop, thing.socket.fileno(), None)
                thing.maintenance = functools.partial(_end_idle, thing)
                # Head and body of an answer go out together (`ParkingTask.finish`). Not one of the settings above,
                # where waitress warns that it will go.
                thing.adj.send_bytes = SEND_BYTES
                self.servers.append(thing)

    def look(self) -> None:
        """Say it when the worst is over; called now and then."""
        if self._reserve is None:
            self._reserve = _open_reserve()
        if self._full and self._count() < self._limit * RELIEF:
            self._full = False
            self._note("connections_accepted", "There is room for connections again.")
        if self._starved and self._reserve is not None and (another := _open_reserve()) is not None:
            os.close(another)
            self._starved = False
            self._note("connections_accepted", "Files can be opened again: connections are accepted.")

    def say_goodbye(self) -> None:
        """Let those hear of the end who wait on an open stream; once the loop has ended."""
        for server in self.servers:
            for channel in list(server.active_channels.values()):
                channel.say_goodbye()

    def close(self) -> None:
        """Give back what it holds."""
        if self._reserve is not None:
            os.close(self._reserve)
            self._reserve = None

    def _count(self) -> int:
        return sum(len(server.active_channels) for server in self.servers)

    def _accept(self, server: Any, port: Port) -> None:
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
            channel_class = SpareChannel if beyond >= 0 else PlainConnection if port.short_path else ParkingChannel
            channel_class(server, connection, server.fix_addr(address), port)
        except OSError:
            # Gone already, or the system can watch no more; the server itself must not end by it.
            connection.close()

    def _say_full(self) -> None:
        if not self._full:
            self._full = True
            allowed = f"{self._limit} connections are open, which is all that {self._limited_by} allows"
            self._note("connections_refused", f"{allowed}; further ones get 503.")

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
        self._reserve = _open_reserve()
        if self._reserve is None:
            self._loop.pause(server)


def _connection_limit(wanted: int) -> tuple[int, str]:
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


def make_short_path(settings: Settings, answers: ShortAnswers) -> ShortPath | None:
    """What is answered by `answers`, without waitress; None behind a trusted proxy."""
    if settings.trusted_proxy is not None:
        return None
    return ShortPath(answers, Adjustments(**_waitress_settings(settings)))


def _waitress_settings(settings: Settings) -> dict[str, Any]:
    chosen: dict[str, Any] = {
        "server_name": settings.host,
        "ident": SERVER_NAME,
        # `Acceptor` counts them.
        "connection_limit": sys.maxsize,
        "channel_request_lookahead": 1,
        "max_request_body_size": settings.max_request_size + 1,
        "max_request_header_size": settings.max_header_size,
        "outbuf_high_watermark": UNSENT_BYTES,
        "asyncore_use_poll": True,
        "log_socket_errors": False,
    }
    return chosen | proxy_options(settings.trusted_proxy)


def proxy_options(proxy: str | None) -> dict[str, Any]:
    """Waitress's, on whom to believe about the visitor: a proxy in front, such as one that speaks TLS.

    Without a trusted one (`--trusted-proxy`), X-Forwarded headers are the app's affair.
    """
    if proxy is None:
        return {"clear_untrusted_proxy_headers": False}
    return {
        "trusted_proxy": proxy,
        "trusted_proxy_headers": {"x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"},
        "clear_untrusted_proxy_headers": True,
    }


def _end_idle(server: Any, now: float) -> None:
    """Have those closed that have been idle for long; waitress's own way walks a dict that changes meanwhile."""
    for channel in list(server.active_channels.values()):
        channel.end_if_idle(now - server.adj.channel_timeout)


def _open_reserve() -> int | None:
    """A descriptor, of nothing; None when there are no more."""
    try:
        return os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None


def _turn_away(connection: socket.socket) -> None:
    with connection, contextlib.suppress(OSError):
        connection.setblocking(False)
        # What has been sent is read first: closing over unread bytes would break the answer off.
        with contextlib.suppress(BlockingIOError):
            connection.recv(64 * 1024)
        connection.send(_REFUSAL)
        connection.shutdown(socket.SHUT_WR)
