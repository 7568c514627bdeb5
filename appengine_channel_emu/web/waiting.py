"""An answer that is not there yet: a WSGI body that blocks on any server, and that a server of ours can park.

The contract. The application returns a `Waiting` without having called `start_response`. Iterated by any WSGI
server, it blocks its thread until it is ready or its deadline has come, then calls `start_response` and yields its
body. A server that knows better asks `ready`, gives its callback to `when_ready`, lets go of the thread, and
iterates once the callback came; `expire` makes it ready before its time. `close` must come in the end, also when
the client vanished before it was iterated. In a test with `wait=0` it is ready from the start.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from threading import Event
from typing import TYPE_CHECKING, NamedTuple

from appengine_channel_emu.broker.signal import Signal

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse


class Answer(NamedTuple):
    """A whole HTTP answer; `status` with its reason phrase, as clients compare it."""

    status: str
    headers: list[tuple[str, str]]
    body: bytes = b""


class ConnectionCut(BaseException):
    """Not an error: the connection is to be broken, without an answer, as a bad network would do it.

    A BaseException, so that no layer answers it; a server that does not know it has a failed request.
    """


def _ended() -> Answer:
    raise RuntimeError("this request has ended")


def send(answer: Answer, start_response: StartResponse) -> list[bytes]:
    """Give a whole answer to a WSGI server."""
    start_response(answer.status, [*answer.headers, ("Content-Length", str(len(answer.body)))])
    return [answer.body]


class Waiting:
    """A body of one chunk that `answer` makes once `signal` is set or `seconds` have passed, which sets it.

    `answer` is called once, on the thread that iterates. `release` is called once, when the request has ended in
    whatever way.
    """

    def __init__(
        self,
        signal: Signal,
        seconds: float,
        answer: Callable[[], Answer],
        release: Callable[[], None] = lambda: None,
    ) -> None:
        self._ready = signal
        self._answer = answer
        self._release: Callable[[], None] | None = release
        self._start_response: StartResponse | None = None
        self._extra_headers: list[tuple[str, str]] = []
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

    def begin(self, start_response: StartResponse, headers: list[tuple[str, str]]) -> None:
        """Tell it where its answer goes, and which headers, named in lower case, go with every answer."""
        self._start_response = start_response
        self._extra_headers = headers

    def __len__(self) -> int:
        return 1

    def __iter__(self) -> Iterator[bytes]:
        if not self.ready:
            self.wait(max(0.0, self.deadline - time.monotonic()))
        answer = self._answer()
        assert self._start_response is not None
        headers = dict(self._extra_headers)
        headers.update([(name.lower(), value) for name, value in answer.headers])
        headers["content-length"] = str(len(answer.body))
        self._start_response(answer.status, list(headers.items()))
        yield answer.body

    def close(self) -> None:
        """The request has ended."""
        release, self._release = self._release, None
        if release is not None:
            release()
        # What it was made of refers back to it: without this each poll would be left to the garbage collector.
        self._answer, self._start_response = _ended, None
