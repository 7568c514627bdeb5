"""Beside the SDK's dev server, in one run: delivery, fan-out to 500 pages, and what 200 idle pages cost.

    python bench/dev_server.py [--quick]

The same app runs at the emulator's first door, at its SDK door and on the real `dev_appserver.py`. Times are from the
call of `send_message` in the app to the message's arrival; all processes read the same clock. What a server uses is
that of all its processes. Needs Python 2.7 and the SDK.
"""

from __future__ import annotations

import contextlib
import os
import queue
import random
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol
from urllib.request import urlopen

from polled import PolledPages
from report import Report

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from appengine_channel_emu.bench.measure import percentile
from appengine_channel_emu.bench.pages import Pages
from appengine_channel_emu.bench.process import allow_connections
from tests.support.emulator import RunningEmulator
from tests.support.legacy import PlainSdk, Server, emulated

QUICK = "--quick" in sys.argv
SENDS = 60 if QUICK else 300
IDLE_SECONDS = 10 if QUICK else 30
IDLE_PAGES, ALL_PAGES = 200, 500
ROUNDS = 3
PATIENCE = 30.0
"""Seconds after which a message counts as lost."""
APP = Path(__file__).parent / "many_app"


class AnyPages(Protocol):
    """Open pages, whose messages go into `arrivals`."""

    arrivals: queue.Queue[tuple[str, str, float]]

    def open(self, count: int) -> None:
        """Open `count` more."""

    def stop(self) -> None:
        """Open no more, and close all."""


class PushedPages:
    """Pages of the emulator."""

    def __init__(self, url: str) -> None:
        self._pages = Pages(url)
        self._lock = threading.Lock()
        self._stopping = False
        self.arrivals: queue.Queue[tuple[str, str, float]] = queue.Queue()
        threading.Thread(target=self._run, daemon=True).start()

    def open(self, count: int) -> None:
        """See `AnyPages`."""
        with self._lock:
            self._pages.open(count)

    def stop(self) -> None:
        """See `AnyPages`."""
        self._stopping = True

    def _run(self) -> None:
        while not self._stopping:
            with self._lock:
                arrived, now = self._pages.turn(0.05), time.time()
            for page, messages in arrived:
                for message in messages:
                    self.arrivals.put((page.client_id, message, now))


class Measured:
    """What one server did; latencies in seconds, sorted."""

    def __init__(self, name: str, url: str, process_id: int, pages: AnyPages) -> None:
        self.name = name
        self._url = url
        self._pages = pages
        pages.open(IDLE_PAGES)
        time.sleep(3)
        used = cpu(process_id)
        time.sleep(IDLE_SECONDS)
        self.idle = 100 * (cpu(process_id) - used) / IDLE_SECONDS
        self.delivery = self._deliver()
        pages.open(ALL_PAGES - IDLE_PAGES)
        time.sleep(3)
        rounds = [self._fan_out() for _ in range(ROUNDS)]
        self.fan_out = statistics.median(seconds for seconds, _ in rounds)
        self.lost = sum(lost for _, lost in rounds)
        pages.stop()
        print(
            f"{name:26} {self.at(0.5):9.2f} ms {self.at(0.99):9.2f} ms {self.fan_out:9.3f} s {self.lost:6} "
            f"{self.idle:8.2f} %",
            flush=True,
        )

    def at(self, share: float) -> float:
        """A percentile of delivery, in milliseconds."""
        return 1000 * percentile(self.delivery, share)

    def _deliver(self) -> list[float]:
        """Messages to random pages, with pauses of random length in between."""
        chance = random.Random(1)
        for _ in range(SENDS):
            ask(f"{self._url}/send/page-{chance.randrange(IDLE_PAGES)}")
            time.sleep(chance.uniform(0, 0.1))
        return sorted(arrived - float(message) for _, message, arrived in self._arrivals(SENDS))

    def _fan_out(self) -> tuple[float, int]:
        """Seconds until the last page has the message, and how many never got it."""
        ask(f"{self._url}/all/{ALL_PAGES}")
        arrived = list(self._arrivals(ALL_PAGES))
        return max(at - float(message) for _, message, at in arrived), ALL_PAGES - len({page for page, _, _ in arrived})

    def _arrivals(self, count: int) -> Iterator[tuple[str, str, float]]:
        with contextlib.suppress(queue.Empty):
            for _ in range(count):
                yield self._pages.arrivals.get(timeout=PATIENCE)


def cpu(process_id: int) -> float:
    """Seconds that the process and all its descendants have used (proc(5))."""
    fields = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()
    used = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    for task in Path(f"/proc/{process_id}/task").iterdir():
        used += sum(cpu(int(child)) for child in (task / "children").read_text().split())
    return used


def ask(url: str) -> None:
    """GET, without looking at the answer."""
    with urlopen(url, timeout=300) as answer:
        answer.read()


def main() -> int:
    """1 where a bar is missed."""
    allow_connections(ALL_PAGES)
    print(f"{'':26} {'delivery p50':>12} {'p99':>12} {'fan-out':>11} {'lost':>6} {'idle CPU':>10}")
    with tempfile.TemporaryDirectory() as folder:
        ours = [
            run("channel-emu, first door", RunningEmulator("--no-sdk", str(APP), log=Path(folder, "first.log"))),
            run("channel-emu, SDK door", emulated(APP, Path(folder, "second.log"))),
        ]
        real = run("dev_appserver.py", PlainSdk(APP, Path(folder)))
    report = Report()
    for each in ours:
        for what, share, bar in (("p50", 0.5, 100), ("p99", 0.99, 30)):
            report.row(f"{each.name}: delivery {what}, times lower", real.at(share) / each.at(share), "", bar, False)
        report.row(f"{each.name}: fan-out to 500, times faster", real.fan_out / each.fan_out, "", 10, False)
        report.row(f"{each.name}: messages lost", each.lost, "", 0)
        report.row(f"{each.name}: idle CPU with 200 pages, times lower", real.idle / each.idle, "", 50, False)
    return int(report.missed > 0)


def run(name: str, server: Server) -> Measured:
    """Start `server`, measure it, and stop it."""
    with server:  # type: ignore[attr-defined]
        plain = isinstance(server, PlainSdk)
        pages: AnyPages = PolledPages(server.url) if plain else PushedPages(server.url)
        assert server.pid
        return Measured(name, server.url, server.pid, pages)


if __name__ == "__main__":
    sys.exit(main())
