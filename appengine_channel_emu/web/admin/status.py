"""`/_emu/status`: what runs here, in one answer: for `channel-emu status`, the ready banner and the console's head."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from appengine_channel_emu import __version__
from appengine_channel_emu.broker.contract import Broker
from appengine_channel_emu.host.backend import AppDescription


@dataclass(frozen=True, slots=True)
class About:
    """What the front is told of the server around it.

    settings:       by the names that users write.
    why_not_ready:  says why the app cannot be reached, None while it can.
    looks_for_app:  whether saying so takes a look at the app, and so may take a while.
    why_degraded:   says why channels do less than they should at this moment, None while all is well.
    app:            what runs behind the front; None where nothing does.
    url:            where the server answers, without a slash at its end; None where there is no server.
    node:           what this emulator is called among several on one Redis; None where it is alone.
    cluster:        says what those are; None where there are none.
    state_folder:   where tokens and sockets are kept over a restart; None where they are not.
    """

    settings: dict[str, Any] = field(default_factory=dict)
    why_not_ready: Callable[[], str | None] = lambda: None
    looks_for_app: bool = False
    why_degraded: Callable[[], str | None] = lambda: None
    app: AppDescription | None = None
    url: str | None = None
    state_folder: str | None = None
    node: str | None = None
    cluster: Callable[[], dict[str, Any]] | None = None


class Status:
    """The state of one emulator at a glance; counts of messages go on from its start, whatever is reset."""

    def __init__(self, broker: Broker, about: About) -> None:
        self._broker = broker
        self._about = about
        self._started = time.monotonic()

    def report(self) -> dict[str, Any]:
        """All of it, as plain JSON values; `uptime` and `deadline` are in seconds."""
        about, figures, totals = self._about, self._broker.figures, self._broker.control.totals()
        return {
            "version": __version__,
            "app": None if about.app is None else asdict(about.app),
            "url": about.url,
            "console": None if about.url is None else f"{about.url}/_emu/",
            "deadline": about.settings.get("request-deadline"),
            "state_dir": about.state_folder,
            "node": about.node,
            "uptime": round(time.monotonic() - self._started, 3),
            "pid": os.getpid(),
            "clock": clock_report(self._broker),
            "channels": totals.channels,
            "sockets": totals.sockets,
            "messages": {"sent": figures.sent, "dropped": figures.dropped.total()},
        }


def clock_report(broker: Broker) -> dict[str, Any]:
    """The broker's time, and what was done to it."""
    return {"now": broker.clock.now(), "frozen": broker.clock.frozen, "advanced": broker.control.travelled}
