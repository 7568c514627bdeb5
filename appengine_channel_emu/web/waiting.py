"""An answer that is not there yet: a WSGI body that blocks on any server, and that a server of ours can park.

The contract. The application returns a `Waiting` without having called `start_response`. Iterated by any WSGI
server, it blocks its thread until it is ready or its deadline has come, then calls `start_response` and yields its
body. A server that knows better asks `ready`, gives its callback to `when_ready`, lets go of the thread, and
iterates once the callback came; `expire` makes it ready before its time. Before that it may call `send_head`: where
that says so, `start_response` has been called, the head may go out, and the body is all that comes. `close` must come
in the end, also when the client vanished before it was iterated. In a test with `wait=0` it is ready from the start.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from threading import Event
from typing import TYPE_CHECKING

from appengine_channel_emu.broker.turn import Signal
from appengine_channel_emu.web.upgrade import Upgrade
from appengine_channel_emu.web.wsgi import Answer

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse


def _ended() -> Answer:
    raise RuntimeError("this request has ended")


class Waiting:
    """A body of one chunk that `answer` makes once `signal` is set or `seconds` have passed, which sets it.

    `answer` is called once, on the thread that iterates. `release` is called once, when the request has ended in
    whatever way. `early_head` are the headers of an answer that will be 200 whatever comes, so that they may be sent
    at once: `head_sent` tells `answer` that they were.
    """

    ends_with_client = False
    """Whether a client that has ended its sending side is one that has gone. Others may still wait for the answer."""

    def __init__(
        self,
        signal: Signal,
        seconds: float,
        answer: Callable[[], Answer],
        release: Callable[[], None] = lambda: None,
        early_head: list[tuple[str, str]] | None = None,
    ) -> None:
        self._ready = signal
        self._answer = answer
        self._release: Callable[[], None] | None = release
        self._start_response: StartResponse | None = None
        self._extra_headers: list[tuple[str, str]] = []
        self._early_head = early_head
        self.head_sent = False
        """Whether the client knows the status already."""
        self.deadline = time.monotonic() + seconds
        """When it must be expired, in seconds of `time.monotonic()`."""
        if seconds <= 0:
            signal.set()

    @property
    def ready(self) -> bool:
        """Whether iterating it would not block."""
        return self._ready.is_set

    def when_ready(self, callback: Callable[[], None]) -> None:
        """Call `callback` once it is ready, from any thread; at once if it is."""
        self._ready.when_set(callback)

    def expire(self) -> None:
        """Its time is up: it is ready as it is."""
        self._ready.set()

    def wait(self, seconds: float) -> bool:
        """Block until it is ready, for `seconds` at most; whether it is."""
        arrived = Event()
        self.when_ready(arrived.set)
        return arrived.wait(seconds)

    def change(self, change: Callable[[Answer], Answer]) -> None:
        """Let its answer go through `change` when it is made."""
        make = self._answer
        self._answer = lambda: change(make())
        self._early_head = None

    def at_once(self) -> Answer:
        """Its answer as things stand, which ends it: instead of iterating it."""
        self.expire()
        try:
            return self._answer()
        finally:
            self.close()

    def add_headers(self, headers: list[tuple[str, str]]) -> None:
        """Let `headers`, named in lower case, go with its answer, which may have others of these names."""
        self._extra_headers = headers

    def begin(self, start_response: StartResponse) -> None:
        """Tell it where its answer goes."""
        self._start_response = start_response

    def send_head(self) -> bool:
        """Start the response, if its client asked for the head as soon as possible; whether that was done."""
        if self._early_head is not None and self._start_response is not None:
            self._start_response("200 OK", self._with_extra(self._early_head))
            self.head_sent = True
        return self.head_sent

    def __iter__(self) -> Iterator[bytes]:
        if not self.ready:
            self.wait(max(0.0, self.deadline - time.monotonic()))
        answer = self._answer()
        if not self.head_sent:
            assert self._start_response is not None
            length = ("content-length", str(len(answer.body)))
            self._start_response(answer.status, [*self._with_extra(answer.headers), length])
        yield answer.body

    def _with_extra(self, headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
        merged = dict(self._extra_headers)
        merged.update([(name.lower(), value) for name, value in headers])
        return list(merged.items())

    def close(self) -> None:
        """The request has ended."""
        release, self._release = self._release, None
        if release is not None:
            release()
        # What it was made of refers back to it: without this each poll would be left to the garbage collector.
        self._answer, self._start_response = _ended, None


OwnAnswer = Answer | Waiting | Upgrade
"""What we answer ourselves."""
