"""Serve until told to stop: the ready line, signals, and exit codes (behaviour.md 12)."""

from __future__ import annotations

import logging
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType

from appengine_channel_emu.host.backend import Backend, CannotStart
from appengine_channel_emu.server.listener import LOCALHOST, CannotListen
from appengine_channel_emu.server.service import Service
from appengine_channel_emu.settings import Settings

STOPPED = 0
COULD_NOT_START = 1

log = logging.getLogger("channel_emu")


def serve(settings: Settings, make_backend: Callable[[str], Backend | None]) -> int:
    """Serve `settings` until SIGTERM or SIGINT; returns the exit code.

    `make_backend` is given the emulator's `host:port` and makes the app behind it, or None.
    """
    stop = threading.Event()

    def on_signal(number: int, frame: FrameType | None) -> None:
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)
    try:
        service = Service(settings, make_backend)
    except CannotListen as error:
        return _could_not_start(error)
    try:
        service.start()
        if not stop.is_set():
            _announce(service)
        stop.wait()
    except CannotStart as error:
        return _could_not_start(error)
    finally:
        service.stop()
    return STOPPED


def _announce(service: Service) -> None:
    if service.settings.host not in (LOCALHOST, "127.0.0.1", "::1"):
        log.warning("Other machines can reach this server: it is a tool for development and has no other protection.")
    # The one line on standard output, for people and for scripts that wait for it.
    print(f"channel-emu: ready at {service.url}", flush=True)


def _could_not_start(error: Exception) -> int:
    print(f"channel-emu: {error}", file=sys.stderr)
    return COULD_NOT_START
