"""The emulator as a real server in a test's process, for browsers and for clients in other languages."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from appengine_channel_emu.broker.results import Sent
from appengine_channel_emu.faults import Faults
from appengine_channel_emu.server.service import Service
from appengine_channel_emu.settings import Settings
from appengine_channel_emu.testing.client import ChannelClient
from appengine_channel_emu.testing.emulator import AppInProcess
from appengine_channel_emu.testing.server_api import leading
from appengine_channel_emu.testing.transports import InProcess

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


class ChannelServer:
    """A server with `app` behind it; a context manager that starts and stops it.

    It listens on a free port of this machine, at `url`. `settings` are those of `channel-emu serve`, by attribute
    name. The app runs on threads of this process, where no deadline can be enforced; its clock is the machine's
    time until `advance`.
    """

    def __init__(self, app: WSGIApplication | None = None, **settings: Any) -> None:
        self._settings = Settings(**{"port": 0, "state_dir": "none", **settings})
        self._app = app
        self._service: Service | None = None

    def __enter__(self) -> ChannelServer:
        backend = _Backend(self._app) if self._app else None
        self._service = Service(self._settings, lambda address: backend)
        self._service.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._running.stop()

    @property
    def faults(self) -> Faults:
        """Trouble on request: `server.faults.add("poll cut count=1")`."""
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
        return ChannelClient(self.url, token or self.create_channel(client_id or ""))

    def advance(self, seconds: float) -> None:
        """Move the clock on; open pages feel it."""
        self._running.broker.control.travel(seconds)

    def reset(self) -> None:
        """Forget every token, socket and message."""
        self._running.front.reset()

    def leading(self) -> AbstractContextManager[None]:
        """While it lasts, the app's `google.appengine.api.channel` asks this server."""
        return leading(InProcess(self._running.front))

    @property
    def _running(self) -> Service:
        if self._service is None:
            raise RuntimeError("Use a ChannelServer as a context manager: with ChannelServer(app) as server")
        return self._service


class _Backend(AppInProcess):
    def start(self) -> None:
        """See `Backend`."""

    def stop(self) -> None:
        """See `Backend`."""

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """See `Backend`."""
        return self.app(environ, start_response)
