"""Many tabs of one browser on one host name: how soon each gets a message, and one more page its channel.

    python bench/tabs.py [--tabs 24] [--messages 20] [--browser chromium ...] [--transport stream poll]

All tabs but one are hidden. Pages choose their transport by themselves; for `poll` the emulator refuses to upgrade any
connection, as a proxy may. Each tab gets `--messages` messages, one at a time, in a random order of the tabs; then all
get one at once. Fresh pages come before there is any tab, and beside all of them.

A page looks at the clock when it is open, and in `onmessage`, and says by a beacon to a port of ours what it has seen.
Nobody asks it meanwhile: in Firefox each question to a hidden tab keeps the browser busy for some milliseconds.
"""

from __future__ import annotations

import contextlib
import queue
import random
import statistics
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from command_line import parser
from report import Report

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from appengine_channel_emu.bench.measure import percentile
from tests.browser.engines import ENGINES, Engine, EnginePage, launch
from tests.support.emulator import RunningEmulator
from tests.support.waiting import LONG_ENOUGH

APP = ["--app-dir", str(Path(__file__).parent / "tabs_app"), "--presence", "never", "main:app"]
OPTIONS = {"stream": [], "poll": ["--fault", "stream error"]}
P95_MS = {"stream": 15.0, "poll": 150.0}
SLOWEST_MS = 2000.0
FRESH_PAGES = 7
AS_SOON = 1.5
"""Medians of so few pages that are this many times each other are the same."""


def main() -> int:
    """1 where a bar is missed."""
    made = parser(__doc__, "about five minutes")
    made.add_argument("--tabs", type=int, default=24)
    made.add_argument("--messages", type=int, default=20, help="to each tab")
    made.add_argument("--browser", choices=ENGINES, nargs="+", default=list(ENGINES))
    made.add_argument("--transport", choices=OPTIONS, nargs="+", default=list(OPTIONS))
    arguments = made.parse_args()
    report = Report()
    with tempfile.TemporaryDirectory() as folder:
        for browser in arguments.browser:
            for transport in arguments.transport:
                log = Path(folder) / f"{browser}-{transport}.log"
                with (
                    RunningEmulator(*OPTIONS[transport], *APP, log=log) as emulator,
                    launch(browser) as engine,
                    hearing() as sightings,
                ):
                    tabs = Tabs(engine, emulator, sightings)
                    tabs.measure(report, transport, arguments.tabs, arguments.messages)
    return int(bool(report.missed))


class Sightings(ThreadingHTTPServer):
    """Hears what pages have seen: `POST /NAME`, with milliseconds as its body."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Beacon)
        self._lock = threading.Lock()
        self._of: defaultdict[str, queue.Queue[float]] = defaultdict(queue.Queue)

    def of(self, name: str) -> queue.Queue[float]:
        """What the page of that name has seen."""
        with self._lock:
            return self._of[name]


class _Beacon(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        """One."""
        assert isinstance(self.server, Sightings)
        milliseconds = float(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(204)
        self.end_headers()
        self.server.of(self.path[1:]).put(milliseconds)

    def log_message(self, *arguments: object) -> None:
        """Nothing."""


@contextlib.contextmanager
def hearing() -> Iterator[Sightings]:
    """While it is used, on a thread of its own."""
    with Sightings() as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


class Tabs:
    """Those of one browser, at one emulator."""

    def __init__(self, engine: Engine, emulator: RunningEmulator, sightings: Sightings) -> None:
        self._engine = engine
        self._emulator = emulator
        self._sightings = sightings

    def measure(self, report: Report, transport: str, tabs: int, messages: int) -> None:
        """All rows of one transport."""
        alone = self._seconds_until_open()
        for number, page in enumerate(self._engine.new_tabs(tabs)):
            self._visit(page, f"tab{number}")
        order = list(range(tabs)) * messages
        random.Random(0).shuffle(order)
        delays = []
        for number in order:
            self._send(number)
            delays.append(self._seen(f"tab{number}"))
        delays.sort()
        for number in range(tabs):
            self._send(number)
        together = [self._seen(f"tab{number}") for number in range(tabs)]
        crowded = self._seconds_until_open()
        name = f"{self._engine.version.partition('.')[0]}, {transport}:"
        used = self._transports()
        assert used <= {transport, None}, used
        report.row(f"{name} to one of {tabs} tabs, p50", percentile(delays, 0.5), "ms", P95_MS[transport])
        report.row(f"{name} to one of {tabs} tabs, p95", percentile(delays, 0.95), "ms", P95_MS[transport])
        report.row(f"{name} slowest of {len(delays)}", delays[-1], "ms", SLOWEST_MS)
        report.row(f"{name} the last of one to all at once", max(together), "ms", SLOWEST_MS)
        report.row(f"{name} page {tabs + 1} has its channel, against the first", crowded / alone, "times", AS_SOON)

    def _visit(self, page: EnginePage, name: str) -> float:
        """Milliseconds from its navigation until its socket was open."""
        page.goto(f"{self._emulator.url}/?name={name}&beacon=http://127.0.0.1:{self._sightings.server_port}/{name}")
        return self._seen(name)

    def _seconds_until_open(self) -> float:
        """The median from the navigation of a fresh page until its socket is open."""
        seconds = []
        for _ in range(FRESH_PAGES):
            page = self._engine.new_page()
            seconds.append(self._visit(page, "fresh") / 1000)
            page.close()
        return statistics.median(seconds)

    def _send(self, number: int) -> None:
        self._emulator.send(f"tab{number}", repr(time.time()))

    def _seen(self, name: str) -> float:
        return self._sightings.of(name).get(timeout=LONG_ENOUGH)

    def _transports(self) -> set[str | None]:
        channels = self._emulator.get_json("/_emu/channels")["channels"]
        return {socket["transport"] for channel in channels for socket in channel["sockets_shown"]}


if __name__ == "__main__":
    sys.exit(main())
