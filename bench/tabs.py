"""Many tabs of one browser on one host name: how soon each gets a message, and one more page its channel.

    python bench/tabs.py [--tabs 24] [--messages 20] [--browser chromium ...] [--transport stream poll]

All tabs but one are hidden. Pages choose their transport by themselves; for `poll` the emulator refuses to upgrade any
connection, as a proxy may. Each tab gets `--messages` messages, one at a time, in a random order of the tabs; then all
get one at once. Fresh pages come before there is any tab, and beside all of them.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path

from report import Report

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from appengine_channel_emu.bench.measure import percentile
from tests.browser.engines import ENGINES, Engine, EnginePage, launch
from tests.support.emulator import RunningEmulator

APP = ["--app-dir", str(Path(__file__).parent / "tabs_app"), "--presence", "never", "main:app"]
OPTIONS = {"stream": [], "poll": ["--fault", "stream error"]}
P95_MS = {"stream": 15.0, "poll": 150.0}
SLOWEST_MS = 2000.0
FRESH_PAGES = 7
AS_SOON = 1.5
"""Medians of so few pages that are this many times each other are the same."""


def main() -> int:
    """1 where a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tabs", type=int, default=24)
    parser.add_argument("--messages", type=int, default=20, help="to each tab")
    parser.add_argument("--browser", choices=ENGINES, nargs="+", default=list(ENGINES))
    parser.add_argument("--transport", choices=OPTIONS, nargs="+", default=list(OPTIONS))
    arguments = parser.parse_args()
    report = Report()
    with tempfile.TemporaryDirectory() as folder:
        for browser in arguments.browser:
            for transport in arguments.transport:
                log = Path(folder) / f"{browser}-{transport}.log"
                with (
                    RunningEmulator(*OPTIONS[transport], *APP, log=log) as emulator,
                    launch(browser) as engine,
                ):
                    Tabs(engine, emulator).measure(report, transport, arguments.tabs, arguments.messages)
    return int(bool(report.missed))


class Tabs:
    """Those of one browser, at one emulator."""

    def __init__(self, engine: Engine, emulator: RunningEmulator) -> None:
        self._engine = engine
        self._emulator = emulator
        self._counts: dict[int, int] = {}
        self._pages: list[EnginePage] = []

    def measure(self, report: Report, transport: str, tabs: int, messages: int) -> None:
        """All rows of one transport."""
        alone = self._seconds_until_open()
        self._pages = self._engine.new_tabs(tabs)
        for number, page in enumerate(self._pages):
            self._visit(page, f"tab{number}")
        order = list(range(tabs)) * messages
        random.Random(0).shuffle(order)
        for number in order:
            self._send(number)
            self._wait(number)
        delays = sorted(delay for number in range(tabs) for delay in self._delays(number))
        for number in range(tabs):
            self._send(number)
        for number in range(tabs):
            self._wait(number)
        together = [self._delays(number)[-1] for number in range(tabs)]
        crowded = self._seconds_until_open()
        name = f"{self._engine.version.partition('.')[0]}, {transport}:"
        used = self._transports()
        assert used <= {transport, None}, used
        report.row(f"{name} to one of {tabs} tabs, p50", percentile(delays, 0.5), "ms", P95_MS[transport])
        report.row(f"{name} to one of {tabs} tabs, p95", percentile(delays, 0.95), "ms", P95_MS[transport])
        report.row(f"{name} slowest of {len(delays)}", delays[-1], "ms", SLOWEST_MS)
        report.row(f"{name} the last of one to all at once", max(together), "ms", SLOWEST_MS)
        report.row(f"{name} page {tabs + 1} has its channel, against the first", crowded / alone, "times", AS_SOON)

    def _visit(self, page: EnginePage, name: str) -> None:
        page.goto(f"{self._emulator.url}/?name={name}")
        page.wait_for_function("openedAt > 0")

    def _seconds_until_open(self) -> float:
        """The median from the navigation of a fresh page until its socket is open."""
        seconds = []
        for _ in range(FRESH_PAGES):
            page = self._engine.new_page()
            self._visit(page, "fresh")
            seconds.append(page.evaluate("openedAt") / 1000)
            page.close()
        return statistics.median(seconds)

    def _send(self, number: int) -> None:
        self._counts[number] = self._counts.get(number, 0) + 1
        self._emulator.send(f"tab{number}", repr(time.time()))

    def _wait(self, number: int) -> None:
        self._pages[number].wait_for_function("count => delays.length >= count", self._counts[number])

    def _delays(self, number: int) -> list[float]:
        delays: list[float] = self._pages[number].evaluate("delays")
        return delays

    def _transports(self) -> set[str | None]:
        channels = self._emulator.get_json("/_emu/channels")["channels"]
        return {socket["transport"] for channel in channels for socket in channel["sockets_shown"]}


if __name__ == "__main__":
    sys.exit(main())
