"""Waitress's loop on epoll: a turn costs by what happens in it, not by how many connections are open.

Waitress's own loop asks every connection whether it is readable and writable, and rebuilds its poll table, at every
turn; with thousands of parked polls each message pays for that. Here a connection says itself when what it waits for
changes. Where there is no epoll the stock loop serves.
"""

from __future__ import annotations

import contextlib
import logging
import select
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

from waitress import wasyncore

TURN_SECONDS = 0.25
"""The longest turn: the precision of the polls' deadlines."""

OFTEN_SECONDS = 0.02
"""Between two looks at what is due, at the least: a busy loop has thousands of turns in a second."""

LOOK_SECONDS = 1.0
"""Between two looks at all that is open, at the least."""

WORDS_SECONDS = 0.01
"""Between two looks at what pages say over their streams, at the least. They say which messages they have, thousands of
them at about the same time, and nobody waits for it; to sleep and wake for each costs more than to take it."""

WORDS_AT_ONCE = 128
"""Streams that are heard before others are served; with so many, more may be there already."""

TASKS_A_TURN = 50
ANSWERS_AT_ONCE = 8
"""Pages that have a message before its sender has its answer; the others follow."""
PAUSE_SECONDS = 0.05

ONCE = getattr(select, "EPOLLIN", 0) | getattr(select, "EPOLLONESHOT", 0)  # Until it is asked for again.

T = TypeVar("T")

log = logging.getLogger("channel_emu")


class Waker:
    """Ends a turn that sleeps; stands in the socket map beside the connections.

    Waitress's own trigger writes to the number of its pipe, which may be another file's once the pipe is closed.
    """

    accepting = False

    def __init__(self, socket_map: dict[int, Any]) -> None:
        self._reading, self._writing = socket.socketpair()
        self._reading.setblocking(False)
        self._writing.setblocking(False)
        socket_map[self._reading.fileno()] = self

    def wake(self) -> None:
        """Make it readable. From any thread."""
        # Full: it is readable already. Closed: nobody sleeps any more.
        with contextlib.suppress(OSError):
            self._writing.send(b"x")

    def readable(self) -> bool:
        """See waitress."""
        return True

    def writable(self) -> bool:
        """See waitress."""
        return False

    def handle_read_event(self) -> None:
        """See waitress."""
        with contextlib.suppress(OSError):
            self._reading.recv(4096)

    def handle_error(self) -> None:
        """See waitress."""

    handle_close = handle_error

    def close(self) -> None:
        """See waitress."""
        self._reading.close()
        self._writing.close()


