"""A whole measurement: its progress, and its figures as a table and as JSON."""

from __future__ import annotations

import os
import platform
import secrets
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, TextIO

from appengine_channel_emu.bench.measure import deliver, fan_out, percentile, throughput
from appengine_channel_emu.bench.pages import Pages
from appengine_channel_emu.bench.process import ServerProcess

FEW_PAGES = 10
FAN_OUTS = 3
SETTLE_SECONDS = 0.5

BAR_WIDTH = 30
REDRAW_SECONDS = 0.1

OPENING, FEW, IDLE = "opening pages", "delivery, few pages", "idle"
DELIVERY, FAN_OUT, THROUGHPUT = "delivery", "fan-out", "throughput"


@dataclass(frozen=True)
class Plan:
    """How much is measured: `seconds` of idling, and as many of throughput."""

    pages: int = 1_000
    sends: int = 1_000
    seconds: float = 10.0

    def parts(self, idle: bool) -> dict[str, float]:
        """What is done, with the time that it takes, roughly."""
        parts = {FEW: self.sends / 1000, OPENING: self.pages / 1000, IDLE: self.seconds}
        parts |= {DELIVERY: self.sends / 1000, FAN_OUT: FAN_OUTS * self.pages / 5000, THROUGHPUT: self.seconds}
        return parts if idle else {name: share for name, share in parts.items() if name != IDLE}


@dataclass
class Figures:
    """What was measured. Latencies in milliseconds, sorted; rates per second; None where it cannot be known here."""

    pages: int
    few: list[float] = field(default_factory=list)
    """With `FEW_PAGES` pages open."""
    delivery: list[float] = field(default_factory=list)
    """With all of them."""
    opened_per_second: float = 0.0
    fan_out_per_second: float = 0.0
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

    def part(self, name: str) -> Callable[[float], None]:
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


def measure(url: str, plan: Plan, progress: Progress, process: ServerProcess | None) -> Figures:
    """Measure the emulator at `url`; `process` is where it runs, if that is known.

    Raises `Refused`, `Lost` or OSError; every socket that was opened is closed again.
    """
    figures = Figures(plan.pages)
    # Of no other run, nor of the user's own.
    few = Pages(url, f"bench-{secrets.token_hex(4)}-few")
    few.open(FEW_PAGES)
    few.rest(SETTLE_SECONDS)
    figures.few = deliver(few, plan.sends, progress.part(FEW))
    few.leave()
    pages = Pages(url, f"bench-{secrets.token_hex(4)}")
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
        pages.rest(plan.seconds, progress.part(IDLE))
        figures.idle_cpu = 100 * (process.cpu() - used) / plan.seconds
    figures.delivery = deliver(pages, plan.sends, progress.part(DELIVERY))
    tell = progress.part(FAN_OUT)
    figures.fan_out_per_second = statistics.median(fan_out(pages, tell) for _ in range(FAN_OUTS))
    figures.throughput_per_second = throughput(pages, plan.seconds, progress.part(THROUGHPUT))


def _latency(times: list[float]) -> str:
    return f"{percentile(times, 0.5):.2f} / {percentile(times, 0.99):.2f} ms"
