"""Thousands of idle pages: what they cost, and what they do to delivery. Each figure beside its bar.

    python bench/scale.py [--quick]

Ratios come from one run on one machine; the raw server of `raw_server.py` is measured first, in the same way.
"""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path

from crowds import measure_crowds
from report import Report

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from appengine_channel_emu.bench.measure import deliver, fan_out, percentile
from appengine_channel_emu.bench.pages import Api, Pages
from appengine_channel_emu.bench.process import ServerProcess, allow_connections, emulator

QUICK = "--quick" in sys.argv
IDLE_SECONDS = 10 if QUICK else 60
SLEEP_SECONDS = 8 if QUICK else 20
SENDS = 300 if QUICK else 1_000
CPU_SENDS = 1_000
"""The system counts CPU in hundredths of a second."""
RAW = [sys.executable, str(Path(__file__).with_name("raw_server.py"))]


def health_rate(pages: Pages, seconds: float = 2) -> float:
    """`/_emu/health` requests per second over one connection."""
    api = Api(pages.url)
    count, until = 0, time.perf_counter() + seconds
    while time.perf_counter() < until:
        api.get("/_emu/health")
        count += 1
    return count / seconds


def raw_figures() -> tuple[float, float]:
    """The raw server's delivery p50 in milliseconds and fan-out rate with 5,000 idle pages."""
    with ServerProcess(RAW) as raw:
        pages = Pages(raw.url)
        pages.open(5_000)
        pages.rest(1)
        figures = percentile(deliver(pages, SENDS), 0.5), statistics.median(fan_out(pages) for _ in range(3))
        pages.vanish(len(pages))
        return figures


def grow(report: Report) -> None:
    """From 100 pages to 10,000 in one process."""
    raw_p50, raw_rate = raw_figures()
    with emulator("--quiet") as server:
        pages = Pages(server.url)
        pages.open(100)
        empty, threads = server.memory(), server.threads()
        pages.rest(1)
        few = deliver(pages, SENDS)
        few_health = health_rate(pages)
        pages.open(100)
        began = server.cpu()
        pages.rest(IDLE_SECONDS)
        report.row("CPU of 200 idle pages", (server.cpu() - began) / IDLE_SECONDS * 100, "%", 1)
        pages.open(800)
        per_message = cpu_per_message(server, pages)
        pages.open(4_000)
        pages.rest(1)
        many = deliver(pages, SENDS)
        report.row("delivery p50, 5,000 idle pages / 100", percentile(many, 0.5) / percentile(few, 0.5), "", 2.5)
        report.row("delivery p50, 5,000 idle pages", percentile(many, 0.5), "ms", max(1.0, 4 * raw_p50))
        report.row("delivery p99, 5,000 idle pages", percentile(many, 0.99), "ms", 5)
        rate = statistics.median(fan_out(pages) for _ in range(3))
        report.row("fan-out to 5,000, raw server's rate / ours", raw_rate / rate, "", 12)
        report.row("CPU per message, 5,000 pages / 1,000", cpu_per_message(server, pages) / per_message, "", 1.4)
        report.row("health requests/s, 5,000 parked / 100", health_rate(pages) / few_health, "", 0.6, at_most=False)
        pages.open(4_900)
        report.row("memory per idle page, 9,900 pages", (server.memory() - empty) / 9_800, "KiB", 12)
        report.row("threads more than with 100 pages", server.threads() - threads, "", 0)
        began = server.cpu()
        pages.rest(IDLE_SECONDS)
        cpu = (server.cpu() - began) / IDLE_SECONDS * 100
        report.row("CPU of 9,900 idle pages, as of 10,000", cpu * 10_000 / 9_900, "%", 8)
        pages.vanish(len(pages))


def cpu_per_message(server: ServerProcess, pages: Pages) -> float:
    """Seconds of the server's CPU for one delivered message, re-polls of the others included; a median of three."""
    pages.rest(1)  # What came before has its re-polls behind it.
    costs = []
    for _ in range(3):
        began = server.cpu()
        deliver(pages, CPU_SENDS)
        costs.append((server.cpu() - began) / CPU_SENDS)
    return statistics.median(costs)


def main() -> int:
    """Print the table; 1 when a bar is missed."""
    if not allow_connections(15_000):
        sys.exit("too few open files are allowed: ulimit -n 16000")
    report = Report()
    grow(report)
    measure_crowds(report, SLEEP_SECONDS, SENDS)
    return int(report.missed > 0)


if __name__ == "__main__":
    sys.exit(main())
