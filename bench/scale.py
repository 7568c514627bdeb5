"""Thousands of idle pages: what they cost, and what they do to delivery. Each figure beside its bar.

    python bench/scale.py [--quick]

Ratios come from one run on one machine; the raw server of `raw_server.py` is measured in between, in the same way.
"""

from __future__ import annotations

import os
import random
import resource
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

from pages import Api, Pages

QUICK = "--quick" in sys.argv
IDLE_SECONDS = 10 if QUICK else 60
SENDS = 300 if QUICK else 1_000
HERE = Path(__file__).parent
EMULATOR = [sys.executable, "-m", "appengine_channel_emu", "serve", "--port", "0", "--state-dir", "none"]
RAW = [sys.executable, str(HERE / "raw_server.py")]


class Server:
    """A server process, and what it has used."""

    def __init__(self, command: list[str]) -> None:
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().split()[-1].decode()

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *unused: object) -> None:
        self._process.kill()
        self._process.wait()

    def cpu(self) -> float:
        """Seconds of CPU so far."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory(self) -> float:
        """Resident KiB."""
        lines = Path(f"/proc/{self._process.pid}/status").read_text().splitlines()
        return float(next(line for line in lines if line.startswith("VmRSS")).split()[1])

    def threads(self) -> int:
        """How many there are."""
        return len(list(Path(f"/proc/{self._process.pid}/task").iterdir()))


def deliver(pages: Pages, sends: int) -> list[float]:
    """Milliseconds from the send call to the message's arrival, sorted; one message at a time, to random pages."""
    chance = random.Random(1)
    names = list(pages.by_client)
    times = []
    for number in range(sends):
        name = chance.choice(names)
        began = time.perf_counter()
        pages.api.post("/_emu/messages", {"client_id": name, "message": str(number)})
        while not any(page.client_id == name for page, _ in pages.turn(5)):
            pass
        times.append((time.perf_counter() - began) * 1000)
    return sorted(times)


def fan_out(pages: Pages) -> float:
    """Messages per second when each page gets one of the same call."""
    wanted = len(pages.by_client)
    began = time.perf_counter()
    sender = threading.Thread(
        target=Api(pages.url).post, args=("/_emu/messages", {"client_ids": list(pages.by_client), "message": "all"})
    )
    sender.start()
    while wanted > 0:
        wanted -= sum(len(messages) for _, messages in pages.turn(10))
    sender.join()
    return len(pages.by_client) / (time.perf_counter() - began)


def health_rate(pages: Pages, seconds: float = 2) -> float:
    """`/_emu/health` requests per second over one connection."""
    api = Api(pages.url)
    count, until = 0, time.perf_counter() + seconds
    while time.perf_counter() < until:
        api.get("/_emu/health")
        count += 1
    return count / seconds


def percentile(times: list[float], share: float) -> float:
    return times[int(len(times) * share)]


class Report:
    """Rows of figure, bar and verdict."""

    def __init__(self) -> None:
        self.missed = 0

    def row(self, what: str, figure: float, unit: str, bar: float, at_most: bool = True) -> None:
        """Print one figure beside its bar."""
        good = figure <= bar if at_most else figure >= bar
        self.missed += not good
        print(
            f"{'ok  ' if good else 'MISS'} {what:62} {figure:9.3f} {unit:6} (bar {'<=' if at_most else '>='} {bar:g})"
        )


def raw_figures() -> tuple[float, float]:
    """The raw server's delivery p50 in milliseconds and fan-out rate with 5,000 idle pages."""
    with Server(RAW) as raw:
        pages = Pages(raw.url)
        pages.open(5_000)
        pages.rest(1)
        return percentile(deliver(pages, SENDS), 0.5), statistics.median(fan_out(pages) for _ in range(3))


def grow(report: Report) -> None:
    """From 100 pages to 10,000 in one process."""
    raw_p50, raw_rate = raw_figures()
    with Server(EMULATOR) as server:
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


def cpu_per_message(server: Server, pages: Pages) -> float:
    """Seconds of the server's CPU for one delivered message."""
    began = server.cpu()
    deliver(pages, SENDS)
    return (server.cpu() - began) / SENDS


def main() -> int:
    """Print the table; 1 when a bar is missed."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    report = Report()
    grow(report)
    return int(report.missed > 0)


if __name__ == "__main__":
    sys.exit(main())
