"""What a test does with an emulator around its WSGI app: in process, or as a real server for browsers."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterable
from contextlib import AbstractContextManager, ExitStack
from typing import TYPE_CHECKING, Any, Literal

from appengine_channel_emu.broker.broker import EmbeddedBroker
from appengine_channel_emu.broker.clock import Clock, ManualClock
from appengine_channel_emu.broker.contract import Broker, BrokerOptions
from appengine_channel_emu.broker.results import Sent
from appengine_channel_emu.faults import Faults
from appengine_channel_emu.host.backend import Serves
from appengine_channel_emu.host.runner.loading import is_async
from appengine_channel_emu.server.service import Service
from appengine_channel_emu.settings import Settings
from appengine_channel_emu.testing.app import AppInProcess, CalledApp, PresenceErrors, PresenceHandlerError, Routed
from appengine_channel_emu.testing.client import ChannelClient
from appengine_channel_emu.testing.deadline import DeadlineMiddleware, sleep_moves_the_clock
from appengine_channel_emu.testing.server_api import left, made, route_api_to, using
from appengine_channel_emu.testing.shown import hide_where, start_at_the_app
from appengine_channel_emu.testing.story import tell
from appengine_channel_emu.testing.testbed import ChannelStub
from appengine_channel_emu.testing.transports import InProcess, Transport
from appengine_channel_emu.web.channel.presence import Encoding, PresencePosts
from appengine_channel_emu.web.front import Front, NoApp
from appengine_channel_emu.web.guard import WebOptions

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


GOODBYE_SECONDS = 5.0
"""How long the app's presence handlers may take at the end of a test."""


class EmulatorUnderTest(ABC):
    """Tokens, messages, clients, faults and time, and the end of a test."""

    def __init__(self) -> None:
        self._clients: list[ChannelClient] = []

    @property
    @abstractmethod
    def broker(self) -> Broker:
        """The emulator's broker."""

    @property
    @abstractmethod
    def _transport(self) -> Transport:
        """How the calls of an app in this process reach the emulator."""

    @property
    def _address(self) -> str | Transport:
        """How a client reaches it."""
        return self._transport

    @property
    def faults(self) -> Faults:
        """Faults on request: `emulator.faults.add("poll cut count=1")`."""
        return self.broker.faults

    def create_channel(self, client_id: str, duration_minutes: int | None = None) -> str:
        """A token, as the server API gives it: for 120 minutes, or `duration_minutes` from 1 to 1440."""
        return self.broker.create_channel(client_id, duration_minutes).token

    def send_message(self, client_id: str, message: str) -> Sent:
        """Send a message, and learn to how many sockets it went (`delivered_to`), and why if to none (`reason`)."""
        return self.broker.send_message(client_id, message)

    def send_many(self, client_ids: Iterable[str], message: str) -> dict[str, Sent]:
        """Send one message to each of `client_ids` once, in one step; learn for each to how many sockets it went.

        What is refused is sent to none of them. Raises TypeError where `client_ids` are no strings.
        """
        names = [client_ids] if isinstance(client_ids, str) else list(client_ids)
        if isinstance(client_ids, str) or not all(isinstance(name, str) for name in names):
            raise TypeError(f"send_many() takes client ids, each a str, and was given {client_ids!r:.80}")
        return self.broker.send_many(names, message)

    def client(
        self,
        client_id: str | None = None,
        *,
        token: str | None = None,
        transport: Literal["poll", "stream"] = "poll",
    ) -> ChannelClient:
        """A client, not yet open, with `token` or a new token for `client_id`; `transport` as in `ChannelClient`."""
        if (client_id is None) == (token is None):
            raise TypeError("client() takes a client id or a token")
        token = token or self.create_channel(client_id or "")
        self._clients.append(ChannelClient(self._address, token, transport=transport))
        return self._clients[-1]

    def explain(self, client_id: str) -> str:
        """Why a page of `client_id` gets no message, or what became of those that were sent: `ChannelClient.explain`.

        For pages that are no clients of this test's, such as those of a browser.
        """
        return tell(self._transport, client_id, None)

    def leading(self) -> AbstractContextManager[None]:
        """While it lasts, calls of `google.appengine.api.channel` in this thread ask this emulator and no other."""
        return route_api_to(self._transport)

    @abstractmethod
    def advance(self, seconds: float) -> None:
        """Move the clock on by so many seconds, through every timer on the way; open pages feel it."""

    def close_pages(self) -> None:
        """Close every socket, and let the app hear `disconnected/`: the clock moves on by `disconnect_after`.

        So the app's state is not the next test's. Faults on request are over first, so that it hears of it.
        """
        clients, self._clients = self._clients, []
        self.broker.faults.clear()
        for client in clients:
            client.leave()
        for client_id in self.broker.control.client_ids():
            for socket_id in self.broker.control.sockets_of(client_id):
                self.broker.control.close(socket_id)
        if self._connected():
            self.advance(self.broker.options.disconnect_after)

    def _connected(self) -> list[str]:
        """The client ids that the app takes for connected."""
        there = self.broker.control
        return [name for name in there.client_ids() if (channel := there.channel(name)) is not None and channel.told]


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
    `PresenceHandlerError` if the app's presence handlers have raised; those are in `presence_errors`, a list that a
    test may clear. Raises TypeError for an ASGI application.
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
        __tracebackhide__ = hide_where(PresenceHandlerError)
        try:
            self.close_pages()
        finally:
            self._entered.close()
            left(self._in_process)
        if not any(exc_info):
            self.presence_errors.raise_first()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request, as a running emulator would. What the app raises is raised from here."""
        __tracebackhide__ = True
        try:
            return self._front(environ, start_response)
        except BaseException as error:
            start_at_the_app(error)
            raise error  # A bare raise keeps the frames that it had, in Python 3.10.

    def channel_stub(self) -> ChannelStub:
        """The methods of the SDK's testbed stub, on this emulator."""
        return ChannelStub(self)

    def advance(self, seconds: float) -> None:
        """See `EmulatorUnderTest`."""
        self.clock.advance(seconds)


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
