"""Presence posts: each on its way to the app, with its outcome back to the broker (behaviour.md 4)."""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Literal, Protocol
from urllib.parse import quote_plus

from appengine_channel_emu.broker.contract import Broker
from appengine_channel_emu.faults import Target
from appengine_channel_emu.host.errors import RequestFailed

Encoding = Literal["urlencoded", "multipart"]
"""How the body of a post is encoded (facts.md 5.1 and 5.3)."""

POST_SECONDS = 30.0
"""How long a presence handler may take: it is an app's request like any other (behaviour.md 6)."""

PARALLEL_POSTS = 32
"""Client ids whose posts are made at once, so that a slow handler delays few others."""

log = logging.getLogger("channel_emu.presence")


class PostsToApp(Protocol):
    """The part of a backend that presence needs."""

    def post(self, path: str, body: bytes, content_type: str, timeout: float) -> int:
        """POST to the app; its status. Raises a `RequestFailed`."""


class PresencePosts:
    """Given to a broker as its `post_presence`.

    `run` decides on which thread a post is made, `pause` how a delay on request lasts its seconds.
    """

    def __init__(
        self,
        backend: PostsToApp,
        encoding: Encoding = "urlencoded",
        run: Callable[[Callable[[], None]], object] | None = None,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._backend = backend
        self._pause = pause
        self._encoding = encoding
        self._run = run or PostThreads(PARALLEL_POSTS).submit
        self.broker: Broker | None = None

    def __call__(self, client_id: str, connected: bool) -> None:
        """Start the post; `Broker.presence_done` is called when it has ended."""
        self._run(lambda: self._post(client_id, connected))

    def _post(self, client_id: str, connected: bool) -> None:
        assert self.broker is not None
        fault = self.broker.faults.pick("presence", Target((client_id,)))
        if fault is not None and fault.seconds is not None:
            self._pause(fault.seconds)
        action = fault.action if fault is not None else ""
        began = time.monotonic()
        if fault is not None and fault.error is not None:
            status, why = int(fault.error), ""
        elif action == "drop":
            status, why = None, "A fault on request: the app was not told."
        else:
            status, why = self._tell(client_id, connected, times=2 if action == "duplicate" else 1)
        if action == "cut":
            status, why = None, "A fault on request: the app's answer was lost."
        self.broker.presence_done(client_id, connected, status, why, time.monotonic() - began)

    def _tell(self, client_id: str, connected: bool, times: int) -> tuple[int | None, str]:
        """The app's status, or None and why there is none; where its handler raised, the text says that, too."""
        path = f"/_ah/channel/{'connected' if connected else 'disconnected'}/"
        body, content_type = encode_presence(client_id, self._encoding)
        status = None
        try:
            for _ in range(times):
                status = self._backend.post(path, body, content_type, POST_SECONDS)
        except RequestFailed as failed:
            return 500 if failed.by_app else None, str(failed)
        return status, ""


class PostThreads:
    """Threads for posts: a few while the app is quick, up to `most` while it is slow. What comes first is done first.

    Work that has taken less than `patience_seconds` is quick, so far. No more than `few` pieces of quick work are done
    at a time: threads that all have something to do hinder each other in Python. Work that is not quick waits for the
    app, and hinders nobody. `now` gives the time in seconds.
    """

    def __init__(
        self, most: int, few: int = 4, patience_seconds: float = 0.002, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._most = most
        self._few = few
        self._patience = patience_seconds
        self._now = now
        self._changed = threading.Condition(threading.Lock())
        self._waiting: deque[Callable[[], None]] = deque()
        self._began: dict[int, float] = {}
        """When each thread that has work began with it; the first is the oldest."""
        self._threads = 0
        self._watched = False
        """Whether a thread without work waits for those that have some to be no longer quick."""

    def submit(self, work: Callable[[], None]) -> None:
        """Have `work` done, which takes its time on a thread of ours; returns at once."""
        with self._changed:
            self._waiting.append(work)
            if not self._watched:
                self._call_another()

    def _call_another(self) -> None:
        """Let a thread look for work that has none, if there is such a thread or may be."""
        if self._threads > len(self._began):
            self._changed.notify()
        elif self._threads < self._most:
            self._threads += 1
            threading.Thread(target=self._run, name="presence", daemon=True).start()

    def _run(self) -> None:
        me = threading.get_ident()
        while True:
            work = self._take(me)
            try:
                work()
            except Exception:
                log.exception("A presence post failed")

    def _take(self, me: int) -> Callable[[], None]:
        """The next piece of work for the thread `me`, which has done its last one."""
        with self._changed:
            self._began.pop(me, None)
            while True:
                if not self._waiting:
                    self._changed.wait()
                elif self._quick() < self._few:
                    break
                elif self._watched:
                    self._changed.wait()
                else:
                    self._watched = True
                    self._changed.wait(self._patience)
                    self._watched = False
            self._began[me] = self._now()
            work = self._waiting.popleft()
            if self._waiting and not self._watched:
                self._call_another()
            return work

    def _quick(self) -> int:
        if len(self._began) < self._few:
            return len(self._began)
        since = self._now() - self._patience
        return sum(began > since for began in self._began.values())


def encode_presence(client_id: str, encoding: Encoding) -> tuple[bytes, str]:
    """The body that says `from=<client id>`, and its content type.

    Percent-encoded, unlike the dev server's, so that the client id arrives as the app gave it. Java's parser reads
    `multipart` alone.
    """
    if encoding == "urlencoded":
        return b"from=" + quote_plus(client_id, safe="").encode("ascii"), "application/x-www-form-urlencoded"
    # Random, so that no client id can hold it.
    boundary = f"channel-emu-{secrets.token_hex(16)}"
    body = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="from"\r\n'
        f"Content-Type: text/plain; charset=UTF-8\r\n\r\n{client_id}\r\n--{boundary}--\r\n"
    )
    return body.encode("utf-8"), f"multipart/form-data; boundary={boundary}"
