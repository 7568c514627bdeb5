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
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from waitress.channel import ClientDisconnected, HTTPChannel
from waitress.utilities import InternalServerError
from wsproto.frame_protocol import CloseReason

from appengine_channel_emu.host.visitors import SERVER_HINTS
from appengine_channel_emu.server.answers import Parked, ParkingTask, TaskHints
from appengine_channel_emu.server.connection import LINGER_BLOCK, Connection
from appengine_channel_emu.server.short_path import BEGINNINGS
from appengine_channel_emu.server.websocket import MOST_UNSENT, WebSocket, close_frame
from appengine_channel_emu.web.upgrade import Upgrade, Upgraded
from appengine_channel_emu.web.waiting import Waiting

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


STANDS_FOR = b"GET /_ah/channel/poll HTTP/1.1\r\nHost: localhost\r\n\r\n"
"""Instead of the request that is parked: what answers it asks for no more than that it keeps its connection."""


class ParkingMiddleware:
    """The application, with `Parked` raised for an answer that is not ready, and `Upgraded` for a WebSocket."""

    def __init__(self, application: WSGIApplication) -> None:
        self._application = application

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Call the application, or go on with the answer that a former call left in `environ`."""
        hints = environ.get(SERVER_HINTS)
        if isinstance(hints, TaskHints) and hints.waiting is not None:
            following = hints.waiting.following()
            if not following.ready:
                raise Parked(following)
            following.begin(start_response)
            return following
        body = self._application(environ, start_response)
        if isinstance(body, Waiting) and not body.ready:
            raise Parked(body)
        if isinstance(body, Upgrade):
            raise Upgraded(body)
        return body


class ParkingChannel(Connection):
    """A connection whose running task may be parked, and which may become a WebSocket.

    Browsers never end one side alone: a page that does, while it waits, has gone.
    """

    overdue = False
    """Whether its next request has waited for too long."""
    websocket: WebSocket | None = None
    """What it has become; until that begins its request is at the head of `requests`, as any other."""
    _kept: ParkingTask | None = None
    _waiting: Waiting | None = None
    _parked = False

    @property
    def resumes(self) -> bool:
        """Whether its next task is one that was parked."""
        return self._kept is not None

    def readable(self) -> bool:
        """See `Connection`; once something is behind a request for a WebSocket, no more is read until that begins."""
        if self.websocket is not None and not self.requests:
            return not self.will_close and self.total_outbufs_len < MOST_UNSENT
        return not any(request.behind for request in self.requests[-1:]) and super().readable()

    def _hear(self, data: bytes) -> None:
        if self.plain is not None and data.startswith(BEGINNINGS) and self._let_go():
            self.plain.take_back(self)
            self.plain.go_on(data)
        else:
            self.take(data)

    def take(self, data: bytes) -> None:
        """See `Connection`."""
        if self.websocket is not None and not self.requests:
            # Its last activity is when something was sent: whether it reads is what it is judged by.
            self.websocket.received(data)
        else:
            super().take(data)

    def _let_go(self) -> bool:
        """Leave the socket to who has it next, if nothing at all is under way; whether that is so."""
        with self.requests_lock, self.loop_lock:
            # A thread that has answered the last request may be about to look once more.
            busy = (
                self.requests or self.request is not None or self.total_outbufs_len or self._unwritten or self._unsent
            )
            if busy or self.websocket is not None or self.will_close or self.close_when_flushed or self._half_closed:
                return False
            # The same event may say that the client has gone: closing the socket is its next owner's.
            self._fileno, self.connected, self.socket = None, False, None
            return True

    def take_over(self, waiting: Waiting) -> None:
        """Go on with an answer that was parked without waitress."""
        request = self.parser_class(self.adj)
        request.received(STANDS_FOR)
        self.requests.append(request)
        task = ParkingTask(self, request)
        task.go_on_with(waiting)
        self._park(task, waiting)

    def answer_failure(self) -> None:
        """Answer a request that has failed without waitress as waitress does, and close."""
        request = self.parser_class(self.adj)
        request.version = "1.1"
        request.error = InternalServerError("The server encountered an unexpected internal server error")
        self.requests.append(request)
        self.server.add_task(self)

    def hear(self) -> bool:
        """Read what the page of a stream says; False where this is none that goes on, and `handle_read` is to look."""
        websocket = self.websocket
        if websocket is None or self.requests:
            return False
        try:
            data = self.socket.recv(self.adj.recv_bytes)
        except OSError:
            return False
        if data:
            websocket.received(data)
        return bool(data)

    def received(self, data: bytes) -> bool:
        """See waitress; what follows a request for a WebSocket may be for that."""
        with self.requests_lock:
            if self.requests and self.requests[-1].upgrade:
                self.requests[-1].behind += data
                return True
        return bool(super().received(data))

    def task_class(self, channel: HTTPChannel, request: Any) -> ParkingTask:
        """The task that was parked, or a new one."""
        kept, self._kept = self._kept, None
        task = kept or ParkingTask(channel, request)
        task.overdue, self.overdue = self.overdue, False
        return task

    def _serve(self) -> None:
        """Run the task at the head, or go on with it; returns early when it is parked."""
        waiting, self._waiting = self._waiting, None
        try:
            super()._serve()
        except Parked as parked:
            self._park(parked.task, parked.waiting)
        except Upgraded as upgraded:
            self.websocket = WebSocket(self, upgraded.upgrade, self.port.streams)
            self.port.loop.soon(self.websocket)
        if waiting is not None:
            # Waitress has closed it, unless it never came to iterate because the client had gone.
            waiting.close()

    def handle_close(self) -> None:
        """See `Connection`; what its client waited for is given up."""
        super().handle_close()
        if self.websocket is not None:
            self.websocket.left()
        self._resume()

    def _waits_as_page(self) -> bool:
        """Whether it is a WebSocket, or waits for one, or for a poll."""
        if self.websocket is not None:
            return True
        waiting = self._waiting if self._parked else None
        # Another thread may be taking the request away.
        return waiting is not None and (waiting.ends_with_client or any(each.upgrade for each in self.requests[:1]))

    def begin_stream(self) -> bytes | None:
        """Its request has been answered by a WebSocket; what was behind it. None where the client has gone."""
        with self.requests_lock:
            request = self.requests.pop(0)
            request.close()
        with self.loop_lock:
            if self._fileno is not None:
                self.port.loop.let_wait(self)
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
