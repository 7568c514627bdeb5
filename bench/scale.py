"""Thousands of idle pages: what they cost, and what they do to delivery. Each figure beside its bar.

    python bench/scale.py [--quick]

Ratios come from one run on one machine; the raw server of `raw_server.py` is measured first, in the same way. What an
idle page takes in memory is measured without the event log, which is bounded whatever there is: a row has its own.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from command_line import parser
from crowds import measure_crowds
from report import Report

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from appengine_channel_emu.bench.measure import deliver, fan_out, percentile, send_each
from appengine_channel_emu.bench.pages import Api, Pages
from appengine_channel_emu.bench.process import ServerProcess, allow_connections, emulator

CPU_SENDS = 1_000
"""Deliveries of which the CPU is looked at."""
CONNECTED = 5_000
SENT_TO = 3
RAW = [sys.executable, str(Path(__file__).with_name("raw_server.py"))]
SHORT_LOG = ["--event-log", "100"]


@dataclass(frozen=True)
class Amounts:
    """How much is measured: seconds of idling and of an app that sleeps, and deliveries."""

    idle_seconds: float = 60.0
    sleep_seconds: float = 20.0
    sends: int = 1_000


QUICK = Amounts(10.0, 8.0, 300)


def health_rate(pages: Pages, seconds: float = 2) -> float:
    """`/_emu/health` requests per second over one connection."""
    api = Api(pages.url)
    count, until = 0, time.perf_counter() + seconds
    while time.perf_counter() < until:
        api.get("/_emu/health")
        count += 1
    return count / seconds


def raw_figures(sends: int) -> tuple[float, float]:
    """The raw server's delivery p50 in milliseconds and fan-out rate with 5,000 idle pages."""
    with ServerProcess(RAW) as raw:
        pages = Pages(raw.url)
        pages.open(5_000)
        pages.rest(1)
        figures = percentile(deliver(pages, sends), 0.5), statistics.median(fan_out(pages) for _ in range(3))
        pages.vanish(len(pages))
        return figures


def grow(report: Report, amounts: Amounts) -> None:
    """From 100 pages to 10,000 in one process."""
    raw_p50, raw_rate = raw_figures(amounts.sends)
    with emulator("--quiet", *SHORT_LOG) as server:
        pages = Pages(server.url)
        pages.open(100)
        empty, threads = server.memory(), server.threads()
        pages.rest(1)
        few = deliver(pages, amounts.sends)
        few_health = health_rate(pages)
        pages.open(100)
        report.row("CPU of 200 idle pages", idle_cpu(server, pages, amounts.idle_seconds), "%", 1)
        pages.open(800)
        per_message = cpu_per_message(server, pages)
        pages.open(4_000)
        pages.rest(1)
        many = deliver(pages, amounts.sends)
        report.row("delivery p50, 5,000 idle pages / 100", percentile(many, 0.5) / percentile(few, 0.5), "", 2.5)
        report.row("delivery p50, 5,000 idle pages", percentile(many, 0.5), "ms", max(1.0, 4 * raw_p50))
        report.row("delivery p99, 5,000 idle pages", percentile(many, 0.99), "ms", 5)
        rate = statistics.median(fan_out(pages) for _ in range(3))
        report.row("fan-out to 5,000, raw server's rate / ours", raw_rate / rate, "", 12)
        report.row("CPU per message, 5,000 pages / 1,000", cpu_per_message(server, pages) / per_message, "", 1.4)
        report.row("health requests/s, 5,000 parked / 100", health_rate(pages) / few_health, "", 0.6, at_most=False)
        pages.open(4_900)
        # What its messages took once is part of it.
        report.row("memory per idle page, 9,900 pages, event log apart", (server.memory() - empty) / 9_800, "KiB", 6.5)
        report.row("threads more than with 100 pages", server.threads() - threads, "", 0)
        cpu = idle_cpu(server, pages, amounts.idle_seconds)
        report.row("CPU of 9,900 idle pages, as of 10,000", cpu * 10_000 / 9_900, "%", 3)
        pages.vanish(len(pages))


def idle_cpu(server: ServerProcess, pages: Pages, seconds: float) -> float:
    """Percent of a core, over so many seconds."""
    used = server.cpu()
    pages.rest(seconds)
    return (server.cpu() - used) / seconds * 100


def cpu_per_message(server: ServerProcess, pages: Pages) -> float:
    """Seconds of the server's CPU for one delivered message, re-polls of the others included; a median of three."""
    pages.rest(1)  # What came before has its re-polls behind it.
    return statistics.median(cpu_of(server, lambda: deliver(pages, CPU_SENDS)) / CPU_SENDS for _ in range(3))


def cpu_of(server: ServerProcess, action: Callable[[], object]) -> float:
    """Seconds of the server's CPU that it takes."""
    used = server.cpu()
    action()
    return server.cpu() - used


def log_of_its_own(report: Report) -> None:
    """What the event log takes when it is full."""
    with emulator("--quiet") as server:
        api, before = Api(server.url), server.memory()
        number = 0
        while api.get("/_emu/events?last=1")["next"] <= 10_000:
            for _ in range(1_000):
                api.post("/_emu/channels", {"client_id": f"nobody-{number % 100}"})
                number += 1
        report.note("memory of a full event log, 10,000 events", (server.memory() - before) / 1024, "MiB")


def sends_to_many(report: Report) -> None:
    """One call for thousands, and a call for each: the sends alone, and with all that a parked poll makes of them."""
    with emulator("--quiet") as server:
        pages = Pages(server.url)
        names = [page.client_id for page in pages.prepare(CONNECTED)]
        api = Api(server.url)

        def send_to_all() -> None:
            api.post("/_emu/messages", {"client_ids": names, "message": "all"})

        def send_to_each() -> None:
            for name in names:
                api.post("/_emu/messages", {"client_id": name, "message": "one"})

        together = statistics.median(cpu_of(server, send_to_all) for _ in range(SENT_TO))
        each = statistics.median(cpu_of(server, send_to_each) for _ in range(SENT_TO))
        report.row("CPU of a send by client_ids to 5,000 / 5,000 single sends", together / each, "", 1 / 3)
    with emulator("--quiet") as server:
        pages = Pages(server.url)
        pages.open(CONNECTED)
        pages.rest(1)
        together = statistics.median(cpu_of(server, lambda: fan_out(pages)) for _ in range(SENT_TO))
        pages.rest(1)
        each = statistics.median(cpu_of(server, lambda: send_each(pages, CONNECTED)) for _ in range(SENT_TO))
        report.note("  the same with the polls that they answer", together / each, "")
        pages.vanish(len(pages))


def main() -> int:
    """Print the table; 1 when a bar is missed."""
    made = parser(__doc__, "about six minutes")
    made.add_argument("--quick", action="store_true", help="for a first look: two and a half minutes")
    amounts = QUICK if made.parse_args().quick else Amounts()
    if not allow_connections(15_000):
        sys.exit("too few open files are allowed: ulimit -n 16000")
    report = Report()
    grow(report, amounts)
    log_of_its_own(report)
    sends_to_many(report)
    measure_crowds(report, amounts.sleep_seconds, amounts.sends)
    return int(report.missed > 0)


if __name__ == "__main__":
    sys.exit(main())
