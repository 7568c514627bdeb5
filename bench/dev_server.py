"""Beside the SDK's dev server, in one run: delivery, fan-out to 500 pages, and what 200 idle pages cost.

    python bench/dev_server.py [--rounds 3]

The same app runs under the emulator as a Python 3 app and as an SDK app, and on the real `dev_appserver.py`, one
after the other, each with the same steps; in rounds, of which the median counts:

1. 200 pages open, each with a client id of its own. Idle CPU: what all processes of the server use, the app's instance
   included, while nothing is sent.
2. Delivery: requests to the app, with random pauses, of which each sends a message to a random page. A delay goes from
   just before `send_message` in the app to the page's having the bytes; all processes read the same clock.
3. 300 more pages open. Fan-out: one request, in which the app calls `send_message` for each page, from the first call
   to the last page's having the bytes.

Our pages hold a long poll each, as our page script does. Those of the dev server ask, wait for the answer, and ask
again 500 ms later, as its own script does; with 500 of them it has more to do than it can, which is part of the figure.
Every message names its page and its number, and is lost if that page does not get it. No server gets more
than 20 seconds for the sends of a round, and 75 for its fan-outs: on a busy machine the dev server's may take minutes.
Then fewer of them count, or, where not one has ended, the time until it was given up. Needs Python 2.7 and the SDK.
"""

from __future__ import annotations

import math
import os
import queue
import random
import statistics
import sys
import tempfile
import threading
import time
from http.client import HTTPException
from pathlib import Path
from typing import Protocol
from urllib.request import urlopen

from command_line import parser
from polled import PolledPages
from report import Report
from servers import REAL, AnyServer, beside_the_real_one

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from appengine_channel_emu.bench.measure import percentile
from appengine_channel_emu.bench.pages import Pages
from appengine_channel_emu.bench.process import allow_connections

SENDS = 200
IDLE_SECONDS = 10
SEND_SECONDS = 20.0
FAN_OUT_SECONDS = 75.0
SETTLE_SECONDS = 3.0
PAUSE_SECONDS = 0.08
IDLE_PAGES, ALL_PAGES = 200, 500
PATIENCE = 15.0
"""Seconds without any arrival after which what is missing counts as lost."""
APP = Path(__file__).parent / "many_app"


class AnyPages(Protocol):
    """Open pages; (client id, message, time of arrival) go into `arrivals`."""

    arrivals: queue.Queue[tuple[str, str, float]]

    def open(self, count: int) -> None:
        """Open `count` more: page-0, page-1, ..."""

    def stop(self) -> None:
        """Open no more, and close all."""


class PushedPages:
    """Pages of the emulator, on a thread of their own."""

    def __init__(self, url: str) -> None:
        self._pages = Pages(url)
        self._wanted: queue.Queue[tuple[int, threading.Event]] = queue.Queue()
        self._stopping = False
        self.arrivals: queue.Queue[tuple[str, str, float]] = queue.Queue()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def open(self, count: int) -> None:
        """See `AnyPages`."""
        done = threading.Event()
        self._wanted.put((count, done))
        done.wait()

    def stop(self) -> None:
        """See `AnyPages`."""
        self._stopping = True
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping:
            if not self._wanted.empty():
                count, done = self._wanted.get()
                self._pages.open(count)
                done.set()
            arrived, now = self._pages.turn(0.1), time.time()
            for page, messages in arrived:
                for message in messages:
                    self.arrivals.put((page.client_id, message, now))
        self._pages.leave()


