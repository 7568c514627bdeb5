"""The emulator in the test's own process."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from appengine_channel_emu.server.service import Service
from appengine_channel_emu.settings import Settings


@contextlib.contextmanager
def running_service(short_path: bool = True, **settings: Any) -> Iterator[Service]:
    """The server without an app, on a port of its own, while the block runs; it keeps nothing."""
    service = Service(Settings(port=0, state_dir="none", **settings), lambda address: None, short_path)
    service.start()
    try:
        yield service
    finally:
        service.stop()
