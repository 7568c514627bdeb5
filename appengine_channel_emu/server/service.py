"""The emulator as a running server: its parts put together, started and stopped in order."""

from __future__ import annotations

import contextlib
import logging
import socket
import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from waitress import create_server, wasyncore

from appengine_channel_emu.broker.broker import EmbeddedBroker
from appengine_channel_emu.broker.clock import SystemClock
from appengine_channel_emu.broker.contract import Broker, BrokerOptions
from appengine_channel_emu.broker.events import Event
from appengine_channel_emu.broker.saving import Store
from appengine_channel_emu.broker.store import SqliteStore, StoreInUse
from appengine_channel_emu.host.backend import Backend
from appengine_channel_emu.server.budget import Budget
from appengine_channel_emu.server.entrance import Entrance, SpareChannel, connection_limit
from appengine_channel_emu.server.listener import LOCALHOST, CannotListen, listen
from appengine_channel_emu.server.loop import make_loop
from appengine_channel_emu.server.parking import Gate, Lot, ParkingChannel
from appengine_channel_emu.server.patience import Limits, Patience
from appengine_channel_emu.server.proxied import proxy_options
from appengine_channel_emu.server.queueing import Pools
from appengine_channel_emu.server.saver import Saver
from appengine_channel_emu.settings import Settings, described
from appengine_channel_emu.timer import TimerThread
from appengine_channel_emu.web.admin_routes import About
from appengine_channel_emu.web.api_port import ApiPort
from appengine_channel_emu.web.app import Front, NoApp, printable
from appengine_channel_emu.web.options import WebOptions
from appengine_channel_emu.web.presence import PresenceHint, PresencePosts

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

OWN_THREADS = 4
"""For polls and the like: they never block, and with more the interpreter only switches between them."""

SEND_BYTES = 64 * 1024
UNSENT_BYTES = 64 * 1024 * 1024
"""Of one connection: a thread with more to send waits for the client. No whole answer of an app's has as much, nor what
one read's worth of pipelined polls is answered."""

STOP_SECONDS = 7.0
"""For all of a stop but the last save. Of these, at the most:"""
APP_SECONDS = 6.0
"""for the app: SIGTERM, SIGKILL 3 seconds later, and whatever it started;"""
LOOP_SECONDS = 1.0
REQUEST_SECONDS = 5.0
"""for requests that its threads still serve, of an app that is not ours to stop."""
TIMER_SECONDS = 1.0

END_SECONDS = 9.5
"""For all of a stop: saving has what the others have left of it."""

TICK = 0.2
"""Seconds between two looks at the broker's timers at the most: its clock tells by them whether this process runs."""

TICK_PAUSE = 0.05
"""Seconds between two at the least: the precision of presence and expiry. With thousands of pages some timer is due
every few milliseconds, and waking a thread takes longer than what such a timer does."""

log = logging.getLogger("channel_emu")
event_log = logging.getLogger("channel_emu.event")

_WARNINGS = (
    "presence_failed",
    "request_cut",
    "unclean_start",
    "stale_start",
    "state_set_aside",
    "store_failed",
    "store_works",
    "message_mended",
    "connections_refused",
    "connections_accepted",
    "tokens_full",
    "backlog_full",
)


