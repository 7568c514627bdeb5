"""The one connection of a node to its Redis: replies and pushes in one order, on a thread of its own.

Ours, on hiredis's parser, and not redis-py's client: there a call holds a connection until its reply is there, so that
replies and pushes have two connections and no common order, and whoever calls waits. Here nobody waits: a call is put
into a queue, and what it found is handed on by this thread. A push that follows a claim arrives behind the claim's
reply, so that nothing falls between reading a log and listening to it.
"""

from __future__ import annotations

import contextlib
import logging
import random
import selectors
import socket
import ssl
import time
from collections import deque
from collections.abc import Callable
from threading import Lock, Thread
from typing import Any

import hiredis

from appengine_channel_emu.broker.errors import BrokerAway
from appengine_channel_emu.broker.redis.calls import ConnectionOwner, RedisCall, RedisRefused
from appengine_channel_emu.broker.redis.conversation import Conversation
from appengine_channel_emu.broker.redis.scripts import Argument, call_by_name, call_with_text
from appengine_channel_emu.broker.redis.target import CONNECT_SECONDS, RedisTarget

CALL_SECONDS = 3.0
"""How long a call waits for its answer where somebody waits for it: with an attempt to connect, which nothing
interrupts, an error comes within 5 s."""

SILENCE = 10.0
"""Seconds without a reply that is owed, after which a connection is believed dead."""

BULKY = ("channels", "claim", "client_ids", "record", "tail")
MOST_BULKY = 64
"""Scripts whose replies are long, up to a quarter of a MiB, and how many of them are owed at the most: Redis ends the
connection of a listener that has too much to read (client-output-buffer-limit pubsub, 32 MiB where it is not set). Each
time it has, half as many are asked for at once, until all that waits has come."""

AWAY = ("BUSY", "DEAD", "LOADING", "MASTERDOWN", "MISCONF", "NOREPLICAS", "READONLY")
"""Answers of a Redis that may say something else to the same call a little later, on another connection."""

SLOW = 1.0
"""Seconds without a reply that is owed, after which Redis counts as away."""

LONGEST_BACKOFF = 0.5
"""Seconds between two attempts to connect, at the most."""

log = logging.getLogger("channel_emu.redis")


