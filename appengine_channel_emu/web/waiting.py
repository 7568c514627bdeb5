"""An answer that is not there yet: a WSGI body that blocks on any server, and that a server of ours can park.

The contract. The application returns a `Waiting` without having called `start_response`. Iterated by any WSGI
server, it blocks its thread until it is ready or its deadline has come, then calls `start_response` and yields its
body. A server that knows better asks `ready`, gives its callback to `when_ready`, lets go of the thread, and
iterates once the callback came; `expire` makes it ready before its time. Before that it may call `send_head`: where
that says so, `start_response` has been called, the head may go out, and the body is all that comes. Once it is ready it
asks what is `following`: that may have to be waited for in its turn, until a deadline of its own. `close` must come in
the end, also when the client vanished before it was iterated. In a test with `wait=0` it is ready from the start.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from threading import Event
from typing import TYPE_CHECKING

from appengine_channel_emu.broker.turn import Signal
from appengine_channel_emu.web.upgrade import Upgrade
from appengine_channel_emu.web.wsgi import Answer

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse


NO_HEADERS: list[tuple[str, str]] = []


class Waiting:
    """A body of one chunk that `answer` makes once `signal` is set or `seconds` have passed, which sets it.

    `answer` is called once, on the thread that iterates. `release` is called once, when the request has ended in
    whatever way. `early_head` are the headers of an answer that will be 200 whatever comes, so that they may be sent
    at once: `head_sent` tells `answer` that they were.
    """

    __slots__ = (
        "_answer",
        "_change",
        "_closed",
        "_early_head",
        "_ready",
        "_release",
        "_start_response",
        "deadline",
        "extra_headers",
        "head_sent",
    )

    ends_with_client = False
    """Whether a client that has ended its sending side is one that has gone. Others may still wait for the answer."""

    def __init__(
        self,
        signal: Signal,
        seconds: float,
        answer: Callable[[], Answer] | None = None,
        release: Callable[[], None] | None = None,
        early_head: list[tuple[str, str]] | None = None,
    ) -> None:
        self._ready = signal
        self._answer = answer
        self._release = release
        self._change: Callable[[Answer], Answer] | None = None
        self._closed = False
        self._start_response: StartResponse | None = None
        self.extra_headers = NO_HEADERS
        """What goes with its answer, which may have others of these names: named in lower case, or none that it has."""
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
        self._change = change
        self._early_head = None

    def following(self) -> Waiting:
        """Itself; or what it has become, once it is ready, which has an end of its own."""
        return self

    def made(self) -> Answer:
        """Its answer as things stand at this moment; called once, and before `close`."""
        if self._closed:
            raise RuntimeError("this request has ended")
        answer = self._make()
        return answer if self._change is None else self._change(answer)

    def at_once(self) -> Answer:
        """Its answer as things stand, which ends it: instead of iterating it."""
        self.expire()
        try:
            return self.made()
        finally:
            self.close()

    def begin(self, start_response: StartResponse) -> None:
        """Tell it where its answer goes."""
        self._start_response = start_response

    def early_headers(self) -> list[tuple[str, str]] | None:
        """Those of its answer, which is 200 and counts as begun from here on; None where that is to wait."""
        if self._early_head is not None:
            self.head_sent = True
        return self._early_head

    def send_head(self) -> bool:
        """Start the response, if its client asked for the head as soon as possible; whether that was done."""
        if self._start_response is not None and (headers := self.early_headers()) is not None:
            self._start_response("200 OK", self._with_extra(headers))
        return self.head_sent

    def __iter__(self) -> Iterator[bytes]:
        if not self.ready:
            self.wait(max(0.0, self.deadline - time.monotonic()))
        following = self.following()
        if following is not self:
            assert self._start_response is not None
            following.begin(self._start_response)
            with contextlib.closing(following):
                yield from following
            return
        answer = self.made()
        if not self.head_sent:
            assert self._start_response is not None
            length = ("content-length", str(len(answer.body)))
            self._start_response(answer.status, [*self._with_extra(answer.headers), length])
        yield answer.body

    def close(self) -> None:
        """The request has ended."""
        if not self._closed:
            self._closed = True
            self._end()
        # What it was made of refers back to it: without this each poll would be left to the garbage collector.
        self._answer = self._release = self._change = self._start_response = None

    def _make(self) -> Answer:
        assert self._answer is not None
        return self._answer()

    def _end(self) -> None:
        if self._release is not None:
            self._release()

    def _with_extra(self, headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
        merged = dict(self.extra_headers)
        merged.update([(name.lower(), value) for name, value in headers])
        return list(merged.items())


OwnAnswer = Answer | Waiting | Upgrade
"""What we answer ourselves."""
