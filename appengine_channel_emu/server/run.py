"""Serve until told to stop: the ready line, signals, and exit codes (behaviour.md 12)."""

from __future__ import annotations

import gc
import logging
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType

from appengine_channel_emu.host.backend import Backend, CannotStart
from appengine_channel_emu.notes import Note
from appengine_channel_emu.server.listener import LOCALHOST, CannotListen
from appengine_channel_emu.server.service import Service
from appengine_channel_emu.settings import Settings
from appengine_channel_emu.web.accounts import Account
from appengine_channel_emu.web.app import access_log, printable

STOPPED = 0
COULD_NOT_START = 1

SWITCH_SECONDS = 0.0005

REPORTED_PATHS = 20

log = logging.getLogger("channel_emu")


class StoppedAtStart(BaseException):
    """A signal came while the app was being started, which may take a minute when it hangs."""


def serve(settings: Settings, make_backend: Callable[[str], Backend | None]) -> int:
    """Serve `settings` until SIGTERM or SIGINT; returns the exit code.

    `make_backend` is given the emulator's `host:port` and makes the app behind it, or None.
    """
    stop = threading.Event()
    starting = False
    if settings.quiet:
        access_log.setLevel(logging.WARNING)

    def on_signal(number: int, frame: FrameType | None) -> None:
        already = stop.is_set()
        stop.set()
        if starting and not already:
            raise StoppedAtStart

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)
    try:
        service = Service(settings, make_backend)
    except CannotListen as error:
        return _could_not_start(error)
    try:
        starting = True
        if not stop.is_set():
            service.start()
        starting = False
        _serve_until(stop, service)
    except StoppedAtStart:
        log.info("Stopped before the app could be served.")
    except CannotStart as error:
        starting = False
        return _could_not_start(error)
    finally:
        service.stop()
    if not settings.quiet:
        _report(service.front.accounts.all())
        _tell_notes(service.front.notes.all())
    return STOPPED


def _serve_until(stop: threading.Event, service: Service) -> None:
    _suit_the_interpreter()
    if not stop.is_set():
        _announce(service)
    stop.wait()


def _suit_the_interpreter() -> None:
    # A thread that saves or proxies would keep the loop's, which answers calls and polls, waiting for 5 ms.
    sys.setswitchinterval(SWITCH_SECONDS)
    # Thousands of parked polls are no garbage, and looking through them would cost more than serving them.
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


def _report(accounts: list[Account]) -> None:
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
    print(f"channel-emu: ready at {service.url}", flush=True)


def _could_not_start(error: Exception) -> int:
    print(f"channel-emu: {error}", file=sys.stderr)
    return COULD_NOT_START
