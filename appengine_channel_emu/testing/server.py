"""The emulator as a real server in a test's process, for browsers and for clients in other languages."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from appengine_channel_emu.broker.contract import Sent
from appengine_channel_emu.faults import Faults
from appengine_channel_emu.server.service import Service
from appengine_channel_emu.settings import Settings
from appengine_channel_emu.testing.app import AppInProcess, CalledApp, PresenceErrors, Routed
from appengine_channel_emu.testing.client import ChannelClient
from appengine_channel_emu.testing.goodbye import close_pages, told
from appengine_channel_emu.testing.server_api import leading, using
from appengine_channel_emu.testing.transports import InProcess

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


GOODBYE_SECONDS = 5.0
"""How long the app's presence handlers may take at the end of a test."""


class ChannelServer:
    """A server with `app` behind it; a context manager that starts and stops it.

    It listens on a free port of this machine, at `url`. `settings` are those of `channel-emu serve`, by attribute
    name. The app runs on threads of this process, where no deadline can be enforced; its clock is the machine's
    time until `advance`. During its requests the app's `google.appengine.api.channel` asks this server.
    """

    def __init__(self, app: WSGIApplication | None = None, **settings: Any) -> None:
        self._settings = Settings(**{"port": 0, "state_dir": "none", **settings})
        self._app = app
        self._service: Service | None = None
        self._clients: list[ChannelClient] = []
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
    def faults(self) -> Faults:
        """Faults on request: `server.faults.add("poll cut count=1")`."""
        return self._running.broker.faults

    @property
    def url(self) -> str:
        """`http://host:port`."""
        return self._running.url

    def create_channel(self, client_id: str, duration_minutes: int | None = None) -> str:
        """A token, as the server API gives it."""
        return self._running.broker.create_channel(client_id, duration_minutes).token

    def send_message(self, client_id: str, message: str) -> Sent:
        """Send a message, and learn to how many sockets it went."""
        return self._running.broker.send_message(client_id, message)

    def client(self, client_id: str | None = None, *, token: str | None = None) -> ChannelClient:
        """A client over HTTP, not yet open, with `token` or a new token for `client_id`."""
        if (client_id is None) == (token is None):
            raise TypeError("client() takes a client id or a token")
        self._clients.append(ChannelClient(self.url, token or self.create_channel(client_id or "")))
        return self._clients[-1]

    def advance(self, seconds: float) -> None:
        """Move the clock on; open pages feel it."""
        self._running.broker.control.travel(seconds)

    def reset(self) -> None:
        """Forget every token, socket and message."""
        self._running.front.reset()

    def close_pages(self) -> None:
        """Close every socket, and let the app hear `disconnected/`: the clock moves on by the grace.

        Returns once it has been told, or after `GOODBYE_SECONDS`.
        """
        clients, self._clients = self._clients, []
        broker = self._running.broker
        close_pages(broker, clients, self.advance)
        give_up = time.monotonic() + GOODBYE_SECONDS
        while told(broker) and time.monotonic() < give_up:
            time.sleep(0.002)

    def leading(self) -> AbstractContextManager[None]:
        """While it lasts, calls of `google.appengine.api.channel` in this thread ask this server and no other."""
        return leading(InProcess(self._running.front))

    def using(self) -> AbstractContextManager[None]:
        """While it lasts, calls of that module ask this server, whichever thread makes them."""
        return using(InProcess(self._running.front))

    @property
    def _running(self) -> Service:
        if self._service is None:
            raise RuntimeError("Use a ChannelServer as a context manager: with ChannelServer(app) as server")
        return self._service
