"""The emulator around a WSGI app, in one process and without a network, with a clock that a test moves."""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import ExitStack
from typing import TYPE_CHECKING, Literal

from appengine_channel_emu.broker.broker import EmbeddedBroker
from appengine_channel_emu.broker.clock import Clock, ManualClock
from appengine_channel_emu.broker.contract import Broker, BrokerOptions
from appengine_channel_emu.host.backend import Serves
from appengine_channel_emu.host.runner.loading import is_async
from appengine_channel_emu.testing.app import AppInProcess, CalledApp, PresenceErrors, Routed
from appengine_channel_emu.testing.control import EmulatorUnderTest
from appengine_channel_emu.testing.deadline import DeadlineMiddleware, sleep_moves_the_clock
from appengine_channel_emu.testing.server_api import left, made, using
from appengine_channel_emu.testing.testbed import ChannelStub
from appengine_channel_emu.testing.transports import InProcess
from appengine_channel_emu.web.channel.presence import Encoding, PresencePosts
from appengine_channel_emu.web.front import Front, NoApp
from appengine_channel_emu.web.guard import WebOptions

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


class Emulator(EmulatorUnderTest):
    """A WSGI app that is the emulator with `app` behind it: give it to `webtest.TestApp`.

    Durations are in seconds of `clock`, which stands still until `advance`. Presence reaches the app as real
    requests, on the thread that caused them; `presence=False` turns it off. A handler's `time.sleep` moves a manual
    clock, and `request_deadline` (None: none) cuts it; one that is busy and moves no clock is cut after
    `busy_deadline` seconds of real time (None: never).

    During its requests `app`'s `google.appengine.api.channel` asks this emulator. From its making on, so does what
    calls that module elsewhere, until another emulator is made or this one is left as a context manager. In a `with`
    block and during its requests that module can be imported, and `time.sleep` is ours; afterwards all is as it was. At
    its end a `with` block closes the pages that are still open and lets the app hear of it, and raises
    `PresenceHandlerError` if the app's presence handlers have raised. Raises TypeError for an ASGI application.
    """

    def __init__(
        self,
        app: WSGIApplication | None = None,
        *,
        clock: Clock | None = None,
        tabs: Literal["fanout", "split", "single"] = "fanout",
        resume_window: float = 60.0,
        disconnect_after: float = 2.0,
        presence: bool = True,
        presence_encoding: Encoding = "urlencoded",
        request_deadline: float | None = 30.0,
        busy_deadline: float | None = 30.0,
        options: WebOptions | None = None,
    ) -> None:
        if app is not None and is_async(app):
            raise TypeError(
                "the app is an ASGI application, and this serves WSGI: a2wsgi.ASGIMiddleware(app) makes it so"
            )
        super().__init__()
        self.clock: Clock = clock or ManualClock()
        self._in_process = InProcess(self)
        self._entered = ExitStack()
        serves: Serves = NoApp() if app is None else CalledApp(Routed(app, self._in_process))
        if app is not None and request_deadline is not None and isinstance(self.clock, ManualClock):
            serves = DeadlineMiddleware(serves, self.clock, request_deadline, busy_deadline)
        # A delay on request is one of the clock that the test moves, and takes no time itself.
        pause = self.clock.advance if isinstance(self.clock, ManualClock) else time.sleep
        backend = AppInProcess(serves)
        self.presence_errors: PresenceErrors = backend.errors
        """What the app's presence handlers have raised, oldest first; clear it where that is meant to be."""
        posts = PresencePosts(backend, presence_encoding, lambda post: post(), pause) if app else None
        self._broker = EmbeddedBroker(
            self.clock,
            BrokerOptions(tabs=tabs, resume_window=resume_window, disconnect_after=disconnect_after),
            posts if presence else None,
        )
        if posts is not None:
            posts.broker = self.broker
        made(self._in_process)
        self._front = Front(self.broker, backend, options or WebOptions(), pause=pause)

    @property
    def broker(self) -> Broker:
        """See `EmulatorUnderTest`."""
        return self._broker

    @property
    def _transport(self) -> InProcess:
        return self._in_process

    def __enter__(self) -> Emulator:
        self._entered.enter_context(using(self._in_process))
        self._entered.enter_context(sleep_moves_the_clock())
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Close what is open, and let the app hear of it.

        Raises `PresenceHandlerError`, unless the block ends with an exception of its own.
        """
        try:
            self.close_pages()
        finally:
            self._entered.close()
            left(self._in_process)
        if not any(exc_info):
            self.presence_errors.raise_first()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request, as a running emulator would."""
        return self._front(environ, start_response)

    def channel_stub(self) -> ChannelStub:
        """The methods of the SDK's testbed stub, on this emulator."""
        return ChannelStub(self)

    def advance(self, seconds: float) -> None:
        """See `EmulatorUnderTest`."""
        self.clock.advance(seconds)