class RedisConnection:
    """Connects, and connects again; `ask` may be called from any thread, and never waits."""

    def __init__(self, target: RedisTarget, owner: ConnectionOwner) -> None:
        self._target = target
        self._owner = owner
        self._lock = Lock()
        self._waiting: deque[RedisCall] = deque()
        self._sent: deque[RedisCall] = deque()
        self._timed: deque[RedisCall] = deque()
        self._out = bytearray()
        self._most_bulky = MOST_BULKY
        self._sock: socket.socket | None = None
        self._reader = hiredis.Reader()
        self._wake_reader, self._wake_writer = socket.socketpair()
        self._wake_reader.setblocking(False)
        self._wake_writer.setblocking(False)
        self._woken = False
        self._stopping = self._broken_off = False
        self._flush_until = 0.0
        self._problem: str | None = "not connected yet"
        self._thread = Thread(target=self._run, name="redis", daemon=True)

    def open(self) -> None:
        """Connect for the first time, on the caller's thread, and start. Raises `RedisRefused` or OSError."""
        try:
            self._connect()
        except (OSError, RedisRefused):
            self._close()
            raise
        self._thread.start()

    def ask(
        self,
        script: str,
        *arguments: Argument,
        then: Callable[[Any], None] = lambda value: None,
        failed: Callable[[Exception], None] = lambda error: None,
        seconds: float | None = None,
        again: Callable[[], bool] = lambda: True,
    ) -> RedisCall:
        """Run `script`; without `seconds` it waits for Redis for however long that is away.

        Calls with `seconds` fail in the order in which they were asked.
        """
        call = RedisCall(script, tuple(map(_encoded, arguments)), then, failed, seconds, again)
        with self._lock:
            self._waiting.append(call)
            if seconds is not None:
                self._timed.append(call)
        self.wake()
        return call

    def wake(self) -> None:
        """Let the thread look at what there is to do."""
        if not self._woken:
            self._woken = True
            with contextlib.suppress(OSError):
                self._wake_writer.send(b"\0")

    @property
    def busy(self) -> bool:
        """Whether something that was asked has not been answered."""
        return bool(self._waiting or self._sent)

    @property
    def problem(self) -> str | None:
        """Why Redis is away at this moment; None while it is there."""
        if self._problem is not None:
            return self._problem
        oldest = self._oldest()
        if oldest is not None and time.monotonic() - oldest > SLOW:
            return f"no answer for {time.monotonic() - oldest:.0f} s"
        return None

    def stop(self, seconds: float) -> None:
        """Send what waits and take the replies, for so long at the most, and end."""
        self._flush_until = time.monotonic() + seconds
        self._stopping = True
        self.wake()
        if self._thread.is_alive():
            self._thread.join(seconds + CONNECT_SECONDS)

    def break_off(self) -> None:
        """Close the connection, and make another."""
        self._broken_off = True
        self.wake()

    # On the thread

    def _oldest(self) -> float | None:
        try:
            return self._sent[0].began
        except IndexError:
            return None

    def _connect(self) -> None:
        sock = self._target.connect()
        self._sock = sock
        conversation = Conversation(sock, self._fail_overdue)
        self._owner.greet(conversation)
        sock.setblocking(False)
        self._reader = conversation.reader
        self._problem = None
        self._owner.connected()

    def _run(self) -> None:
        failures = 0
        while not self._is_over():
            try:
                if self._sock is None:
                    self._connect()
                failures = 0
                self._serve()
            except RedisRefused as error:
                self._lose(str(error))
            except OSError as error:
                self._lose(why_away(error))
            except Exception:
                # A defect of ours must not take the node from its pages for good.
                log.exception("The connection to Redis failed.")
                self._lose("an error of the emulator's own")
            else:
                continue
            failures += 1
            self._pause(min(LONGEST_BACKOFF, 0.05 * 2 ** min(failures, 10)) * random.uniform(0.5, 1.0))  # noqa: S311
        self._close()

    def _is_over(self) -> bool:
        return self._stopping and (not (self._sent or self._waiting) or time.monotonic() > self._flush_until)

    def _pause(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while not self._is_over() and (left := until - time.monotonic()) > 0:
            self._fail_overdue()
            time.sleep(min(left, 0.1))

    def _serve(self) -> None:
        sock = self._sock
        assert sock is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self._wake_reader, selectors.EVENT_READ)
            selector.register(sock, selectors.EVENT_READ)
            writing = False
            while not self._is_over():
                if self._broken_off:
                    self._broken_off = False
                    raise ConnectionError("this node begins anew")
                pause = self._owner.chores()
                self._send(sock)
                if writing is not bool(self._out):
                    writing = bool(self._out)
                    selector.modify(sock, selectors.EVENT_READ | (selectors.EVENT_WRITE if writing else 0))
                for key, events in selector.select(min(pause, self._fail_overdue())):
                    if key.fileobj is self._wake_reader:
                        self._sleep_again()
                    elif events & selectors.EVENT_READ:
                        self._read(sock)

    def _sleep_again(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self._wake_reader.recv(4096):
                pass
        self._woken = False

    def _send(self, sock: socket.socket) -> None:
        with self._lock:
            calls, self._waiting = self._waiting, deque()
        prefix, kept = self._owner.prefix, deque[RedisCall]()
        bulky = sum(call.script in BULKY for call in self._sent)
        for call in calls:
            if call.over:
                continue
            if call.script in BULKY:
                if bulky >= self._most_bulky:
                    kept.append(call)
                    continue
                bulky += 1
            write = call_with_text if call.with_text else call_by_name
            self._out += write(call.script, *prefix, *call.arguments)
            call.began = time.monotonic()
            self._sent.append(call)
        if not bulky:
            self._most_bulky = MOST_BULKY
        if kept:
            with self._lock:
                kept.extend(self._waiting)
                self._waiting = kept
        while self._out:
            try:
                count = sock.send(self._out)
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return
            del self._out[:count]

    def _read(self, sock: socket.socket) -> None:
        while True:
            try:
                data = sock.recv(262_144)
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return
            if not data:
                raise ConnectionError("it closed the connection")
            self._reader.feed(data)
            while (reply := self._reader.gets()) is not False:
                if isinstance(reply, hiredis.PushNotification):
                    if reply[0] == b"message":
                        self._owner.pushed(reply[2])
                else:
                    self._take(reply)
            if not isinstance(sock, ssl.SSLSocket) and len(data) < 262_144:
                return

    def _take(self, reply: Any) -> None:
        call = self._sent[0]
        text = str(reply) if isinstance(reply, Exception) else ""
        if text.startswith(AWAY):
            raise ConnectionError(text)
        try:
            if not text:
                call.then(reply)
                call.over = True
            elif text.startswith("NOSCRIPT"):
                self._ask_with_text(call)
            elif not call.over:
                call.over = True
                if not text.startswith("LATE"):
                    log.error("Redis refused %s: %s", call.script, text)
                call.failed(BrokerAway(f"Redis refused it: {text}"))
        finally:
            # Last: until all is done that it leads to, the connection is busy.
            self._sent.popleft()

    def _ask_with_text(self, call: RedisCall) -> None:
        call.with_text = True
        if call.again():
            with self._lock:
                self._waiting.append(call)

    def _fail_overdue(self) -> float:
        """Tell those who have waited too long; seconds until there may be more of them."""
        now, soonest = time.monotonic(), 1.0
        while self._timed:
            call = self._timed[0]
            assert call.deadline is not None
            if not call.over and call.deadline > now:
                soonest = call.deadline - now
                break
            self._timed.popleft()
            if not call.over:
                call.over = True
                call.failed(BrokerAway(f"The emulator's Redis is away: {self.problem or 'no answer'}."))
        oldest = self._oldest()
        if self._problem is None and oldest is not None and now - oldest > SILENCE:
            raise TimeoutError(f"no answer for {SILENCE:.0f} s")
        return min(soonest, 1.0)

    def _lose(self, why: str) -> None:
        self._drop()
        if any(call.script in BULKY for call in self._sent):
            self._most_bulky = max(1, self._most_bulky // 2)
        first, self._problem = self._problem is None, why
        with self._lock:
            again = deque(call for call in self._sent if not call.over)
            again.extend(call for call in self._waiting if not call.over)
            self._sent, self._waiting = deque(), again
        self._out.clear()
        if first:
            self._owner.lost(why)

    def _close(self) -> None:
        self._drop()
        self._wake_reader.close()
        self._wake_writer.close()

    def _drop(self) -> None:
        sock, self._sock = self._sock, None
        if sock is not None:
            sock.close()


def _encoded(argument: Argument) -> Argument:
    # A lone surrogate of a foreign name has no bytes; it is to name nothing, and to break nothing.
    return argument.encode("utf-8", "backslashreplace") if isinstance(argument, str) else argument


def why_away(error: OSError) -> str:
    """What kept us from Redis, in words."""
    if isinstance(error, TimeoutError):
        return str(error) if str(error) != "timed out" else "no answer"
    return error.strerror or str(error) or type(error).__name__
