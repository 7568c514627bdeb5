"""The emulator as a running server: its parts put together, started and stopped in order."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from appengine_channel_emu import SERVER_NAME
from appengine_channel_emu.broker.contract import Broker
from appengine_channel_emu.broker.events import Event
from appengine_channel_emu.host.backend import Backend
from appengine_channel_emu.server.acceptor import Acceptor, make_short_path
from appengine_channel_emu.server.answers import Heads
from appengine_channel_emu.server.brokers import embedded_broker, shared_broker
from appengine_channel_emu.server.connection import Port
from appengine_channel_emu.server.event_lines import EventLines
from appengine_channel_emu.server.listening import LOCALHOST, CannotListen, listen
from appengine_channel_emu.server.loop import make_loop
from appengine_channel_emu.server.saver import Saver
from appengine_channel_emu.server.slow_clients import ClientLimits, SlowClients
from appengine_channel_emu.server.threads import Pools
from appengine_channel_emu.server.timeouts import Timeouts
from appengine_channel_emu.settings import Settings, described
from appengine_channel_emu.timer import TimerThread
from appengine_channel_emu.web.admin.status import About
from appengine_channel_emu.web.channel.presence import PresencePosts
from appengine_channel_emu.web.front import Front, NoApp
from appengine_channel_emu.web.guard import WebOptions
from appengine_channel_emu.web.later import patient, waited

if TYPE_CHECKING:
    from appengine_channel_emu.broker.redis.broker import RedisBroker

STOP_SECONDS = 7.0
"""For all of a stop but the last save. Of these, at the most:"""
APP_SECONDS = 6.0
"""for the app: SIGTERM, SIGKILL 3 seconds later, and whatever it started;"""
LEAVE_SECONDS = 2.0
"""for telling a Redis that this node goes, and for the answers to its polls;"""
LOOP_SECONDS = 1.0
REQUEST_SECONDS = 5.0
"""for requests that its threads still serve, of an app that is not ours to stop."""
TIMER_SECONDS = 1.0

END_SECONDS = 9.5
"""For all of a stop: saving has what the others have left of it."""

LEAST_SECONDS = 0.5
"""What each part of a stop gets, however long the others took."""

LOOK_SECONDS = 0.01
"""Seconds between two looks at what is waited for."""

TICK = 0.2
"""Seconds between two looks at the broker's timers at the most: its clock tells by them whether this process runs."""

TICK_PAUSE = 0.05
"""Seconds between two at the least: the precision of presence and expiry. With thousands of pages some timer is due
every few milliseconds, and waking a thread takes longer than what such a timer does."""

log = logging.getLogger("channel_emu")
presence_log = logging.getLogger("channel_emu.presence")


