"""The emulator as a real server in a test's process, for browsers and for clients in other languages."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from appengine_channel_emu.broker.contract import Broker
from appengine_channel_emu.server.service import Service
from appengine_channel_emu.settings import Settings
from appengine_channel_emu.testing.app import AppInProcess, CalledApp, PresenceErrors, Routed
from appengine_channel_emu.testing.control import EmulatorUnderTest
from appengine_channel_emu.testing.server_api import using
from appengine_channel_emu.testing.transports import InProcess

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


GOODBYE_SECONDS = 5.0
"""How long the app's presence handlers may take at the end of a test."""


class ChannelServer(EmulatorUnderTest):
    """A server with `app` behind it; a context manager that starts and stops it.

    It listens on a free port of this machine, at `url`. `settings` are those of `channel-emu serve`, by attribute
    name. The app runs on threads of this process, where no deadline can be enforced; its clock is the machine's
    time until `advance`. During its requests the app's `google.appengine.api.channel` asks this server.
    """

    def __init__(self, app: WSGIApplication | None = None, **settings: Any) -> None:
        super().__init__()
        self._settings = Settings(**{"port": 0, "state_dir": "none", **settings})
        self._app = app
        self._service: Service | None = None
        self.presence_errors = PresenceErrors()
        """What the app's presence handlers have raised, oldest first; clear it where that is meant to be."""

    def __enter__(self) -> ChannelServer:
        backend = self._make_backend(self._app) if self._app else None
        self._service = Service(self._settings, lambda address: backend)
        self._service.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._running.stop()

    def _make_backend(self, app: WSGIApplication) -> AppInProcess:
        # The front is there once the app is asked for something.
        backend = AppInProcess(CalledApp(Routed(app, InProcess(lambda *request: self._running.front(*request)))))
        self.presence_errors = backend.errors
        return backend

    @property
    def broker(self) -> Broker:
        """See `EmulatorUnderTest`."""
        return self._running.broker

    @property
    def _transport(self) -> InProcess:
        return InProcess(self._running.front)

    @property
    def _address(self) -> str:
        return self.url

    @property
    def url(self) -> str:
        """`http://host:port`."""
        return self._running.url

    def advance(self, seconds: float) -> None:
        """See `EmulatorUnderTest`."""
        self._running.broker.control.travel(seconds)

    def reset(self) -> None:
        """Forget every token, socket and message."""
        self._running.front.reset()

    def close_pages(self) -> None:
        """See `EmulatorUnderTest`. Returns once the app has heard of it, or after `GOODBYE_SECONDS`."""
        super().close_pages()
        give_up = time.monotonic() + GOODBYE_SECONDS
        while self._connected() and time.monotonic() < give_up:
            time.sleep(0.002)

    def using(self) -> AbstractContextManager[None]:
        """While it lasts, calls of that module ask this server, whichever thread makes them."""
        return using(self._transport)

    @property
    def _running(self) -> Service:
        if self._service is None:
            raise RuntimeError("Use a ChannelServer as a context manager: with ChannelServer(app) as server")
        return self._service
