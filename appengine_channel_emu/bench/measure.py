"""What is measured with open pages: delivery, fan-out, throughput; and a whole measurement, with its figures."""

from __future__ import annotations

import itertools
import os
import platform
import random
import secrets
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, TextIO

from appengine_channel_emu.bench.pages import ANSWER_SECONDS, Pages, PageTransport
from appengine_channel_emu.bench.process import ServerProcess
from appengine_channel_emu.bench.sender import Sender, message_request, single_sends

Tell = Callable[[float], None]
"""Hears which share of the work is done, from 0 to 1."""

SENDERS = 4
IDS_A_CALL = 10_000

FEW_PAGES = 10
FAN_OUTS = 3
SETTLE_SECONDS = 0.5

BAR_WIDTH = 30
REDRAW_SECONDS = 0.1

OPENING, FEW, IDLE = "opening pages", "delivery, few pages", "idle"
DELIVERY, FAN_OUT, THROUGHPUT = "delivery", "fan-out", "throughput"


class Lost(Exception):
    """A message did not come within a minute."""


def _silent(share: float) -> None:
    pass


@dataclass(frozen=True)
class Plan:
    """How much is measured: `idle_seconds` of idling, and `seconds` of throughput."""

    pages: int = 1_000
    sends: int = 1_000
    seconds: float = 10.0
    idle_seconds: float = 10.0
    transport: PageTransport = "poll"

    def parts(self, idle: bool) -> dict[str, float]:
        """What is done, with the time that it takes, roughly."""
        parts = {FEW: self.sends / 1000, OPENING: self.pages / 1000, IDLE: self.idle_seconds}
        parts |= {DELIVERY: self.sends / 1000, FAN_OUT: FAN_OUTS * self.pages / 5000, THROUGHPUT: self.seconds}
        return parts if idle else {name: share for name, share in parts.items() if name != IDLE}


@dataclass
class Figures:
    """What was measured. Latencies in milliseconds, sorted; rates per second; None where it cannot be known here."""

    pages: int
    transport: PageTransport = "poll"
    few: list[float] = field(default_factory=list)
    """With `FEW_PAGES` pages open."""
    delivery: list[float] = field(default_factory=list)
    """With all of them."""
    opened_per_second: float = 0.0
    fan_out_per_second: float = 0.0
    fan_out_cpu: float | None = None
    """Microseconds of the server's CPU for each message of a fan-out, all that it leads to included."""
    throughput_per_second: float = 0.0
    idle_cpu: float | None = None
    """Percent of a core."""
    page_kib: float | None = None

    def rows(self) -> list[tuple[str, str]]:
        """What and how much, for people."""
        unknown = "not measured"
        return [
            (f"delivery with {FEW_PAGES} pages, p50 / p99", _latency(self.few)),
            (f"delivery with {self.pages:,} pages, p50 / p99", _latency(self.delivery)),
            (f"fan-out to {self.pages:,} pages", f"{1000 * self.pages / self.fan_out_per_second:,.0f} ms"),
            ("fan-out, messages a second", f"{self.fan_out_per_second:,.0f}"),
            ("CPU of a message of it", unknown if self.fan_out_cpu is None else f"{self.fan_out_cpu:,.0f} µs"),
            ("throughput, messages a second", f"{self.throughput_per_second:,.0f}"),
            ("pages opened a second", f"{self.opened_per_second:,.0f}"),
            ("CPU of idle pages", unknown if self.idle_cpu is None else f"{self.idle_cpu:.1f} % of a core"),
            ("memory of an idle page", unknown if self.page_kib is None else f"{self.page_kib:.1f} KiB"),
        ]

    def described(self) -> dict[str, Any]:
        """The same for programs."""
        summary = {
            name: {"p50_ms": percentile(times, 0.5), "p99_ms": percentile(times, 0.99), "max_ms": times[-1]}
            for name, times in (("few", self.few), ("delivery", self.delivery))
        }
        return asdict(self) | summary | {"few_pages": FEW_PAGES, "machine": machine()}


class Progress:
    """A progress bar, on a terminal alone; `parts` are what is to be done, each with its share of the time."""

    def __init__(self, parts: dict[str, float], stream: TextIO = sys.stderr) -> None:
        self._stream = stream
        self._shown = stream.isatty()
        self._parts = parts
        self._total = sum(parts.values())
        self._drawn = 0.0

    def part(self, name: str) -> Tell:
        """What is begun; call what this returns with the share of it that is done, from 0 to 1."""
        names = list(self._parts)
        before = sum(self._parts[each] for each in names[: names.index(name)])

        def tell(share: float) -> None:
            now = time.monotonic()
            if self._shown and now - self._drawn >= REDRAW_SECONDS:
                self._drawn = now
                self._draw((before + share * self._parts[name]) / self._total, name)

        self._drawn = 0.0
        tell(0.0)
        return tell

    def end(self) -> None:
        """Leave the line empty."""
        if self._shown:
            self._stream.write("\r\x1b[K")
            self._stream.flush()

    def _draw(self, share: float, name: str) -> None:
        full = round(share * BAR_WIDTH)
        self._stream.write(f"\r\x1b[K[{'#' * full}{'.' * (BAR_WIDTH - full)}] {share:4.0%}  {name}")
        self._stream.flush()


