"""The broker's events as lines of the log: which level each kind has, and what it says. A flood stays readable."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping
from threading import Lock

from appengine_channel_emu.broker.clock import Scheduler
from appengine_channel_emu.broker.events import Event
from appengine_channel_emu.hints import quoted

MOST_WARNINGS = 20
MOST_LINES = 50
"""Of those that pages and apps cause, in a second; the rest is counted."""

event_log = logging.getLogger("channel_emu.event")


def _text(event: Event) -> str:
    return event.text + (f" [{quoted(event.client_id)}]" if event.client_id else "")


def _plain(event: Event) -> str:
    return event.text


def _dropped(event: Event) -> str:
    if event.client_id is None:
        return event.text
    return f"dropped for {quoted(event.client_id)}: {_clause(event.text)}"


def _opened(event: Event) -> str:
    mark = event.detail.get("opened_by")
    by = f" by {mark}" if mark else ""
    return f"opened for {quoted(event.client_id or '')}{by} ({event.detail.get('open', 1)} open)"


def _closed(event: Event) -> str:
    unread = event.detail.get("unread", 0)
    lost = f"; {unread} unread message{' is' if unread == 1 else 's are'} lost" if unread else ""
    return f"closed for {quoted(event.client_id or '')}: {_clause(event.text)}{lost}"


def _presence(event: Event) -> str:
    status, milliseconds = event.detail.get("status"), event.detail.get("milliseconds")
    took = f" in {milliseconds:.0f} ms" if milliseconds is not None else ""
    post = f"POST /_ah/channel/{event.detail.get('presence')}/ from={quoted(event.client_id or '')[1:-1]}"
    if event.kind == "presence_sent" or event.text.startswith("The app answered"):
        return f"{post}: the app answered {status}{took}"
    return f"{post}: {_clause(event.text)}{took and f' ({took.strip()})'}"


def _clause(sentence: str) -> str:
    """`sentence` behind a colon."""
    return f"{sentence[:1].lower()}{sentence[1:]}".removesuffix(".")


Line = Callable[[Event], str]

_CAUSED: dict[str, tuple[int, Line]] = {
    "message_dropped": (logging.WARNING, _dropped),
    "message_mended": (logging.WARNING, _text),
    "request_refused": (logging.WARNING, _plain),
    "open_refused": (logging.WARNING, _plain),
    "call_refused": (logging.WARNING, _plain),
    "csp_blocks": (logging.WARNING, _text),
    "presence_failed": (logging.WARNING, _presence),
    "presence_sent": (logging.INFO, _presence),
    "socket_opened": (logging.INFO, _opened),
    "socket_closed": (logging.INFO, _closed),
    "socket_cut": (logging.INFO, _text),
    "fault": (logging.INFO, _text),
    "call_not_found": (logging.INFO, _text),
}
"""What pages, apps and anybody's requests cause."""

_OWN: Mapping[str, tuple[int, Line]] = dict.fromkeys(
    (
        "request_cut",
        "unclean_start",
        "stale_start",
        "state_set_aside",
        "store_failed",
        "store_works",
        "connections_refused",
        "connections_accepted",
        "tokens_full",
        "backlog_full",
    ),
    (logging.WARNING, _text),
) | dict.fromkeys(("clock_advanced", "clock_frozen", "reset"), (logging.INFO, _text))
"""What is said however much else is."""

_OTHER = logging.DEBUG, _text


class EventLines:
    """Writes each event to the log; give it to `EventLog.listen`. `quiet`: nothing that is no warning."""

    def __init__(self, scheduler: Scheduler, quiet: bool = False) -> None:
        self._quiet = quiet
        self._measures = {
            logging.WARNING: _Measure(scheduler, logging.WARNING, MOST_WARNINGS),
            logging.INFO: _Measure(scheduler, logging.INFO, MOST_LINES),
        }

    def __call__(self, event: Event) -> None:
        """Write it, in its measure."""
        caused = _CAUSED.get(event.kind)
        level, line = caused or _OWN.get(event.kind, _OTHER)
        if (self._quiet and level < logging.WARNING) or not event_log.isEnabledFor(level):
            return
        if caused is None or self._measures[level].lets(event.kind):
            event_log.log(level, "%s", line(event), extra={"event": event})


class _Measure:
    """Lets so many through in a second; how many the others were is said at its end."""

    def __init__(self, scheduler: Scheduler, level: int, most: int) -> None:
        self._scheduler = scheduler
        self._level = level
        self._most = most
        self._lock = Lock()
        self._ends = 0.0
        self._number = 0
        self._more: Counter[str] = Counter()

    def lets(self, kind: str) -> bool:
        """Whether one of that kind may be written."""
        now = self._scheduler.now()
        with self._lock:
            if now >= self._ends:
                self._ends, self._number = now + 1, 0
            self._number += 1
            if self._number <= self._most:
                return True
            first = not self._more
            self._more[kind] += 1
        if first:
            self._scheduler.at(now + 1, self._tell)
        return False

    def _tell(self) -> None:
        with self._lock:
            more, self._more = self._more, Counter()
        kinds = ", ".join(f"{number} of {kind}" for kind, number in more.most_common())
        event_log.log(self._level, "Not shown in the last second: %s. The console at /_emu/ has the latest.", kinds)