class Service:
    """One emulator. `make_backend(address)` makes the app behind it, given `host:port` of the emulator, or None.

    Without `short_path` every request is answered through WSGI: the same answers, later.
    """

    def __init__(
        self, settings: Settings, make_backend: Callable[[str], Backend | None], short_path: bool = True
    ) -> None:
        self.settings = settings
        self._sockets, self._api_sockets = _listen(settings)
        self.port = int(self._sockets[0].getsockname()[1])
        self.address = _address(self._sockets[0])
        self.api_address = _address(self._api_sockets[0]) if self._api_sockets else None
        """`host:port` of the API port, if there is one."""
        self._timer = TimerThread()
        self._backend = make_backend(self.address)
        self._saver: Saver | None = None
        self._shared: RedisBroker | None = None
        self.broker = self._make_broker()
        self.about = self._describe()
        """What the front is told of us."""
        self.front = Front(self.broker, self._backend or NoApp(), _web_options(settings), self._timer, self.about)
        self.short_path = make_short_path(settings, self.front.short_answers) if short_path else None
        """What is answered below WSGI, if anything is."""
        self._hint_at_presence()
        self._loop = make_loop()
        self._parked_polls, self._streams = Timeouts(), Timeouts()
        self._slow_clients = SlowClients(_client_limits(settings), self.broker.note)
        self._pools = Pools(
            self._loop,
            self.front.is_ours,
            self.front.is_brief,
            settings.threads,
            None if self.broker.immediate else self.front.may_wait,
        )
        self._acceptor = Acceptor(settings, self._loop, self._pools, self.broker.note)
        self._changing = threading.Lock()
        self._served = self._ready = self._stopping = False

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://{self.address}"

    def start(self) -> None:
        """Serve, and return once the app can be served too, or `stop` was called. Raises `CannotStart`."""
        with self._changing:
            if self._stopping:
                return
            self._serve()
        if self._backend:
            self._backend.start()
        with self._changing:
            if self._stopping:
                return
            self._ready = True
            # Last, because it may tell the app who has gone since the emulator was stopped.
            run_broker_timers(self.broker, self._timer)

    def stop(self) -> None:
        """Stop the app, answer nothing more, and save what is left; idempotent, and safe while it is being started.

        Whatever hangs, it ends within `END_SECONDS`.
        """
        with self._changing:
            if self._stopping:
                return
            self._stopping = True
        budget, saving = _Budget(STOP_SECONDS), _Budget(END_SECONDS)
        if self._shared:
            self._leave_service(self._shared, budget)
        self._loop.stop()
        if self._backend:
            budget.call(self._backend.stop, APP_SECONDS, "the app")
        if self._served and budget.join(self._loop.thread, LOOP_SECONDS, "the server's loop"):
            self._pools.end(budget.at_most(REQUEST_SECONDS))
            for sock in self._sockets + self._api_sockets:
                _stop_listening(sock)
            self._acceptor.say_goodbye()
            self._loop.close()
        self._acceptor.close()
        budget.call(self._timer.stop, TIMER_SECONDS, "the timers")
        if self._saver:
            saving.call(self._saver.stop, END_SECONDS, "the store: a restart may lose what was sent last")
        for sock in self._sockets + self._api_sockets:
            sock.close()

    def _leave_service(self, broker: RedisBroker, budget: _Budget) -> None:
        """Have the pages go on at other nodes, which a balancer finds once nobody listens here."""
        for sock in self._sockets:
            _stop_listening(sock)
        budget.call(broker.stop, LEAVE_SECONDS, "the Redis")
        budget.wait_until(lambda: not len(self._parked_polls), LEAVE_SECONDS)

    def _serve(self) -> None:
        """Take connections, and begin with all that runs beside them."""
        port = Port(
            self._loop, self._parked_polls, self._streams, self._slow_clients, Heads(SERVER_NAME), self.short_path
        )
        self._acceptor.serve(self._sockets, self.front, port)
        if self._api_sockets:
            self._acceptor.serve(
                self._api_sockets, self.front.api_port(), replace(port, short_path=None, ours_alone=True)
            )
            log.info("The SDK's API server protocol is spoken at http://%s", self.api_address)
        self._loop.start(self._often, self._each_second)
        self._served = True
        if self._saver:
            self._saver.start()

    def _often(self) -> None:
        self._parked_polls.expire_due()
        self._streams.expire_due()
        self._pools.refuse_overdue()

    def _each_second(self) -> None:
        self._slow_clients.look()
        self._acceptor.look()

    def _describe(self) -> About:
        backend, folder = self._backend, self.settings.state_folder() if self._saver else None
        return About(
            described(self.settings),
            self._why_not_ready,
            looks_for_app=backend is not None and backend.looks_for_app,
            why_degraded=lambda: self._shared.why_away if self._shared else None,
            app=None if backend is None else backend.description,
            url=self.url,
            state_folder=None if folder is None else str(folder),
            node=self._shared.node.options.name if self._shared else None,
            cluster=partial(waited, self._shared.control.cluster) if self._shared else None,
        )

    def _why_not_ready(self) -> str | None:
        if not self._ready:
            return "The app is still being started."
        return self._backend.why_unreachable() if self._backend else None

    def _make_broker(self) -> Broker:
        settings, posts = self.settings, None
        if self._backend is not None and _tells_presence(settings, self._backend):
            encoding = settings.presence_encoding
            posts = PresencePosts(self._backend, "urlencoded" if encoding == "auto" else encoding)
        broker: Broker
        if settings.redis is None:
            broker, self._saver = embedded_broker(settings, posts, self._timer)
        else:
            broker = self._shared = shared_broker(settings, posts, self._timer, self.address)
            self._share_sign_in(self._shared)
        if posts is not None:
            posts.broker = broker
        lines = EventLines(self._timer, settings.quiet)
        # What others of a service have done before is in their logs.
        for event in broker.events.after(0) if broker.immediate else ():
            lines(event)
        broker.events.listen(lines)
        for fault in settings.fault:
            patient(broker).faults.add(fault)
        return broker

    def _share_sign_in(self, broker: RedisBroker) -> None:
        if self._backend is not None:
            assert self.settings.redis_name is not None
            self._backend.share_sign_in(self.settings.redis_name, lambda: broker.shared_key("sign-in"))

    def _hint_at_presence(self) -> None:
        """Say how an app can be told of clients, once one comes, where the app looks as if it were not."""
        hint = self._backend.presence_hint if self._backend else None
        if hint is None or self.settings.presence != "auto":
            return
        notes, said = self.front.notes, threading.Lock()

        def hear(event: Event) -> None:
            if event.kind == "socket_opened":
                notes.add("presence_off")
                # Once: nobody releases it.
                if said.acquire(blocking=False):
                    presence_log.warning("%s", hint)

        self.broker.events.listen(hear)


