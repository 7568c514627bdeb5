"""Serve until told to stop: the ready line, signals, and exit codes (behaviour.md 12)."""

from __future__ import annotations

import gc
import logging
import signal
import sys
from collections.abc import Callable

from appengine_channel_emu.host.backend import Backend, CannotStart
from appengine_channel_emu.notes import Note
from appengine_channel_emu.server.listener import LOCALHOST, CannotListen
from appengine_channel_emu.server.service import Service
from appengine_channel_emu.server.signals import Job, Signals, see_the_end
from appengine_channel_emu.settings import Settings
from appengine_channel_emu.streams import say
from appengine_channel_emu.web.admin.server import Account
from appengine_channel_emu.web.front import access_log, printable

STOPPED = 0
COULD_NOT_START = 1

MAKING_SECONDS = 5.0
"""For what comes before the app's start, when it is to be stopped: opening the port and the store."""

SWITCH_SECONDS = 0.0005

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
        self.start = Job(self._start, signals, "start")

    def _start(self) -> None:
        self.service = Service(self._settings, self._make_backend)
        self.service.start()

    def stop(self) -> None:
        """Stop the service, also while it is still being started."""
        if self.service is None:
            self.start.wait(MAKING_SECONDS)
        if self.service is not None:
            self.service.stop()


def serve(settings: Settings, make_backend: Callable[[str], Backend | None]) -> int:
    """Serve `settings` until SIGTERM, SIGINT or SIGHUP; returns the exit code.

    `make_backend` is given the emulator's `host:port` and makes the app behind it, or None.
    """
    if settings.quiet:
        access_log.setLevel(logging.WARNING)
    with Signals(stop_signals()) as signals:
        return _serve_until_stopped(Serving(settings, make_backend, signals), signals)


def _serve_until_stopped(serving: Serving, signals: Signals) -> int:
    try:
        if signals.wait(job=serving.start) is not None:
            log.info("Stopped before the app could be served.")
            return STOPPED
        serving.start.result()
        _suit_the_interpreter()
        assert serving.service is not None
        _announce(serving.service)
        signals.wait()
    except (CannotListen, CannotStart, CannotAnnounce) as error:
        return _could_not_start(error)
    finally:
        see_the_end(serving.stop, signals)
    _report(serving.service)
    return STOPPED


def stop_signals() -> list[int]:
    """What ends the emulator. A SIGHUP that is ignored, as under nohup, stays so."""
    hangup = [] if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else [signal.SIGHUP]
    return [signal.SIGTERM, signal.SIGINT, *hangup]


def _suit_the_interpreter() -> None:
    # A thread that saves or proxies would keep the loop's, which answers calls and polls, waiting for 5 ms.
    sys.setswitchinterval(SWITCH_SECONDS)
    # Thousands of parked polls are no garbage, and looking through them would cost more than serving them.
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


def _report(service: Service) -> None:
    if not service.settings.quiet:
        _tell_accounts(service.front.accounts.all())
        _tell_notes(service.front.notes.all())


def _tell_accounts(accounts: list[Account]) -> None:
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
        )


def _tell_notes(notes: list[Note]) -> None:
    """What production would have done otherwise."""
    if notes:
        log.info("What production would have done:")
    for note in notes:
        log.info("- %s %s (Source: %s.)", note.text, note.cure, note.source)


def _announce(service: Service) -> None:
    if service.settings.host not in (LOCALHOST, "127.0.0.1", "::1"):
        log.warning("Other machines can reach this server: it is a tool for development and has no other protection.")
    # The one line on standard output, for people and for scripts that wait for it.
    try:
        say(f"channel-emu: ready at {service.url}")
    except OSError as error:
        raise CannotAnnounce(
            f"the ready line cannot be written to standard output: {error.strerror}. Nobody would hear that the "
            "emulator is ready, so it ends. To run it without that line: channel-emu serve > /dev/null"
        ) from None


def _could_not_start(error: Exception) -> int:
    print(f"channel-emu: {error}", file=sys.stderr)
    return COULD_NOT_START
