"""How long clients may take to send a request and to read its answer, and how much of both is held for them.

Only connections with an unfinished request or unread bytes are looked at, once a second: an idle one costs nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from waitress.utilities import Error

LINGER_SECONDS = 10.0
"""How long a client that has been refused may go on sending."""

Note = Callable[[str, str], None]
"""Records an event: its kind and its text."""


class TooSlow(Error):  # type: ignore[misc]
    """The answer to headers that took too long."""

    code = 408
    reason = "Request Timeout"


class NotTaken(Error):  # type: ignore[misc]
    """The answer to a body that took too long, and to what there is no room for."""

    code = 503
    reason = "Service Unavailable"


@dataclass(frozen=True, slots=True)
class ClientLimits:
    """Seconds for headers, for a body, and without reading; bytes for all connections together."""

    header_timeout: float
    body_timeout: float
    answer_timeout: float
    buffered: int


class _Watched:
    """A connection and what it was seen to do: `since` is when its present phase was first seen."""

    __slots__ = ("answer", "answer_since", "channel", "phase", "since")

    def __init__(self, channel: Any, now: float) -> None:
        self.channel = channel
        self.since = self.answer_since = now
        self.phase: object = None
        self.answer: object = None

    def see(self, now: float) -> None:
        """Note whether anything went forward."""
        channel = self.channel
        request = channel.request
        phase: object = None if request is None else (request, request.headers_finished)
        phase = phase or channel.lingering
        # What is not read from the client is not its fault.
        if phase != self.phase or not channel.readable():
            self.phase, self.since = phase, now
        # What is added to its answer meanwhile is no step forward.
        answer = channel.last_activity
        if answer != self.answer or not channel.total_outbufs_len:
            self.answer, self.answer_since = answer, now

    @property
    def held(self) -> int:
        """Bytes that are held for it."""
        channel = self.channel
        requests = [*channel.requests, channel.request]
        held: int = channel.total_outbufs_len
        for request in requests:
            if request is not None:
                held += request.header_bytes_received + request.body_bytes_received
        return held

    @property
    def done(self) -> bool:
        """Whether there is nothing to wait for."""
        channel = self.channel
        return not channel.connected or not bool(
            channel.spare
            or channel.lingering
            or channel.request is not None
            or channel.total_outbufs_len
            or channel.requests
        )


class SlowClients:
    """Watches clients that are not done. `watch` may be called from any thread, `look` from the loop's alone."""

    def __init__(self, limits: ClientLimits, note: Note) -> None:
        self._limits = limits
        self._note = note
        self._watched: dict[Any, _Watched] = {}

    def watch(self, channel: Any) -> None:
        """`channel` has an unfinished request, or bytes that its client has not taken."""
        if channel not in self._watched:
            watched = _Watched(channel, time.monotonic())
            watched.see(watched.since)
            self._watched[channel] = watched

    def look(self) -> None:
        """Let go of those that have finished, and end what takes too long or too much."""
        now = time.monotonic()
        for channel, watched in list(self._watched.items()):
            watched.see(now)
            if watched.done:
                del self._watched[channel]
            else:
                self._judge(watched, now)
        self._make_room()

    def _judge(self, watched: _Watched, now: float) -> None:
        limits, channel = self._limits, watched.channel
        if channel.lingering:
            if now - watched.since > LINGER_SECONDS:
                channel.handle_close()
        elif channel.total_outbufs_len:
            if now - watched.answer_since > limits.answer_timeout:
                self._cut(channel, f"A client read nothing of its answer for {limits.answer_timeout:g} s")
        elif channel.request is None:
            if channel.spare and not channel.requests and now - watched.since > limits.header_timeout:
                channel.handle_close()
        elif channel.request.headers_finished:
            if now - watched.since > limits.body_timeout:
                text = f"The body of a request may take {limits.body_timeout:g} s (--body-timeout)."
                self._refuse(channel, NotTaken(text))
        elif now - watched.since > limits.header_timeout:
            text = f"The headers of a request may take {limits.header_timeout:g} s (--header-timeout)."
            self._refuse(channel, TooSlow(text))

    def _make_room(self) -> None:
        total = sum(watched.held for watched in self._watched.values())
        if total <= self._limits.buffered:
            return
        # A request that is whole is the app's to answer: only those that send or read are in the way.
        slow = [each for each in self._watched.values() if each.channel.request or each.channel.total_outbufs_len]
        for watched in sorted(slow, key=lambda each: each.held, reverse=True):
            if total <= self._limits.buffered:
                return
            total -= watched.held
            if watched.channel.total_outbufs_len:
                self._cut(watched.channel, "More bytes were held for slow clients than --max-buffered allows")
            else:
                text = "More bytes are held for slow clients than --max-buffered allows; try again later."
                self._refuse(watched.channel, NotTaken(text))

    def _refuse(self, channel: Any, error: Error) -> None:
        self._note("client_too_slow", str(error.body))
        if not channel.refuse(error):
            # Behind another request of the same connection: its answer would come out of order.
            channel.handle_close()

    def _cut(self, channel: Any, text: str) -> None:
        self._note("client_too_slow", f"{text}; its connection was closed.")
        # At once: what is closed only when it can be written to is never closed for one that does not read.
        channel.handle_close()