class _Budget:
    """`seconds` for all parts of a stop together, from now on."""

    def __init__(self, seconds: float) -> None:
        self._until = time.monotonic() + seconds

    def at_most(self, seconds: float) -> float:
        """How long a part may take that is to take no longer than `seconds`."""
        return max(LEAST_SECONDS, min(seconds, self._until - time.monotonic()))

    def join(self, thread: threading.Thread, seconds: float, what: str) -> bool:
        """Whether `thread` has ended in time."""
        thread.join(self.at_most(seconds))
        if thread.is_alive():
            log.warning("Stopping waits no longer for %s.", what)
        return not thread.is_alive()

    def wait_until(self, condition: Callable[[], bool], seconds: float) -> None:
        """Return once `condition` holds, or that time is over."""
        until = time.monotonic() + self.at_most(seconds)
        while not condition() and time.monotonic() < until:
            time.sleep(LOOK_SECONDS)

    def call(self, action: Callable[[], object], seconds: float, what: str) -> bool:
        """Call `action`; whether it has returned in time. What it raises is logged."""

        def guarded() -> None:
            try:
                action()
            except Exception:
                log.exception("Stopping %s failed.", what)

        thread = threading.Thread(target=guarded, name=f"stop: {what}", daemon=True)
        thread.start()
        return self.join(thread, seconds, what)


def run_broker_timers(broker: Broker, timer: TimerThread) -> None:
    """Have `timer` run the broker's own timers as they fall due in the broker's time."""

    def run_due() -> None:
        broker.run_due()

    def pause() -> float:
        due = broker.next_due()
        return TICK if due is None else min(TICK, max(TICK_PAUSE, due - broker.clock.now()))

    timer.repeat(run_due, pause)


def _listen(settings: Settings) -> tuple[list[socket.socket], list[socket.socket]]:
    """The sockets of the port, and of the API port if there is one. Raises `CannotListen`."""
    sockets = listen(settings.host, settings.port)
    if settings.api_port is None:
        return sockets, []
    try:
        # Other machines never reach this port: what needs it runs beside us.
        return sockets, listen(LOCALHOST, settings.api_port, "--api-port")
    except CannotListen:
        for sock in sockets:
            sock.close()
        raise


def _stop_listening(sock: socket.socket) -> None:
    """At once, also where a process that is being started holds a copy: the next emulator may want the port."""
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)


def _tells_presence(settings: Settings, backend: Backend) -> bool:
    """Whether the app is told of clients; auto leaves it to what the backend knows of the app."""
    if settings.presence == "auto":
        return backend.takes_presence
    return settings.presence == "always"


def _web_options(settings: Settings) -> WebOptions:
    return WebOptions(
        hosts=frozenset(host.lower() for host in (settings.host, *settings.allow_host)),
        receive_origins=frozenset(settings.allow_origin),
        allow_remote_admin=settings.allow_remote_admin,
        trust_appengine_headers=settings.trust_appengine_headers,
        presence_from_visitors=settings.presence_from_visitors,
        quiet=settings.quiet,
    )


def _client_limits(settings: Settings) -> ClientLimits:
    return ClientLimits(
        settings.header_timeout, settings.body_timeout, settings.answer_timeout, buffered=settings.max_buffered
    )


def _address(sock: socket.socket) -> str:
    """`host:port` that a program on this machine can connect to."""
    address, port = sock.getsockname()[:2]
    if address in ("0.0.0.0", "::"):
        address = "127.0.0.1" if address == "0.0.0.0" else "::1"
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