class Service:
    """One emulator. `make_backend(address)` makes the app behind it, given `host:port` of the emulator, or None."""

    def __init__(self, settings: Settings, make_backend: Callable[[str], Backend | None]) -> None:
        self.settings = settings
        self._sockets = listen(settings.host, settings.port)
        self._api_sockets = self._listen_for_api()
        self.api_address = _address(self._api_sockets[0]) if self._api_sockets else None
        """`host:port` of the API port, if there is one."""
        self.port = int(self._sockets[0].getsockname()[1])
        self.address = _address(self._sockets[0])
        self._backend = make_backend(self.address)
        self._store = _store(settings)
        self._timer = TimerThread()
        self.broker = self._make_broker()
        for fault in settings.fault:
            self.broker.faults.add(fault)
        about = About(described(settings), self._why_not_ready, bool(self._backend and self._backend.looks_for_app))
        self.front = Front(self.broker, self._backend or NoApp(), _web_options(settings), self._timer, about)
        self._note_presence_off()
        self._map: dict[int, Any] = {}
        self._lot = Lot()
        self._waitress_loop = make_loop(self._map)
        self._pools = Pools(self._waitress_loop, self.front.is_ours, self.front.is_brief, OWN_THREADS, settings.threads)
        self._patience = Patience(_limits(settings), self.broker.note)
        self._changing = threading.Lock()
        self._stopping = self._ready = False
        self._loop = threading.Thread(target=self._run_loop, name="loop", daemon=True)
        self._saver = Saver(self.broker, self._store) if self._store else None

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
        budget, saving = Budget(STOP_SECONDS), Budget(END_SECONDS)
        if self._backend:
            budget.call(self._backend.stop, APP_SECONDS, "the app")
        if self._loop.is_alive():
            self._waitress_loop.wake()
            if budget.join(self._loop, LOOP_SECONDS, "the server's loop"):
                self._pools.end(budget.at_most(REQUEST_SECONDS))
                for sock in self._sockets + self._api_sockets:
                    _stop_listening(sock)
                wasyncore.close_all(self._map, ignore_all=True)
            self._entrance.close()
        budget.call(self._timer.stop, TIMER_SECONDS, "the timers")
        if self._saver:
            saving.call(self._saver.stop, END_SECONDS, "the store: a restart may lose what was sent last")
        for sock in self._sockets + self._api_sockets:
            sock.close()

    def _serve(self) -> None:
        """Take connections, and begin with all that runs beside them."""
        limit, why = connection_limit(self.settings.max_connections)
        self._entrance = Entrance(limit, why, self._waitress_loop, self.broker.note)
        self._servers = self._make_servers(self._sockets, self.front)
        if self._api_sockets:
            api = ApiPort(self.front.server_api, _web_options(self.settings), self.front.fault_gate)
            self._servers += self._make_servers(self._api_sockets, api, ours_alone=True)
            log.info("The SDK's API server protocol is spoken at http://%s", self.api_address)
        self._loop.start()
        if self._saver:
            self._saver.start()

    def _why_not_ready(self) -> str | None:
        if not self._ready:
            return "The app is still being started."
        return self._backend.why_unreachable() if self._backend else None

    def _make_broker(self) -> EmbeddedBroker:
        settings = self.settings
        posts = None
        if self._backend is not None and _tells_presence(settings, self._backend):
            encoding = settings.presence_encoding
            posts = PresencePosts(self._backend, "urlencoded" if encoding == "auto" else encoding)
        options = BrokerOptions(
            tabs=settings.tabs,
            resume_window=settings.resume_window,
            disconnect_after=settings.disconnect_after,
            backlog_messages=settings.backlog,
            backlog_bytes=settings.backlog_bytes,
            backlog_total=settings.backlog_total,
            max_sockets=settings.max_sockets,
            max_tokens=settings.max_tokens,
            event_log=settings.event_log,
            push_after_answer=settings.push_after_answer / 1000,
        )
        state = self._store.load() if self._store else None
        broker = EmbeddedBroker(SystemClock(), options, posts, state, self._store is not None, self._timer)
        if posts is not None:
            posts.broker = broker
        for event in broker.events.after(0):
            _log_event(event)
        broker.events.listen(_log_event)
        hint = self._backend.presence_hint if self._backend else None
        if hint is not None and settings.presence == "auto":
            broker.events.listen(PresenceHint(hint))
        return broker

    def _note_presence_off(self) -> None:
        hint = self._backend.presence_hint if self._backend else None
        if hint is not None and self.settings.presence == "auto":
            notes = self.front.notes
            self.broker.events.listen(
                lambda event: notes.add("presence_off") if event.kind == "socket_opened" else None
            )

    def _listen_for_api(self) -> list[socket.socket]:
        """Other machines never reach this port: what needs it runs beside us."""
        if self.settings.api_port is None:
            return []
        try:
            return listen(LOCALHOST, self.settings.api_port, "--api-port")
        except CannotListen:
            for sock in self._sockets:
                sock.close()
            raise

    def _make_servers(
        self, sockets: list[socket.socket], application: WSGIApplication, ours_alone: bool = False
    ) -> list[Any]:
        """Waitress's servers, one for each of `sockets`, that put their connections into our loop."""
        logging.getLogger("waitress.queue").setLevel(logging.ERROR)
        others = set(self._map)
        create_server(
            Gate(application),
            map=self._map,
            _dispatcher=self._pools,
            sockets=sockets,
            server_name=self.settings.host,
            ident="channel-emu",
            # `Entrance` counts them.
            connection_limit=sys.maxsize,
            channel_request_lookahead=1,
            max_request_body_size=self.settings.max_request_size + 1,
            max_request_header_size=self.settings.max_header_size,
            outbuf_high_watermark=UNSENT_BYTES,
            asyncore_use_poll=True,
            log_socket_errors=False,
            **proxy_options(self.settings.trusted_proxy),
        )
        made = [self._map[number] for number in self._map.keys() - others]
        servers = [server for server in made if hasattr(server, "channel_class")]
        parts = {
            "lot": self._lot,
            "loop": self._waitress_loop,
            "patience": self._patience,
            "ours_alone": ours_alone,
        }
        channel_class = type("ParkingChannel", (ParkingChannel,), parts)
        spare_class = type("SpareChannel", (SpareChannel,), {**parts, "ours_alone": True})
        for server in servers:
            self._entrance.guard(server, channel_class, spare_class)
            # Head and body of an answer go out together (`ParkingTask.finish`). Not given as a setting above,
            # where waitress warns that it will go.
            server.adj.send_bytes = SEND_BYTES
        return servers

    def _run_loop(self) -> None:
        def each_turn() -> None:
            self._lot.expire_due()
            self._pools.refuse_overdue()

        def each_second() -> None:
            self._patience.look()
            self._entrance.look()

        self._waitress_loop.run(lambda: self._stopping, each_turn, each_second)


