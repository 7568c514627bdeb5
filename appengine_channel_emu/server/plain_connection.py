"""A connection while what comes over it takes the short path: little more than its socket and the poll parked on it.

Nothing in it is waitress's. What takes the long path, or is unusual in any way, a second request behind a parked poll
or a client that does not take its answer, makes it a `ParkingChannel`; that gives it back when something for the short
path comes between two requests. All of it happens on the loop's thread.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import time
from typing import Any

from appengine_channel_emu.server.connection import Port
from appengine_channel_emu.server.parked import ParkingChannel
from appengine_channel_emu.server.short_path import READ_BYTES
from appengine_channel_emu.web.waiting import Waiting
from appengine_channel_emu.web.wsgi import Answer, ConnectionCut

log = logging.getLogger("channel_emu")


class PlainConnection:
    """A connection of `port`, accepted by waitress's `server`. Raises OSError where the loop has no room for it."""

    __slots__ = (
        "_port",
        "_server",
        "_waiting",
        "address",
        "events",
        "fileno_or_none",
        "last_activity",
        "poller",
        "socket",
    )

    resumes = True
    """See `Loop.soon`."""

    def __init__(self, server: Any, sock: socket.socket, address: Any, port: Port) -> None:
        sock.setblocking(False)
        self._server = server
        self._port = port
        self._waiting: Waiting | None = None
        """The poll that is parked here."""
        self.socket = sock
        self.address = address
        self.events = 0
        self.poller: Any = None
        self.fileno_or_none: int | None = sock.fileno()
        self.last_activity = time.time()
        port.loop.add(self)
        self._take_place()

    # What the loop asks, see waitress

    def readable(self) -> bool:
        """Always, to hear of its end."""
        return True

    def writable(self) -> bool:
        """Never: what is not sent at once is waitress's to send."""
        return False

    def handle_read_event(self) -> None:
        """Something has come, or its client has gone."""
        try:
            data = self.socket.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            self.handle_close()
            return
        # Browsers never end one side alone: a page that does, while it waits, has gone.
        if data:
            self.go_on(data)
        else:
            self.handle_close()

    def handle_write_event(self) -> None:
        """Never waited for."""

    handle_expt_event = handle_write_event

    def handle_error(self) -> None:
        """Something failed that may not fail."""
        log.exception("A connection was closed after an error.")
        self.handle_close()

    def handle_close(self) -> None:
        """The client has gone, or is to go; what it waited for is given up."""
        number, waiting = self.fileno_or_none, self._waiting
        if number is not None:
            self._port.loop.remove(self)
            self.fileno_or_none = self._waiting = None
            self._port.loop.socket_map.pop(number, None)
            self._server.active_channels.pop(number, None)
            with contextlib.suppress(OSError):
                # At once, even where a process that is being started holds a copy of the descriptor.
                self.socket.shutdown(socket.SHUT_WR)
            self.socket.close()
        if waiting is not None:
            self._port.parked_polls.remove(waiting)
            waiting.close()

    def close(self) -> None:
        """See waitress: the loop has ended."""
        self.socket.close()

    def end_if_idle(self, since: float) -> None:
        """Close it if nothing has happened since then, in seconds of `time.time()`, and nothing is waited for."""
        if self._waiting is None and self.last_activity < since:
            self.handle_close()

    def say_goodbye(self) -> None:
        """See `ParkingChannel`: nobody here waits to hear of it."""

    # What comes, and what is answered

    def go_on(self, data: bytes) -> None:
        """Answer what has come, or have waitress answer it."""
        short_path = self._port.short_path
        if short_path is None or self._waiting is not None:
            self._take_long_path(data)
            return
        self.last_activity = time.time()
        if len(data) == READ_BYTES:
            data += self._read_send(short_path.size_of_send(data) - len(data))
        try:
            answer = self._port.loop.do_call(short_path.answer, data, self.address[0])
        except Exception:
            log.exception("A request failed.")
            self._become_channel().answer_failure()
            return
        if isinstance(answer, Answer):
            self._send(self._port.heads.get(answer.status, answer.headers, len(answer.body)) + answer.body)
        elif isinstance(answer, Waiting):
            self._wait_for(answer)
        else:
            self._take_long_path(data)

    def take_back(self, channel: ParkingChannel) -> None:
        """`channel`, which it had become, has nothing more to do, and has let go of the socket."""
        self.fileno_or_none, self.events, self.poller = self.socket.fileno(), channel.events, channel.poller
        self._take_place()
        self._port.loop.update(self)

    def _wait_for(self, waiting: Waiting) -> None:
        self._waiting = waiting
        if waiting.ready:
            self.service()
            return
        headers = waiting.early_headers()
        if headers is not None:
            self._send(self._port.heads.get("200 OK", headers + waiting.extra_headers, None))
        if self._waiting is waiting:
            self._port.parked_polls.add(waiting)
            waiting.when_ready(self._wake)

    def _wake(self) -> None:
        """What it waits for is there. From any thread."""
        self._port.loop.soon(self)

    def service(self) -> None:
        """Answer the poll that was parked, unless that is done."""
        waiting = self._waiting
        if waiting is None or not waiting.ready:
            return
        self._waiting = None
        self.last_activity = time.time()
        self._port.parked_polls.remove(waiting)
        try:
            answer = waiting.made()
        except ConnectionCut:
            self.handle_close()
        except Exception:
            log.exception("A poll could not be answered.")
            if waiting.head_sent:
                self.handle_close()
            else:
                self._become_channel().answer_failure()
        else:
            body = answer.body
            if waiting.head_sent:
                self._send(b"%X\r\n%b\r\n0\r\n\r\n" % (len(body), body))
            else:
                headers = answer.headers + waiting.extra_headers
                self._send(self._port.heads.get(answer.status, headers, len(body)) + body)
        finally:
            waiting.close()

    def _send(self, data: bytes) -> None:
        try:
            sent = self.socket.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.handle_close()
            return
        if sent < len(data):
            self._become_channel().push(data[sent:])

    def _read_send(self, left: int) -> bytes:
        """The `left` bytes of a send of which more has come than is read at once, if they are there, and nothing else.

        Else nothing is taken: what takes the long path is read as it always was.
        """
        with contextlib.suppress(OSError):
            if left > 0 and len(self.socket.recv(left + 1, socket.MSG_PEEK)) == left:
                return self.socket.recv(left)
        return b""

    def _take_long_path(self, data: bytes) -> None:
        channel = self._become_channel()
        channel.take(data)
        # The loop asks who was there when the event came, and that is us.
        channel.changed()

    def _become_channel(self) -> ParkingChannel:
        """Waitress goes on with it, and with the poll that is parked."""
        channel = ParkingChannel(self._server, self.socket, self.address, self._port, self)
        self.fileno_or_none = None
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            channel.take_over(waiting)
        return channel

    def _take_place(self) -> None:
        number = self.fileno_or_none
        assert number is not None
        self._port.loop.socket_map[number] = self._server.active_channels[number] = self
