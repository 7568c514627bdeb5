"""A connection: what of waitress's is ours, so that the loop serves it, and that no answer of it is lost.

A client that has ended its sending side may still wait for its answers, and gets them. One that is refused may still
be sending, and is read for a while, so that it gets to know why.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any

from waitress.channel import HTTPChannel
from waitress.utilities import Error

from appengine_channel_emu.server.answers import AnswerBuffers, BuffersLock, Heads, RefusalTask
from appengine_channel_emu.server.loop import Loop
from appengine_channel_emu.server.parser import RequestParser
from appengine_channel_emu.server.short_path import ShortPath
from appengine_channel_emu.server.slow_clients import SlowClients
from appengine_channel_emu.server.timeouts import Timeouts

if TYPE_CHECKING:
    from appengine_channel_emu.server.plain_connection import PlainConnection

LINGER_BYTES = 64 * 1024 * 1024
LINGER_BLOCK = 256 * 1024
"""What a client may still send once it has been refused, and what is read of it at a time."""


@dataclass(frozen=True, slots=True)
class Port:
    """What the connections of one port share.

    short_path: what is answered without waitress; None where all goes through it.
    ours_alone: whether nothing of the app's is served there.
    """

    loop: Loop
    parked_polls: Timeouts
    streams: Timeouts
    slow_clients: SlowClients
    heads: Heads
    short_path: ShortPath | None = None
    ours_alone: bool = False


class Connection(HTTPChannel):  # type: ignore[misc]
    """A connection of `port`. It is closed by the loop's thread alone, or when that has ended.

    `plain` is what has accepted it, if anything has, and what it may become again.
    """

    parser_class = RequestParser
    error_task_class = RefusalTask
    spare = False
    """Whether it is one too many, see `server.acceptor`."""
    lingering = False
    """Whether all has been said, and what its client still sends is read and dropped."""
    lingered = 0
    """Bytes that were dropped."""
    socket: Any
    request: Any
    requests: list[Any]
    events = 0
    poller: Any = None
    """What of the loop looks at it, and for which events."""
    _half_closed = False
    """Whether its client has ended its sending side."""
    _refused = False
    """Whether its last answer refuses something of which more may come."""
    _unwritten: list[Callable[[], None]] | None = None
    """Who wants to know when the answer to the present request has left."""
    _unsent: list[Callable[[], None]] | None = None
    """The same of answers that are written, but not all sent."""

    def __init__(
        self, server: Any, sock: socket.socket, address: Any, port: Port, plain: PlainConnection | None = None
    ) -> None:
        self.port = port
        self.plain = plain
        super().__init__(server, sock, address, server.adj, map=port.loop.socket_map)
        self.outbufs = AnswerBuffers(server.adj.outbuf_overflow)
        self.outbuf_lock = BuffersLock()

    def add_channel(self, map: dict[int, Any] | None = None) -> None:
        """See waitress; the loop hears of it, first: it may have no room for it, and raise OSError."""
        self.loop_lock = Lock()
        if self.plain is None:
            self.port.loop.add(self)
        else:
            self.events, self.poller = self.plain.events, self.plain.poller
        super().add_channel(map)

    def del_channel(self, map: dict[int, Any] | None = None) -> None:
        """See waitress; from here on nobody may name its descriptor, which may soon be another's."""
        with self.loop_lock:
            if self._fileno is not None:
                self.port.loop.remove(self)
            super().del_channel(map)

    @property
    def ours_alone(self) -> bool:
        """Whether it is served nothing of the app's."""
        return self.spare or self.port.ours_alone

    @property
    def fileno_or_none(self) -> int | None:
        """Its descriptor, while it is open."""
        return self._fileno  # type: ignore[no-any-return]

    def changed(self) -> None:
        """Let the loop know what it waits for from here on."""
        with self.loop_lock:
            if self._fileno is not None:
                self.port.loop.update(self)
        if self.request is not None or self.total_outbufs_len:
            self.port.slow_clients.watch(self)

    def end_if_idle(self, since: float) -> None:
        """Close it if nothing has happened since then, in seconds of `time.time()`, and nothing is waited for."""
        if not self.requests and self.last_activity < since:
            self.will_close = True
            self.changed()

    def readable(self) -> bool:
        """See waitress."""
        if self.lingering:
            return not self.will_close
        return not self._half_closed and bool(super().readable())

    def handle_read(self) -> None:
        """See waitress, for which a client that has ended its side has gone."""
        try:
            data = self.socket.recv(LINGER_BLOCK if self.lingering else self.adj.recv_bytes)
        except BlockingIOError:
            return
        except OSError:
            self.handle_close()
            return
        if not data:
            self._end_of_requests()
        elif self.lingering:
            self.lingered += len(data)
            if self.lingered > LINGER_BYTES:
                self.handle_close()
        elif not any(request.error for request in self.requests[-1:]):
            # What follows something that is refused is no request.
            self._hear(data)

    def _hear(self, data: bytes) -> None:
        """Something has come, between two requests or within one."""
        self.take(data)

    def take(self, data: bytes) -> None:
        """Go on with what has come."""
        self.last_activity = time.time()
        self.received(data)

    def refuse(self, error: Error) -> bool:
        """Answer the request that is under way with `error`; False where another is to be answered before it."""
        with self.requests_lock:
            request, self.request = self.request, None
            if request is None:
                return True
            if self.requests:
                return False
            request.refuse(error)
            self.requests.append(request)
        self.server.add_task(self)
        return True

    def handle_write(self) -> None:
        """See waitress; an answer that refuses something is not broken off while its client still sends."""
        if self.close_when_flushed and self._refused and not self._half_closed and not self.spare:
            self.flush()
            if self.will_close:
                self.handle_close()
            elif not self.total_outbufs_len:
                self._linger()
        else:
            super().handle_write()
        self._tell_sent()

    def _linger(self) -> None:
        """Say that nothing more comes, and go on reading for a while (RFC 9112, section 9.6).

        Closing over unread bytes resets the connection, and the client may lose the answer by it.
        """
        self.close_when_flushed = False
        self.lingering = True
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_WR)
        self.port.slow_clients.watch(self)

    def _end_of_requests(self) -> None:
        """The client has ended its sending side: it has gone, or waits for the answers to what it has sent."""
        with self.requests_lock:
            self._half_closed = True
            request, self.request = self.request, None
            if request is not None and request.begun and not self.lingering:
                request.end_early()
                self.requests.append(request)
                if len(self.requests) == 1:
                    self.server.add_task(self)
            waits = bool(self.requests)
            if not waits:
                self.close_when_flushed = True
        if self._waits_as_page() or not (waits or self.total_outbufs_len):
            self.handle_close()

    def _waits_as_page(self) -> bool:
        """Whether a client that ends its sending side has gone, instead of waiting for an answer."""
        return False

    def _flush_outbufs_below_high_watermark(self) -> None:
        if self.total_outbufs_len > self.adj.outbuf_high_watermark:
            # It may block until the loop has sent something.
            self.changed()
        super()._flush_outbufs_below_high_watermark()

    def service(self) -> None:
        """See waitress; the loop and who wants to know of it hear of what has changed."""
        self._refused = bool(self.requests and self.requests[0].error)
        self._serve()
        self._tell_sent()
        if self._half_closed:
            with self.requests_lock:
                self.close_when_flushed |= not self.requests
        self.changed()

    def _serve(self) -> None:
        """Answer the request at the head."""
        super().service()

    def _flush_some(self, do_close: bool = True) -> bool:
        # The loop closes it: here any thread may be, and the loop's may be using the socket.
        return bool(self.connected and super()._flush_some(do_close=False))

    def flush(self) -> None:
        """Send as much as the client takes."""
        with self.outbuf_lock:
            self._flush_exception(self._flush_some, do_close=False)

    def when_sent(self, callback: Callable[[], None]) -> None:
        """See `host.visitors.ServerHints`."""
        if self._unwritten is None or self._unsent is None:
            self._unwritten, self._unsent = [], []
        self._unwritten.append(callback)

    def has_written(self) -> None:
        """The task at the head writes nothing more."""
        if self._unwritten and self._unsent is not None:
            with contextlib.suppress(IndexError):
                while True:
                    self._unsent.append(self._unwritten.pop())

    def _tell_sent(self) -> None:
        """Call whoever wants to know of an answer that the system has whole, or that nobody is there for."""
        if self._unsent and not (self.connected and self.total_outbufs_len):
            _call_all(self._unsent)
        if self._unwritten and not self.connected:
            _call_all(self._unwritten)

    def handle_close(self) -> None:
        """The client has gone, or is to go."""
        with self.loop_lock, contextlib.suppress(OSError):
            # At once, even where a process that is being started holds a copy of the descriptor.
            if self._fileno is not None:
                self.socket.shutdown(socket.SHUT_WR)
        super().handle_close()
        self._tell_sent()


def _call_all(callbacks: list[Callable[[], None]]) -> None:
    """Each once, whatever other thread does the same."""
    with contextlib.suppress(IndexError):
        while callbacks:
            callbacks.pop()()
