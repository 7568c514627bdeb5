"""Polls parked on waitress: an answer that is not ready yet keeps its connection, and no thread.

How: `ParkingMiddleware` around the application sees a `Waiting` that is not ready and raises `Parked`, a
BaseException, which unwinds waitress's task past its handlers for OSError and Exception. The channel keeps the task;
its request stays at the head of `requests`, so to waitress a task is running. When the answer is ready, `service` is
called again, is given the same task, and iterates the same `Waiting`; of its environ the address is left.

These are seams of waitress, not an API of it: tests/server/test_parking.py holds a contract for each. Where one is
gone the application still works on plain waitress, at a thread a poll.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any

from waitress.channel import ClientDisconnected, HTTPChannel
from waitress.utilities import Error
from wsproto.frame_protocol import CloseReason

from appengine_channel_emu.server.answers import AnswerBuffers, BuffersLock, Parked, ParkingTask, RefusalTask, TaskHints
from appengine_channel_emu.server.loop import Loop
from appengine_channel_emu.server.parser import RequestParser
from appengine_channel_emu.server.slow_clients import SlowClients
from appengine_channel_emu.server.timeouts import Timeouts
from appengine_channel_emu.server.websocket import MOST_UNSENT, WebSocket, close_frame
from appengine_channel_emu.web.upgrade import Upgrade, Upgraded
from appengine_channel_emu.web.waiting import Waiting
from appengine_channel_emu.web.wsgi import SERVER_HINTS

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

LINGER_BYTES = 64 * 1024 * 1024
LINGER_BLOCK = 256 * 1024
"""What a client may still send once it has been refused, and what is read of it at a time."""


class ParkingMiddleware:
    """The application, with `Parked` raised for an answer that is not ready, and `Upgraded` for a WebSocket."""

    def __init__(self, application: WSGIApplication) -> None:
        self._application = application

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Call the application, or go on with the answer that a former call left in `environ`."""
        hints = environ.get(SERVER_HINTS)
        if isinstance(hints, TaskHints) and hints.waiting is not None:
            return hints.waiting
        body = self._application(environ, start_response)
        if isinstance(body, Waiting) and not body.ready:
            raise Parked(body)
        if isinstance(body, Upgrade):
            raise Upgraded(body)
        return body


@dataclass(frozen=True, slots=True)
class Port:
    """What the connections of one port share. `ours_alone`: whether nothing of the app's is served there."""

    loop: Loop
    parked_polls: Timeouts
    streams: Timeouts
    slow_clients: SlowClients
    ours_alone: bool = False


