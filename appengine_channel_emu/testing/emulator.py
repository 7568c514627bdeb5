"""The emulator around a WSGI app, in one process and without a network, with a clock that a test moves."""

from __future__ import annotations

import io
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal

from appengine_channel_emu.broker.broker import Broker
from appengine_channel_emu.broker.clock import Clock, ManualClock
from appengine_channel_emu.broker.results import BrokerOptions, Sent
from appengine_channel_emu.faults import Faults
from appengine_channel_emu.host.presence import PRESENCE_ADDRESS, Encoding
from appengine_channel_emu.testing.client import ChannelClient
from appengine_channel_emu.testing.deadline import Limited
from appengine_channel_emu.testing.server_api import follow, lead_server_api
from appengine_channel_emu.testing.testbed import ChannelStub
from appengine_channel_emu.testing.transports import InProcess
from appengine_channel_emu.web.app import Front, no_app
from appengine_channel_emu.web.options import WebOptions
from appengine_channel_emu.web.presence import PresencePosts

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


class Emulator:
    """A WSGI app that is the emulator with `app` behind it: give it to `webtest.TestApp`.

    Durations are in seconds of `clock`, which stands still until `advance`. Presence reaches the app as real
    requests, on the thread that caused them; `presence=False` turns it off. A handler's `time.sleep` moves a manual
    clock, and `request_deadline` (None: none) cuts it; one that is busy and moves no clock is cut after
    `busy_deadline` seconds of real time (None: never). From its making on, the app's
    `google.appengine.api.channel` asks this emulator, and no other of the same process; as a context manager it gives
    that back in the end.
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
        self.clock: Clock = clock or ManualClock()
        if app is not None and request_deadline is not None and isinstance(self.clock, ManualClock):
            app = Limited(app, self.clock, request_deadline, busy_deadline)
        # A delay on request is one of the clock that the test moves, and takes no time itself.
        pause = self.clock.advance if isinstance(self.clock, ManualClock) else time.sleep
        posts = PresencePosts(AppInProcess(app), presence_encoding, lambda post: post(), pause) if app else None
        self.broker = Broker(
            self.clock,
            BrokerOptions(tabs=tabs, resume_window=resume_window, disconnect_after=disconnect_after),
            posts if presence else None,
        )
        if posts is not None:
            posts.broker = self.broker
        self._transport = InProcess(self)
        self._former = lead_server_api(self._transport)
        self._front = Front(self.broker, app or no_app, options or WebOptions(), pause=pause)

    @property
    def faults(self) -> Faults:
        """Trouble on request: `emulator.faults.add("poll cut count=1")`."""
        return self.broker.faults

    def __enter__(self) -> Emulator:
        return self

    def __exit__(self, *exc_info: object) -> None:
        """From here on the app's server API asks whom it asked before this emulator was made."""
        follow(self._former)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request, as a running emulator would."""
        return self._front(environ, start_response)

    def create_channel(self, client_id: str, duration_minutes: int | None = None) -> str:
        """A token, as the server API gives it."""
        return self.broker.create_channel(client_id, duration_minutes).token

    def send_message(self, client_id: str, message: str) -> Sent:
        """Send a message, and learn to how many sockets it went."""
        return self.broker.send_message(client_id, message)

    def client(self, client_id: str | None = None, *, token: str | None = None) -> ChannelClient:
        """A client, not yet open, with `token` or a new token for `client_id`."""
        if (client_id is None) == (token is None):
            raise TypeError("client() takes a client id or a token")
        return ChannelClient(self._transport, token or self.create_channel(client_id or ""))

    def channel_stub(self) -> ChannelStub:
        """The methods of the SDK's testbed stub, on this emulator."""
        return ChannelStub(self)

    def advance(self, seconds: float) -> None:
        """Move the clock, through every timer on the way."""
        self.clock.advance(seconds)


class AppInProcess:
    """The app as presence posts reach it."""

    def __init__(self, app: WSGIApplication) -> None:
        self.app = app

    def post(self, path: str, body: bytes, content_type: str, timeout: float) -> int:
        """POST to the app as the platform did; an exception of the app's counts as its status 500."""
        status = ["500"]

        def start_response(line: str, headers: object, exc_info: object = None) -> object:
            status[0] = line
            return lambda data: None

        environ = {
            "REQUEST_METHOD": "POST",
            "SCRIPT_NAME": "",
            "PATH_INFO": path,
            "QUERY_STRING": "",
            "SERVER_NAME": "localhost",
            "SERVER_PORT": "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "HTTP_HOST": "localhost",
            "REMOTE_ADDR": PRESENCE_ADDRESS,
            "CONTENT_TYPE": content_type,
            "CONTENT_LENGTH": str(len(body)),
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(body),
            "wsgi.errors": io.StringIO(),
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
        }
        try:
            result = self.app(environ, start_response)  # type: ignore[arg-type]
            for _ in result:
                pass
            close = getattr(result, "close", None)
            if close is not None:
                close()
        except Exception:
            return 500
        return int(status[0][:3])