class Loop:
    """Serves what is in waitress's `socket_map`, on a thread of its own."""

    def __init__(self, socket_map: dict[int, Any] | None = None) -> None:
        self.socket_map: dict[int, Any] = {} if socket_map is None else socket_map
        self.thread = threading.Thread(target=self._run, name="loop", daemon=True)
        self._often: Callable[[], None] = _nothing
        self._each_second: Callable[[], None] = _nothing
        self._waker = Waker(self.socket_map)
        self._stopping = False
        self._calls: deque[Any] = deque()
        self._answers: deque[Any] = deque()
        self._at_once = 0
        self._asleep = False

    def add(self, channel: Any) -> None:
        """A connection was accepted. Raises OSError where there is no room for it."""

    def update(self, channel: Any) -> None:
        """What `channel` waits for may have changed; called under the channel's `loop_lock`."""

    def remove(self, channel: Any) -> None:
        """`channel` is about to be closed; called under its `loop_lock`, while its descriptor is still its own."""

    def soon(self, task: Any) -> None:
        """Call `task.service()`, which never blocks, on the loop's own thread.

        `task.resumes` tells what was waited for from a new request.
        """
        on_loop = threading.get_ident() == self.thread.ident
        if on_loop and task.resumes and self._at_once:
            # A call under way has led to it: nobody is to wait for the caller's answer to be sent.
            self._at_once -= 1
            left, self._at_once = self._at_once, 0
            _serve(task)
            self._at_once = left
            return
        (self._answers if task.resumes else self._calls).append(task)
        if self._asleep and not on_loop:
            self.wake()

    def do_call(self, call: Callable[..., T], *given: Any) -> T:
        """What `call` gives, on the loop's own thread; pages that have a message by it are answered first."""
        self._at_once = ANSWERS_AT_ONCE
        try:
            return call(*given)
        finally:
            self._at_once = 0

    def let_wait(self, channel: Any) -> None:
        """What comes on `channel` may wait for `WORDS_SECONDS`; called on the loop's own thread, under `loop_lock`."""

    def pause(self, server: Any) -> None:
        """Take no connections of `server` for a moment, on the loop's own thread."""
        raise NotImplementedError

    def wake(self) -> None:
        """End the turn under way, from any thread, also when the loop has ended."""
        self._asleep = False
        self._waker.wake()

    def start(self, often: Callable[[], None], each_second: Callable[[], None]) -> None:
        """Serve, from now on, the servers that are in the map.

        `often` is called on the loop's thread several times a second, `each_second` about once.
        """
        self._often, self._each_second = often, each_second
        self.thread.start()

    def stop(self) -> None:
        """Have the thread end, soon; idempotent."""
        self._stopping = True
        self.wake()

    def close(self) -> None:
        """Close all that is in the map, once the thread has ended."""
        wasyncore.close_all(self.socket_map, ignore_all=True)

    def _begin(self) -> None:
        """Look at the servers that are in the map."""
        raise NotImplementedError

    def _serve_descriptors(self, seconds: float) -> None:
        """Wait for `seconds` at the most until something is ready, and serve that; `_asleep` while it waits."""
        raise NotImplementedError

    def _look_at_all(self) -> None:
        """Once in `LOOK_SECONDS`."""
        raise NotImplementedError

    def _run(self) -> None:
        self._begin()
        next_often = next_look = 0.0
        while not self._stopping:
            try:
                # In this order: a task that is added in between wakes a loop that is about to sleep.
                self._asleep = True
                self._serve_descriptors(0 if self._calls or self._answers else TURN_SECONDS)
                self._asleep = False
                if self._calls or self._answers:
                    self._serve_tasks()
                now = time.monotonic()
                if now >= next_often:
                    next_often = now + OFTEN_SECONDS
                    self._often()
                if now >= next_look:
                    next_look = now + LOOK_SECONDS
                    self._look_at_all()
                    self._each_second()
            except Exception:
                # Without this thread nobody would be served any more.
                log.exception("The server's loop goes on after an error.")
                time.sleep(PAUSE_SECONDS)

    def _serve_tasks(self) -> None:
        # A few at a time, so that thousands of answers do not keep a new request waiting, nor the other way round.
        for _ in range(min(len(self._calls), TASKS_A_TURN)):
            self._at_once = ANSWERS_AT_ONCE
            _serve(self._calls.popleft())
        self._at_once = 0
        for _ in range(min(len(self._answers), TASKS_A_TURN)):
            _serve(self._answers.popleft())