class Measured:
    """What one server did: medians of the rounds, in seconds and percent of a core, and how many messages it lost."""

    def __init__(self, server: AnyServer, pages: AnyPages, rounds: int) -> None:
        assert server.pid
        self._url, self._process_id, self._pages = server.url, server.pid, pages
        self._chance = random.Random(1)
        self._numbers = iter(range(1_000_000))
        self.lost = 0
        pages.open(IDLE_PAGES)
        time.sleep(SETTLE_SECONDS)
        self.idle = statistics.median(self._idle() for _ in range(rounds))
        delays = [self._deliver() for _ in range(rounds)]
        self.p50 = statistics.median(percentile(each, 0.5) for each in delays)
        self.p99 = statistics.median(percentile(each, 0.99) for each in delays)
        pages.open(ALL_PAGES - IDLE_PAGES)
        time.sleep(SETTLE_SECONDS)
        used = cpu(self._process_id)
        times = self._fan_outs(rounds)
        self.fan_out, self.fan_outs = statistics.median(times), len(times)
        self.fan_out_cpu = (cpu(self._process_id) - used) / (len(times) * ALL_PAGES)
        """Seconds of CPU for each of its messages, with all that goes on beside it."""
        pages.stop()

    def _idle(self) -> float:
        used, began = cpu(self._process_id), time.monotonic()
        time.sleep(IDLE_SECONDS)
        return 100 * (cpu(self._process_id) - used) / (time.monotonic() - began)

    def _deliver(self) -> list[float]:
        """Delays, sorted."""
        sent: set[tuple[str, str]] = set()
        until = time.monotonic() + SEND_SECONDS
        while len(sent) < SENDS and time.monotonic() < until:
            page, number = f"page-{self._chance.randrange(IDLE_PAGES)}", next(self._numbers)
            ask(f"{self._url}/send/{page}/{number}")
            sent.add((page, str(number)))
            time.sleep(self._chance.uniform(0, PAUSE_SECONDS))
        return sorted(arrived - began for began, arrived in self._take(sent))

    def _fan_outs(self, rounds: int) -> list[float]:
        """Seconds that each took, of those that ended; where none has, of the one that was given up."""
        times: list[float] = []
        until = time.monotonic() + FAN_OUT_SECONDS
        while len(times) < rounds:
            number, began = next(self._numbers), time.time()
            request = threading.Thread(target=try_to_ask, args=(f"{self._url}/all/{ALL_PAGES}/{number}",), daemon=True)
            request.start()
            sent = {(f"page-{page}", str(number)) for page in range(ALL_PAGES)}
            arrivals = self._take(sent, request, until)
            if len(arrivals) < ALL_PAGES and request.is_alive():
                return times or [time.time() - began]
            request.join()
            times.append(max(arrived for _, arrived in arrivals) - min(began for began, _ in arrivals))
        return times

    def _take(
        self, sent: set[tuple[str, str]], request: threading.Thread | None = None, until: float = math.inf
    ) -> list[tuple[float, float]]:
        """When each message of `sent`, which are (page, number), was sent and arrived; those that do not are lost.

        While `request` is under way it sends more of them; if it still is at `until`, nothing is said of the rest.
        """
        missing, heard = set(sent), time.monotonic()
        times: list[tuple[float, float]] = []
        while missing:
            sending, now = request is not None and request.is_alive(), time.monotonic()
            if sending and now > until:
                return times
            if sending:
                heard = now
            elif now - heard > PATIENCE:
                break
            try:
                client_id, message, arrived = self._pages.arrivals.get(timeout=1)
            except queue.Empty:
                continue
            heard = time.monotonic()
            page, number, began = message.split()
            if page != client_id:
                raise AssertionError(f"{client_id} got a message for {page}")
            if (page, number) in missing:  # Not one of an earlier round, given up, that comes late.
                missing.remove((page, number))
                times.append((float(began), arrived))
        self.lost += len(missing)
        if not times:
            sys.exit(f"{self._url}: no message has arrived")
        return times


def cpu(process_id: int) -> float:
    """Seconds that the process and all its descendants have used, those included that have ended (Linux)."""
    used = time.clock_gettime(~process_id << 3 | 2)  # Its clock as in clock_getcpuclockid(3): proc(5) counts 10 ms.
    of_ended_children = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[13:15]
    used += sum(map(int, of_ended_children)) / os.sysconf("SC_CLK_TCK")
    for task in Path(f"/proc/{process_id}/task").iterdir():
        try:
            children = (task / "children").read_text().split()
        except FileNotFoundError:  # A thread that has just ended, and had none.
            continue
        used += sum(cpu(int(child)) for child in children)
    return used


def ask(url: str) -> None:
    """GET, without looking at the answer. Raises OSError when it is an error."""
    with urlopen(url, timeout=300) as answer:
        answer.read()


def try_to_ask(url: str) -> None:
    """The same, but that an error is only said: of a request that was given up, or whose messages count as lost."""
    try:
        ask(url)
    except (OSError, HTTPException) as error:
        print(f"{url}: {error}", file=sys.stderr)


def compare(report: Report, kind: str, ours: Measured, real: Measured) -> None:
    """A row for each bar."""

    def times_better(what: str, mine: float, theirs: float, unit: str, bar: float) -> None:
        figures = f"{mine:.2f} {unit}", f"{theirs:.2f} {unit}"
        report.row(row(f"{what}, {kind}", *figures), theirs / max(mine, 1e-9), "times", bar, at_most=False)

    times_better("delivery p50", ours.p50 * 1000, real.p50 * 1000, "ms", 100)
    times_better("delivery p99", ours.p99 * 1000, real.p99 * 1000, "ms", 30)
    times_better("fan-out to 500", ours.fan_out, real.fan_out, "s", 10)
    report.row(row(f"messages lost, {kind}", str(ours.lost), str(real.lost)), ours.lost, "", 0)
    times_better("idle CPU, 200 pages", ours.idle, real.idle, "%", 50)


def row(what: str, ours: str, real: str) -> str:
    """Columns."""
    return f"{what:33} {ours:>10} {real:>16}"


def main() -> int:
    """Print the table; 1 where a bar is missed."""
    made = parser(__doc__, "about ten minutes")
    made.add_argument("--rounds", type=int, default=3, help="of which the median counts")
    rounds = made.parse_args().rounds
    if not allow_connections(ALL_PAGES):
        sys.exit("too few open files are allowed: ulimit -n 1000")
    with tempfile.TemporaryDirectory() as folder:
        servers = beside_the_real_one(APP, Path(folder))
        measured = {name: measure(name, server, rounds) for name, server in servers.items()}
    real = measured.pop(REAL)
    report = Report()
    print(f"     {row('', 'ours', REAL)}")
    for name, ours in measured.items():
        compare(report, name.removeprefix("channel-emu, "), ours, real)
    if real.fan_outs < rounds:
        print(f"(The dev server took so long that the median is of {real.fan_outs}.)")
    return int(report.missed > 0)


def measure(name: str, server: AnyServer, rounds: int) -> Measured:
    """Start `server`, measure it, and stop it."""
    print(f"measuring {name} ...", file=sys.stderr, flush=True)
    with server:
        return Measured(server, PolledPages(server.url, ALL_PAGES) if name == REAL else PushedPages(server.url), rounds)


if __name__ == "__main__":
    sys.exit(main())
