"""What one server costs its pages: a round of peers.py."""

from __future__ import annotations

import math
import statistics
import sys
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from appengine_channel_emu.bench.measure import deliver, fan_out, percentile, send_each
from appengine_channel_emu.bench.pages import Pages
from appengine_channel_emu.bench.process import ServerProcess

FAN_OUTS = 3
POLLED_SECONDS = 0.2
"""Until the pages have polled again."""


@dataclass(frozen=True)
class Amounts:
    """How much is measured: in each of the rounds so many pages and deliveries, with such pauses."""

    rounds: int
    pages: int
    pages_with_posts: int
    sends: int
    settle_seconds: float


@dataclass(frozen=True)
class Costs:
    """Of one server: microseconds of CPU for a message, messages a second, milliseconds, KiB; NaN is not measured."""

    fan_out_cpu: float
    fan_out_rate: float
    post_cpu: float
    post_rate: float
    post_rate_all: float
    p50: float
    p99: float
    page: float


def measure(server: ServerProcess, amounts: Amounts) -> Costs:
    """One round of one server."""
    pages = Pages(server.url)
    memory = server.memory()
    pages.open(amounts.pages_with_posts)
    pages.rest(amounts.settle_seconds)
    posts = used_by(server, pages, lambda: send_each(pages, 2 * amounts.pages_with_posts))
    pages.open(amounts.pages - amounts.pages_with_posts)
    pages.rest(amounts.settle_seconds)
    page = (server.memory() - memory) / amounts.pages
    delays = deliver(pages, amounts.sends)
    fan_out(pages)
    pages.rest(amounts.settle_seconds)
    fan_outs = [used_by(server, pages, lambda: fan_out(pages)) for _ in range(FAN_OUTS)]
    pages.rest(amounts.settle_seconds)
    rate = send_each(pages, amounts.pages)
    pages.vanish(len(pages))
    return Costs(
        fan_out_cpu=1e6 * statistics.median(cpu for cpu, _ in fan_outs) / amounts.pages,
        fan_out_rate=statistics.median(rate for _, rate in fan_outs),
        post_cpu=1e6 * posts[0] / (2 * amounts.pages_with_posts),
        post_rate=posts[1],
        post_rate_all=rate,
        p50=percentile(delays, 0.5),
        p99=percentile(delays, 0.99),
        page=page,
    )


def used_by(server: ServerProcess, pages: Pages, action: Callable[[], float]) -> tuple[float, float]:
    """Seconds of the server's CPU that it takes, with the polls that follow it; and what it returns."""
    used = server.cpu()
    result = action()
    pages.rest(POLLED_SECONDS)
    return server.cpu() - used, result


def median_of(rounds: list[Costs]) -> Costs:
    """The median of each figure."""
    return Costs(**{each.name: statistics.median(getattr(one, each.name) for one in rounds) for each in fields(Costs)})


def figure(value: float) -> str:
    """For people."""
    if math.isnan(value):
        return "-"
    return f"{value:,.0f}" if value >= 20 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"
