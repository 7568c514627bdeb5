"""Serve until told to stop: the ready line, signals, and exit codes (behaviour.md 12).

The main thread waits for signals alone, and what takes time goes on on other threads, so that a stop comes through
whatever hangs. No work is done in a signal's handler: it interrupts the main thread anywhere, also where that holds the
very lock that the handler would wait for.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import select
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable
from dataclasses import asdict

from appengine_channel_emu.host.backend import Backend
from appengine_channel_emu.host.errors import CannotStart
from appengine_channel_emu.notes import Note
from appengine_channel_emu.running_here import Announcement, EmulatorHere
from appengine_channel_emu.server.banner import show as show_banner
from appengine_channel_emu.server.listening import LOCALHOST, CannotListen
from appengine_channel_emu.server.service import Service
from appengine_channel_emu.settings import Settings
from appengine_channel_emu.streams import drain_log, say
from appengine_channel_emu.web.accounts import Account
from appengine_channel_emu.web.admin.status import About
from appengine_channel_emu.web.front import access_log, printable

STOPPED = 0
COULD_NOT_START = 1

MAKING_SECONDS = 5.0
"""For what comes before the app's start, when it is to be stopped: opening the port and the store."""

SLOW_STOP_SECONDS = 10.0
"""A stop that takes longer shows what every thread does."""

SAME_SIGNAL_SECONDS = 1.0
"""What comes so soon after the first signal is the same one: a terminal, and whoever started us, both send it."""

SWITCH_SECONDS = 0.0005
"""Instead of 5 ms, for which a thread that saves or proxies would keep the one waiting that answers calls and polls."""

GC_THRESHOLDS = (50_000, 20, 20)

REPORTED_PATHS = 20

log = logging.getLogger("channel_emu")


class CannotAnnounce(Exception):
    """The ready line cannot be written, and who waits for it would wait for ever; the text says why."""


class Serving:
    """A service that is made, started and stopped on threads other than the main one, which waits for signals."""

    def __init__(self, settings: Settings, make_backend: Callable[[str], Backend | None], signals: Signals) -> None:
        self._settings = settings
        self._make_backend = make_backend
        self.service: Service | None = None
        self._announcement: Announcement | None = None
        self.start = Job(self._start, signals, "start")

    def _start(self) -> None:
        self.service = service = Service(self._settings, self._make_backend)
        app = service.about.app
        # Before the app is there, so that `channel-emu wait` finds what it waits for.
        self._announcement = Announcement(EmulatorHere(service.address, app.name if app else "", os.getpid()))
        service.start()

    def stop(self) -> None:
        """Stop the service, also while it is still being started."""
        if self.service is None:
            self.start.wait(MAKING_SECONDS)
        if self._announcement is not None:
            self._announcement.withdraw()
        if self.service is not None:
            self.service.stop()


def serve(
    settings: Settings,
    make_backend: Callable[[str], Backend | None],
    greet: Callable[[Settings, About], None] = show_banner,
) -> int:
    """Serve `settings` until SIGTERM, SIGINT or SIGHUP; returns the exit code.

    `make_backend` is given the emulator's `host:port` and makes the app behind it, or None. `greet` says on standard
    error what runs here, once it is ready, before the ready line.
    """
    if settings.quiet:
        access_log.setLevel(logging.WARNING)
    with Signals(stop_signals()) as signals:
        return _serve_until_stopped(Serving(settings, make_backend, signals), signals, greet)


def _serve_until_stopped(serving: Serving, signals: Signals, greet: Callable[[Settings, About], None]) -> int:
    try:
        if signals.wait(job=serving.start) is not None:
            log.info("Stopped before the app could be served.")
            return STOPPED
        serving.start.result()
        _tune_gc_and_switching()
        assert serving.service is not None
        _announce(serving.service, greet)
        signals.wait()
    except (CannotListen, CannotStart, CannotAnnounce) as error:
        print(f"channel-emu: {error}", file=sys.stderr)
        return COULD_NOT_START
    finally:
        see_the_end(serving.stop, signals)
    _report(serving.service)
    return STOPPED


def stop_signals() -> list[int]:
    """What ends the emulator. A SIGHUP that is ignored, as under nohup, stays so."""
    hangup = [] if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else [signal.SIGHUP]
    return [signal.SIGTERM, signal.SIGINT, *hangup]


def _tune_gc_and_switching() -> None:
    sys.setswitchinterval(SWITCH_SECONDS)
    # Thousands of parked polls are no garbage, and looking through them would cost more than serving them.
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)


def _report(service: Service) -> None:
    if not service.settings.quiet:
        _log_accounts(service.front.accounts.all())
        _log_notes(service.front.notes.all())


def _log_accounts(accounts: list[Account]) -> None:
    """What the app's paths have cost: the price of holding requests, beside channels that hold none."""
    if not accounts:
        return
    log.info("The app's requests, most time held first:")
    log.info("%9s %10s %9s %5s  %s", "requests", "held", "CPU", "cut", "path")
    for account in accounts[:REPORTED_PATHS]:
        log.info(
            "%9d %8.2f s %7.2f s %5d  %s",
            account.requests,
            account.held_seconds,
            account.cpu_seconds,
            account.cut,
            printable(account.path),
            extra={"fields": asdict(account)},
        )