class EpollLoop(Loop):
    """One epoll object for the listening sockets, the triggers and every connection, and in it one for streams.

    Polls are served here, without a change of threads: a page's poll costs little more than its two system calls.
    """

    def __init__(self, socket_map: dict[int, Any] | None = None) -> None:
        super().__init__(socket_map)
        self._epoll, self._words = select.epoll(), select.epoll()
        self._epoll.register(self._words, ONCE)
        self._words_number = self._words.fileno()
        self._words_due: float | None = None
        """When streams are looked at again; None: once one of them has something."""
        self._servers: list[Any] = []

    def add(self, channel: Any) -> None:
        """See `Loop`."""
        channel.events = select.EPOLLIN
        channel.poller = self._epoll
        self._epoll.register(channel.fileno_or_none, channel.events)

    def let_wait(self, channel: Any) -> None:
        """See `Loop`."""
        self._forget(channel.poller, channel.fileno_or_none)
        channel.poller = self._words
        self._words.register(channel.fileno_or_none, channel.events)

    def update(self, channel: Any) -> None:
        """See `Loop`."""
        events = (select.EPOLLIN if channel.readable() else 0) | (select.EPOLLOUT if channel.writable() else 0)
        if events != channel.events:
            channel.events = events
            # It may have been closed by the other side at this very moment.
            with contextlib.suppress(OSError):
                channel.poller.modify(channel.fileno_or_none, events)

    def remove(self, channel: Any) -> None:
        """See `Loop`. Closing alone does not do it.

        A process that was forked and has not yet begun its program holds a copy of every descriptor. Until then an
        entry outlives `close()`, and its events come under a number that the next connection may have.
        """
        self._forget(channel.poller, channel.fileno_or_none)

    def pause(self, server: Any) -> None:
        """See `Loop`; the next look at all ends it."""
        self._epoll.modify(server._fileno, 0)

    def _begin(self) -> None:
        for descriptor, thing in self.socket_map.items():
            self._epoll.register(descriptor, select.EPOLLIN)
            if hasattr(thing, "active_channels"):
                self._servers.append(thing)
                # It would wake the loop after each answer, to ask what the connections say by themselves.
                thing.pull_trigger = _nothing

    def _serve_descriptors(self, seconds: float) -> None:
        due = self._words_due
        ready = self._epoll.poll(seconds if due is None else min(seconds, max(0.0, due - time.monotonic())))
        self._asleep = False
        self._serve_ready(self._epoll, ready)
        if due is not None and time.monotonic() >= due:
            self._words_due = None
            self._epoll.modify(self._words, ONCE)

    def _serve_ready(self, poller: select.epoll, ready: list[tuple[int, int]]) -> None:
        # All are looked up before any is served: what is accepted meanwhile may get the number of one that ends
        # meanwhile, and an event of that one is not for it.
        found: list[tuple[int, Any, int]] = [(number, self.socket_map.get(number), flags) for number, flags in ready]
        for descriptor, thing, flags in found:
            if descriptor == self._words_number:
                self._serve_words()
            elif thing is None:
                self._forget(poller, descriptor)
            elif self.socket_map.get(descriptor) is thing:
                wasyncore.readwrite(thing, flags)
                changed = getattr(thing, "changed", None)
                if changed is not None:
                    changed()

    def _serve_words(self) -> None:
        """Of streams."""
        ready = self._words.poll(0, WORDS_AT_ONCE)
        # First: whatever goes wrong, they are looked at again.
        self._words_due = time.monotonic() + (WORDS_SECONDS if len(ready) < WORDS_AT_ONCE else 0.0)
        others = []
        for descriptor, flags in ready:
            channel = self.socket_map.get(descriptor)
            if flags != select.EPOLLIN or channel is None or not channel.hear():
                others.append((descriptor, flags))
        self._serve_ready(self._words, others)

    def _forget(self, poller: select.epoll, descriptor: int | None) -> None:
        with contextlib.suppress(OSError, ValueError):
            poller.unregister(descriptor if descriptor is not None else -1)

    def _look_at_all(self) -> None:
        """What the stock loop does by asking at every turn: accept or not, and close idle connections."""
        for server in self._servers:
            listens = self.socket_map.get(server._fileno) is server
            if listens:
                self._epoll.modify(server._fileno, select.EPOLLIN if server.readable() else 0)


class StockLoop(Loop):
    """Waitress's own loop."""

    def pause(self, server: Any) -> None:
        """See `Loop`."""
        time.sleep(PAUSE_SECONDS)

    def _begin(self) -> None:
        for thing in list(self.socket_map.values()):
            if hasattr(thing, "active_channels"):
                thing.pull_trigger = self.wake

    def _serve_descriptors(self, seconds: float) -> None:
        wasyncore.poll2(seconds, self.socket_map)

    def _look_at_all(self) -> None:
        for channel in list(self.socket_map.values()):
            if hasattr(channel, "changed"):
                channel.changed()


def make_loop() -> Loop:
    """The best loop that this system has."""
    return EpollLoop() if hasattr(select, "epoll") else StockLoop()


def _serve(task: Any) -> None:
    try:
        task.service()
    except BaseException:
        log.exception("A request could not be served.")


def _nothing() -> None:
    """Instead of a server's `pull_trigger`, and where nothing is to be called."""
