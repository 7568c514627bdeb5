"""Presence posts: each on its way to the app, with its outcome back to the broker (behaviour.md 4)."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Protocol

from appengine_channel_emu.broker.contract import Broker
from appengine_channel_emu.broker.events import Event
from appengine_channel_emu.faults import Fault, Target
from appengine_channel_emu.host.backend import BackendUnavailable, HandlerRaised
from appengine_channel_emu.host.presence import Encoding, encode_presence
from appengine_channel_emu.web.post_threads import PostThreads

POST_SECONDS = 30.0
"""How long a presence handler may take: it is an app's request like any other (behaviour.md 6)."""

PARALLEL_POSTS = 32
"""Client ids that are told about at once, so that a slow handler delays few others."""


log = logging.getLogger("channel_emu.presence")


class PresenceHint:
    """A listener to a broker's events that logs `text` when the first socket is opened, and never again."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._lock = threading.Lock()

    def __call__(self, event: Event) -> None:
        """See `EventLog.listen`."""
        if event.kind == "socket_opened" and self._lock.acquire(blocking=False):
            log.warning("%s", self._text)


class PostsToApp(Protocol):
    """The part of a backend that presence needs."""

    def post(self, path: str, body: bytes, content_type: str, timeout: float) -> int:
        """POST to the app; its status. Raises `BackendUnavailable`."""


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
        path = f"/_ah/channel/{'connected' if connected else 'disconnected'}/"
        body, content_type = encode_presence(client_id, self._encoding)
        status, trouble = None, ""
        fault = self.broker.faults.pick("presence", Target((client_id,)))
        if fault is not None and fault.seconds is not None:
            self._pause(fault.seconds)
        if fault is not None and fault.action in ("error", "drop"):
            status, trouble = _not_told(fault)
        else:
            try:
                for _ in range(2 if fault is not None and fault.action == "duplicate" else 1):
                    status = self._backend.post(path, body, content_type, POST_SECONDS)
            except BackendUnavailable as error:
                status, trouble = 500 if isinstance(error, HandlerRaised) else None, str(error)
        if fault is not None and fault.action == "cut":
            status, trouble = None, "A fault on request: the app's answer was lost."
        self.broker.presence_done(client_id, connected, status, trouble)


def _not_told(fault: Fault) -> tuple[int | None, str]:
    """The outcome of a post that was not made."""
    if fault.error is not None:
        return int(fault.error), ""
    return None, "A fault on request: the app was not told."