def run_broker_timers(broker: Broker, timer: TimerThread) -> None:
    """Have `timer` run the broker's own timers as they fall due in the broker's time."""

    def run_due() -> None:
        broker.run_due()

    def pause() -> float:
        due = broker.next_due()
        return TICK if due is None else min(TICK, max(TICK_PAUSE, due - broker.clock.now()))

    timer.repeat(run_due, pause)


def _stop_listening(sock: socket.socket) -> None:
    """At once, also where a process that is being started holds a copy: the next emulator may want the port."""
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)


def _log_event(event: Event) -> None:
    level = logging.WARNING if event.kind in _WARNINGS else logging.DEBUG
    if event_log.isEnabledFor(level):
        who = f" [{printable(event.client_id)}]" if event.client_id else ""
        event_log.log(level, "%s%s", event.text, who)


def _tells_presence(settings: Settings, backend: Backend) -> bool:
    """Whether the app is told of clients; auto leaves it to what the backend knows of the app."""
    if settings.presence == "auto":
        return backend.takes_presence
    return settings.presence == "always"


def _store(settings: Settings) -> Store | None:
    folder = settings.state_folder()
    if folder is None:
        if settings.state_dir == "auto":
            log.warning("Nothing is kept over a restart: there is no home folder. --state-dir FOLDER names another.")
        return None
    try:
        return SqliteStore(folder)
    except StoreInUse as error:
        log.warning("%s; this one keeps nothing.", str(error).capitalize())
    except OSError as error:
        log.warning("Nothing is kept over a restart: %s.", error)
    return None


def _web_options(settings: Settings) -> WebOptions:
    return WebOptions(
        hosts=frozenset(host.lower() for host in (settings.host, *settings.allow_host)),
        receive_origins=frozenset(settings.allow_origin),
        allow_remote_admin=settings.allow_remote_admin,
        trust_appengine_headers=settings.trust_appengine_headers,
        presence_from_visitors=settings.presence_from_visitors,
        quiet=settings.quiet,
    )


def _limits(settings: Settings) -> Limits:
    return Limits(
        settings.header_timeout, settings.body_timeout, settings.answer_timeout, buffered=settings.max_buffered
    )


def _address(sock: socket.socket) -> str:
    """`host:port` that a program on this machine can connect to."""
    address, port = sock.getsockname()[:2]
    if address in ("0.0.0.0", "::"):
        address = "127.0.0.1" if address == "0.0.0.0" else "::1"
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
