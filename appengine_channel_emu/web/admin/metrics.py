"""`/_emu/metrics`: what the emulator has counted, in Prometheus's text format 0.0.4 (docs/metrics.md).

No label holds a client id, a token or a path: what a visitor or an app makes up must not become a time series.
"""

from __future__ import annotations

import math
import platform
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from threading import Lock
from typing import Literal

import falcon

from appengine_channel_emu import __version__
from appengine_channel_emu.broker.contract import Broker
from appengine_channel_emu.broker.events import Event
from appengine_channel_emu.broker.figures import Histogram
from appengine_channel_emu.web.resources import Query

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

PREFIX = "channel_emu_"

Sample = tuple[str, dict[str, str], float]
"""What stands behind the family's name, the labels, and the value."""


@dataclass(frozen=True, slots=True)
class MetricFamily:
    """The samples of one name, which counts what `help` says."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    samples: list[Sample]

    def lines(self) -> Iterator[str]:
        """In the format's words; a help text of ours has neither backslashes nor line feeds."""
        name = PREFIX + self.name
        yield f"# HELP {name} {self.help}"
        yield f"# TYPE {name} {self.kind}"
        for suffix, labels, value in self.samples:
            named = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels.items())
            yield f"{name}{suffix}{{{named}}} {_number(value)}" if named else f"{name}{suffix} {_number(value)}"


class MetricsResource:
    """`GET /_emu/metrics`. `answered` tells how many requests the app has answered, by class of status.

    `node` is what this emulator is called among several on one Redis.
    """

    def __init__(self, broker: Broker, answered: Callable[[], Mapping[str, int]], node: str | None = None) -> None:
        self._broker = broker
        self._answered = answered
        self._node = node
        self._events = _EventCounts()
        broker.events.listen(self._events)
        # Of the machine: the broker's clock may have been moved.
        self._started = time.time()

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """All of them; there are no parameters."""
        Query(req)
        resp.content_type = CONTENT_TYPE
        lines = (line for family in self._families() for line in family.lines())
        resp.data = "".join(f"{line}\n" for line in lines).encode("utf-8")

    def _build(self) -> dict[str, str]:
        build = {"version": __version__, "python": platform.python_version()}
        return build if self._node is None else build | {"node": self._node}

    def _families(self) -> Iterable[MetricFamily]:
        yield MetricFamily(
            "build_info",
            "gauge",
            "The emulator that runs here; always 1.",
            [("", self._build(), 1)],
        )
        yield _one("start_time_seconds", "gauge", "When it started, in seconds since 1970.", self._started)
        yield from self._of_channels()
        yield from self._of_messages()
        yield from self._of_requests()
        events = self._broker.events
        yield _one("events_total", "counter", "Events since the start.", events.last_number)
        yield _one("event_log_events", "gauge", "Events that are kept.", len(events.after(0)))
        yield _one("event_log_limit", "gauge", "Events that are kept at most.", events.length)

    def _of_channels(self) -> Iterable[MetricFamily]:
        totals = self._broker.control.totals()
        yield _one("channels", "gauge", "Client ids with a socket or a valid token.", totals.channels)
        yield _by("sockets", "gauge", "Sockets, by what serves them now.", "transport", totals.sockets)
        presence = dict(self._broker.figures.presence)
        yield MetricFamily(
            "presence_posts_total",
            "counter",
            "Presence posts that have ended, by the status of the app's answer; none: no answer.",
            [
                ("", {"presence": what, "status": "none" if status is None else str(status)}, count)
                for (what, status), count in presence.items()
            ],
        )

    def _of_messages(self) -> Iterable[MetricFamily]:
        figures = self._broker.figures
        yield _one("messages_sent_total", "counter", "Messages that went to at least one socket.", figures.sent)
        dropped = dict(figures.dropped)
        yield _by("messages_dropped_total", "counter", "Messages that went to none, by why.", "reason", dropped)
        yield _histogram(
            "delivery_latency_seconds",
            "From the send until the page said that it has the message, for each socket; on the emulator's clock.",
            figures.latency,
        )
        yield _one("polls_total", "counter", "Polls of pages.", figures.polls)
        yield _one("streams_total", "counter", "WebSockets of pages that began.", figures.streams)

    def _of_requests(self) -> Iterable[MetricFamily]:
        figures, events = self._broker.figures, self._events
        answered = self._answered()
        yield _by("app_requests_total", "counter", "Requests that the app has answered.", "status", answered)
        yield _one("app_requests_cut_total", "counter", "Requests of the app cut at their deadline.", figures.cut)
        refused = dict(figures.refused)
        yield _by("requests_refused_total", "counter", "Requests that were refused, by the rule.", "rule", refused)
        cut = events.counts["socket_cut"]
        yield _one("connections_cut_total", "counter", "Connections of sockets that were cut by hand.", cut)
        yield _one("faults_total", "counter", "Faults on request that have happened.", events.counts["fault"])


class _EventCounts:
    """Counts events that nothing else counts."""

    def __init__(self) -> None:
        self._lock = Lock()
        self.counts = {"socket_cut": 0, "fault": 0}

    def __call__(self, event: Event) -> None:
        if event.kind in self.counts:
            with self._lock:
                self.counts[event.kind] += 1


def _one(name: str, kind: Literal["counter", "gauge"], text: str, value: float) -> MetricFamily:
    return MetricFamily(name, kind, text, [("", {}, value)])


def _by(
    name: str, kind: Literal["counter", "gauge"], text: str, label: str, values: Mapping[str, float]
) -> MetricFamily:
    return MetricFamily(name, kind, text, [("", {label: key}, value) for key, value in values.items()])


def _histogram(name: str, text: str, values: Histogram) -> MetricFamily:
    buckets: list[Sample] = [("_bucket", {"le": _number(bound)}, count) for bound, count in values.cumulative()]
    # Of the same moment as the buckets: messages may arrive meanwhile.
    return MetricFamily(name, "histogram", text, [*buckets, ("_sum", {}, values.total), ("_count", {}, buckets[-1][2])])


def _number(value: float) -> str:
    return "+Inf" if value == math.inf else repr(value)


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