def _log_notes(notes: list[Note]) -> None:
    """What production would have done otherwise."""
    if notes:
        log.info("What production would have done:")
    for note in notes:
        log.info("- %s %s (Source: %s.)", note.text, note.cure, note.source)


def _announce(service: Service, greet: Callable[[Settings, About], None]) -> None:
    if service.settings.host not in (LOCALHOST, "127.0.0.1", "::1"):
        log.warning("Other machines can reach this server: it is a tool for development and has no other protection.")
    greet(service.settings, service.about)
    # The one line on standard output, for scripts that wait for it.
    try:
        say(f"channel-emu: ready at {service.url}")
    except OSError as error:
        raise CannotAnnounce(
            f"the ready line cannot be written to standard output: {error.strerror}. Nobody would hear that the "
            "emulator is ready, so it ends. To run it without that line: channel-emu serve > /dev/null"
        ) from None


class Signals:
    """Waits for the signals `numbers`, of the main thread alone.

    A context manager: in its block they do nothing else. To be entered before there is anything to clean up.
    """

    def __init__(self, numbers: Iterable[int]) -> None:
        self._numbers = list(numbers)
        self._came: list[int] = []
        self._reading, self._writing = socket.socketpair()
        self._reading.setblocking(False)
        self._writing.setblocking(False)

    def __enter__(self) -> Signals:
        # A byte for each signal, its number, written before any Python code runs.
        self._others = signal.set_wakeup_fd(self._writing.fileno(), warn_on_full_buffer=False)
        self._handlers = [(number, signal.signal(number, _nothing)) for number in self._numbers]
        return self

    def __exit__(self, *exc_info: object) -> None:
        for number, handler in self._handlers:
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._others)
        self._reading.close()
        self._writing.close()

    def wait(self, seconds: float | None = None, job: Job | None = None) -> int | None:
        """The next signal; None when `seconds` have passed, or `job` has ended, before one came."""
        give_up = None if seconds is None else time.monotonic() + seconds
        poll = select.poll()
        poll.register(self._reading, select.POLLIN)
        while not self._came and not (job is not None and job.done):
            left = None if give_up is None else give_up - time.monotonic()
            if left is not None and left <= 0:
                return None
            poll.poll(None if left is None else left * 1000)
            with contextlib.suppress(BlockingIOError):
                self._came += [number for number in self._reading.recv(4096) if number]
        return self._came.pop(0) if self._came else None

    def wake(self) -> None:
        """Have `wait` look at its job again; from any thread."""
        # Full: it wakes already. Closed: nobody waits any more.
        with contextlib.suppress(OSError):
            self._writing.send(b"\0")


class Job:
    """A call on a thread of its own, at whose end `signals` wakes."""

    def __init__(self, call: Callable[[], object], signals: Signals, name: str) -> None:
        self._call = call
        self._signals = signals
        self._error: BaseException | None = None
        self._ended = threading.Event()
        threading.Thread(target=self._run, name=name, daemon=True).start()

    @property
    def done(self) -> bool:
        """Whether the call has returned, or raised."""
        return self._ended.is_set()

    def wait(self, seconds: float) -> bool:
        """Whether it has ended within `seconds`."""
        return self._ended.wait(seconds)

    def result(self) -> None:
        """Raises what the call raised. To be called when it is done."""
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            self._call()
        except BaseException as error:
            self._error = error
        self._ended.set()
        self._signals.wake()


def see_the_end(stop: Callable[[], object], signals: Signals) -> None:
    """Call `stop`, and return when it has returned.

    When it takes long, what all threads do is written to standard error, once. A signal that comes meanwhile ends the
    process at once, as SIGKILL would, so that nobody needs that.
    """
    began = time.monotonic()
    stopping = Job(stop, signals, "stop")
    shown = False
    while not stopping.done:
        since = time.monotonic() - began
        if since >= SLOW_STOP_SECONDS and not shown:
            shown = True
            sys.stderr.write(f"channel-emu: stopping has taken {since:.0f} s and goes on. Its threads:\n{stacks()}")
        number = signals.wait(None if shown else SLOW_STOP_SECONDS - since, stopping)
        if number is not None and time.monotonic() - began >= SAME_SIGNAL_SECONDS:
            name = signal.Signals(number).name
            sys.stderr.write(f"channel-emu: ended at once, because {name} came while it was stopping.\n")
            drain_log()
            os._exit(128 + number)
    stopping.result()


def stacks() -> str:
    """What each thread of this process is doing, the innermost call last."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    return "".join(
        f"Thread {names.get(ident, ident)}:\n{''.join(traceback.format_stack(frame))}"
        for ident, frame in sys._current_frames().items()
    )


def _nothing(number: int, frame: object) -> None:
    """For a signal that is waited for: without a handler in Python nothing would be written for it."""