class ParkingChannel(HTTPChannel):  # type: ignore[misc]
    """A connection whose running task may be parked. It is closed by the loop's thread alone, or when that has ended.

    A client that has ended its sending side may still wait for its answers, and gets them; only one that waits for a
    poll is a page that has gone.
    """

    parser_class = RequestParser
    error_task_class = RefusalTask
    spare = False
    """Whether it is one too many, see `server.acceptor`."""
    overdue = False
    """Whether its next request has waited for too long."""
    lingering = False
    """Whether all has been said, and what its client still sends is read and dropped."""
    lingered = 0
    """Bytes that were dropped."""
    request: Any
    requests: list[Any]
    events = 0
    _half_closed = False
    """Whether its client has ended its sending side."""
    _refused = False
    """Whether its last answer refuses something of which more may come."""
    _kept: ParkingTask | None = None
    _waiting: Waiting | None = None
    _parked = False
    websocket: WebSocket | None = None
    """What it has become; until that begins its request is at the head of `requests`, as any other."""
    _unwritten: list[Callable[[], None]] | None = None
    """Who wants to know when the answer to the present request has left."""
    _unsent: list[Callable[[], None]] | None = None
    """The same of answers that are written, but not all sent."""

    def __init__(self, server: Any, sock: socket.socket, address: Any, port: Port) -> None:
        self.port = port
        super().__init__(server, sock, address, server.adj, map=port.loop.socket_map)
        self.outbufs = AnswerBuffers(server.adj.outbuf_overflow)
        self.outbuf_lock = BuffersLock()

    def add_channel(self, map: dict[int, Any] | None = None) -> None:
        """See waitress; the loop hears of it, first: it may have no room for it, and raise OSError."""
        self.loop_lock = Lock()
        self.port.loop.add(self)
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
    def resumes(self) -> bool:
        """Whether its next task is one that was parked."""
        return self._kept is not None

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

    def readable(self) -> bool:
        """See waitress."""
        if self.lingering:
            return not self.will_close
        if self._half_closed or (self.requests and self.requests[-1].behind):
            return False
        if self.websocket is not None and not self.requests:
            return not self.will_close and self.total_outbufs_len < MOST_UNSENT
        return bool(super().readable())

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
        elif self.websocket is not None and not self.requests:
            # Its last activity is when something was sent: whether it reads is what it is judged by.
            self.websocket.received(data)
        elif not (self.requests and self.requests[-1].error):
            # What follows something that is refused is no request.
            self.last_activity = time.time()
            self.received(data)

    def received(self, data: bytes) -> bool:
        """See waitress; what follows a request for a WebSocket may be for that."""
        with self.requests_lock:
            if self.requests and self.requests[-1].upgrade:
                self.requests[-1].behind += data
                return True
        return bool(super().received(data))

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
        gone = self.websocket is not None or (self._parked and self._waits_as_page())
        if gone or not (waits or self.total_outbufs_len):
            self.handle_close()

    def _waits_as_page(self) -> bool:
        """Whether it waits for a poll or a WebSocket. Browsers never end one side alone: a page that has, has gone."""
        waiting = self._waiting
        # Another thread may be taking the request away.
        return waiting is not None and (waiting.ends_with_client or any(each.upgrade for each in self.requests[:1]))

    def _flush_outbufs_below_high_watermark(self) -> None:
        if self.total_outbufs_len > self.adj.outbuf_high_watermark:
            # It may block until the loop has sent something.
            self.changed()
        super()._flush_outbufs_below_high_watermark()

    def task_class(self, channel: HTTPChannel, request: Any) -> ParkingTask:
        """The task that was parked, or a new one."""
        kept, self._kept = self._kept, None
        task = kept or ParkingTask(channel, request)
        task.overdue, self.overdue = self.overdue, False
        return task

    def service(self) -> None:
        """Run the task at the head, or go on with it; returns early when it is parked."""
        waiting, self._waiting = self._waiting, None
        self._refused = bool(self.requests and self.requests[0].error)
        try:
            super().service()
        except Parked as parked:
            self._park(parked.task, parked.waiting)
        except Upgraded as upgraded:
            self.websocket = WebSocket(self, upgraded.upgrade, self.port.streams)
            self.port.loop.soon(self.websocket)
        self._tell_sent()
        if waiting is not None:
            # Waitress has closed it, unless it never came to iterate because the client had gone.
            waiting.close()
        if self._half_closed:
            with self.requests_lock:
                self.close_when_flushed |= not self.requests
        self.changed()

    def _flush_some(self, do_close: bool = True) -> bool:
        # The loop closes it: here any thread may be, and the loop's may be using the socket.
        return bool(self.connected and super()._flush_some(do_close=False))

    def flush(self) -> None:
        """Send as much as the client takes."""
        with self.outbuf_lock:
            self._flush_exception(self._flush_some, do_close=False)

    def when_sent(self, callback: Callable[[], None]) -> None:
        """See `web.wsgi.ServerHints`."""
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
        """The client has gone, or is to go: what it waited for is given up."""
        with self.loop_lock, contextlib.suppress(OSError):
            # At once, even where a process that is being started holds a copy of the descriptor.
            if self._fileno is not None:
                self.socket.shutdown(socket.SHUT_WR)
        super().handle_close()
        if self.websocket is not None:
            self.websocket.left()
        self._resume()
        self._tell_sent()

    def begin_stream(self) -> bytes | None:
        """Its request has been answered by a WebSocket; what was behind it. None where the client has gone."""
        with self.requests_lock:
            request = self.requests.pop(0)
            request.close()
        self.changed()
        return request.behind if self.connected and not self._half_closed else None

    def push(self, data: bytes) -> None:
        """Send `data`, of a stream, as far as the client takes it, and the rest when it does; never blocks."""
        # Of a stream nobody else writes: no lock is taken, which costs as much as half a system call.
        if not self.connected:
            return
        if not self.total_outbufs_len:
            self.last_activity = time.time()
            try:
                sent = self.socket.send(data)
            except OSError:
                # It takes nothing now, or has gone, which the loop will hear of.
                sent = 0
            if sent == len(data):
                return
            data = data[sent:]
        self.outbufs[-1].append(data)
        self.total_outbufs_len += len(data)
        self.changed()

    def end_stream(self) -> None:
        """Nothing more is sent; what the client still sends is read for a while."""
        self._refused = self.close_when_flushed = True
        self.changed()

    def say_goodbye(self) -> None:
        """The emulator ends: a page with a stream does not wait to hear of it."""
        if self.websocket is not None and not self.requests:
            self.push(close_frame(CloseReason.GOING_AWAY, "The emulator ends."))
            with contextlib.suppress(OSError):
                # Closing over unread bytes would reset the connection, and the frame might be lost.
                self.socket.recv(LINGER_BLOCK)
                self.socket.shutdown(socket.SHUT_WR)

    def _park(self, task: ParkingTask, waiting: Waiting) -> None:
        # Everything that belongs to the task is unwound: once `when_ready` is called, another thread may run it.
        self._kept, self._waiting, self._parked = task, waiting, True
        if task.version == "1.1" and waiting.send_head():
            with contextlib.suppress(ClientDisconnected):
                task.send_head()
        self.port.parked_polls.add(waiting)
        if not self.connected:
            self._resume()
        if self._half_closed and self._waits_as_page():
            waiting.expire()
        waiting.when_ready(self._resume)

    def _resume(self) -> None:
        """Have the task run once more, to be ended: its answer is ready, or there is no client to answer.

        Of all calls that may come at once, one does it.
        """
        polls = self.port.parked_polls
        with polls.lock:
            parked, self._parked = self._parked, False
        if parked and self._waiting is not None:
            polls.remove(self._waiting)
            self.server.add_task(self)


def _call_all(callbacks: list[Callable[[], None]]) -> None:
    """Each once, whatever other thread does the same."""
    with contextlib.suppress(IndexError):
        while callbacks:
            callbacks.pop()()