def machine() -> str:
    """What it was measured on."""
    cores = os.cpu_count() or 1
    return (
        f"{platform.system()} {platform.machine()}, {cores} {'core' if cores == 1 else 'cores'}, "
        f"Python {platform.python_version()}"
    )


def deliver(pages: Pages, sends: int, tell: Tell = _silent) -> list[float]:
    """Milliseconds from the send call to the message's arrival, sorted; one message at a time, to random pages."""
    chance = random.Random(1)  # noqa: S311
    names = list(pages.by_client)
    times = []
    for number in range(sends):
        name = chance.choice(names)
        began = time.perf_counter()
        pages.api.post("/_emu/messages", {"client_id": name, "message": str(number)})
        while not any(page.client_id == name for page, _ in pages.turn(5)):
            _check(time.perf_counter() - began)
        times.append((time.perf_counter() - began) * 1000)
        tell((number + 1) / sends)
    return sorted(times)


def fan_out(pages: Pages, tell: Tell = _silent) -> float:
    """Messages per second when each page gets one of the same call."""
    names = list(pages.by_client)
    calls = (names[first : first + IDS_A_CALL] for first in range(0, len(names), IDS_A_CALL))
    sends = (message_request({"client_ids": each, "message": "all"}) for each in calls)
    began = time.perf_counter()
    sender, received = Sender(pages, sends), 0
    while sender.waiting or received < len(names):
        received += sum(len(messages) for _, messages in pages.turn(1))
        _check(time.perf_counter() - began)
        tell(received / len(names))
    return len(names) / (time.perf_counter() - began)


def throughput(pages: Pages, seconds: float, tell: Tell = _silent) -> float:
    """Messages per second, each sent by a call of its own, over a few connections at once; none may be lost."""
    until = time.perf_counter() + seconds
    return _send_separately(
        pages, lambda: time.perf_counter() < until, lambda sent: 1 - (until - time.perf_counter()) / seconds, tell
    )


def send_each(pages: Pages, messages: int, tell: Tell = _silent) -> float:
    """The same with so many messages."""
    left = itertools.count(1)
    return _send_separately(pages, lambda: next(left) <= messages, lambda sent: sent / messages, tell)


def _send_separately(pages: Pages, wanted: Callable[[], bool], share: Callable[[int], float], tell: Tell) -> float:
    began = heard = time.perf_counter()
    senders = [Sender(pages, single_sends(pages, number, wanted)) for number in range(SENDERS)]
    received = 0
    while any(sender.waiting for sender in senders) or received < sum(sender.sent for sender in senders):
        arrived = sum(len(messages) for _, messages in pages.turn(0.1))
        received += arrived
        heard = time.perf_counter() if arrived else heard
        _check(time.perf_counter() - heard)
        tell(min(1.0, share(received)))
    return received / (time.perf_counter() - began)


def percentile(times: list[float], share: float) -> float:
    """Of sorted `times`, the one that `share` of them (0 to 1) do not exceed."""
    return times[min(int(len(times) * share), len(times) - 1)]


def _check(seconds: float) -> None:
    if seconds > ANSWER_SECONDS:
        raise Lost(f"a message did not come within {ANSWER_SECONDS:g} s")


def measure(url: str, plan: Plan, progress: Progress, process: ServerProcess | None) -> Figures:
    """Measure the emulator at `url`; `process` is where it runs, if that is known.

    Raises `Refused`, `Lost` or OSError; every socket that was opened is closed again.
    """
    figures = Figures(plan.pages, plan.transport)
    # Of no other run, nor of the user's own.
    few = Pages(url, f"bench-{secrets.token_hex(4)}-few", plan.transport)
    few.open(FEW_PAGES)
    few.rest(SETTLE_SECONDS)
    figures.few = deliver(few, plan.sends, progress.part(FEW))
    few.leave()
    pages = Pages(url, f"bench-{secrets.token_hex(4)}", plan.transport)
    try:
        _measure_all(pages, plan, figures, progress, process)
    finally:
        progress.end()
    pages.leave()
    return figures


def _measure_all(pages: Pages, plan: Plan, figures: Figures, progress: Progress, process: ServerProcess | None) -> None:
    memory = process.memory() if process else 0.0
    began = time.perf_counter()
    pages.open(plan.pages, progress.part(OPENING))
    figures.opened_per_second = plan.pages / (time.perf_counter() - began)
    pages.rest(SETTLE_SECONDS)
    if process:
        figures.page_kib = (process.memory() - memory) / plan.pages
        used = process.cpu()
        pages.rest(plan.idle_seconds, progress.part(IDLE))
        figures.idle_cpu = 100 * (process.cpu() - used) / plan.idle_seconds
    figures.delivery = deliver(pages, plan.sends, progress.part(DELIVERY))
    pages.rest(SETTLE_SECONDS)
    tell, used = progress.part(FAN_OUT), process.cpu() if process else 0.0
    figures.fan_out_per_second = statistics.median(fan_out(pages, tell) for _ in range(FAN_OUTS))
    pages.rest(SETTLE_SECONDS)  # For what pages say afterwards: their next polls, or which messages they have.
    if process:
        figures.fan_out_cpu = 1e6 * (process.cpu() - used) / (FAN_OUTS * plan.pages)
    figures.throughput_per_second = throughput(pages, plan.seconds, progress.part(THROUGHPUT))


def _latency(times: list[float]) -> str:
    return f"{percentile(times, 0.5):.2f} / {percentile(times, 0.99):.2f} ms"
