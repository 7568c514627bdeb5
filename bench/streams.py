"""What streams cost beside polls, and beside the least that could serve polls. Each figure beside its bar.

    python bench/streams.py [--rounds 3] [--idle-pages 10000]

CPU is that of the server's process, which other work on the machine does not count into; the raw server of
`raw_server.py`, polls and streams are measured in turns, several times, and the median counts. Each page says which
messages it has, as a browser's does: by its next poll, or 0.2 s after a message came over a stream.
"""

from __future__ import annotations

import statistics
import sys
from pathlib import Path

from command_line import parser
from report import Report

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from appengine_channel_emu.bench.measure import deliver, fan_out, percentile
from appengine_channel_emu.bench.pages import Pages, PageTransport
from appengine_channel_emu.bench.process import ServerProcess, allow_connections, emulator

PAGES = 1_000
FAN_OUTS = 10
SETTLE_SECONDS = 1.0
"""For the acknowledgements, or polls, that follow a message."""
SENDS = 1_000
FIRST = 100
"""Pages that are open before memory is looked at: what all of them share is there by then."""
MOST_OF_POLLS = 10.0
"""Times the raw server's CPU: polls pass all layers, each with the head that Chrome sends."""
IDLE_SECONDS = 50.0
"""Two heartbeats of each stream."""
RAW = [sys.executable, str(Path(__file__).with_name("raw_server.py"))]


class Costs:
    """Of one kind of server and page: microseconds of CPU a message of a fan-out, KiB a page, ms of a delivery."""

    def __init__(self) -> None:
        self.message: list[float] = []
        self.page: list[float] = []
        self.p50: list[float] = []

    def measure(self, server: ServerProcess, transport: PageTransport) -> None:
        """One round, on a fresh server."""
        with server:
            pages = Pages(server.url, transport=transport)
            pages.open(FIRST)
            pages.rest(SETTLE_SECONDS)
            memory = server.memory()
            pages.open(PAGES - FIRST)
            pages.rest(SETTLE_SECONDS)
            self.page.append((server.memory() - memory) / (PAGES - FIRST))
            fan_out(pages)
            pages.rest(SETTLE_SECONDS)
            used = server.cpu()
            for _ in range(FAN_OUTS):
                fan_out(pages)
                pages.rest(SETTLE_SECONDS)
            self.message.append((server.cpu() - used) / FAN_OUTS / PAGES * 1e6)
            self.p50.append(percentile(deliver(pages, SENDS), 0.5))
            pages.vanish(len(pages))


def compare(report: Report, rounds: int) -> None:
    """Streams, polls, and the polls of the raw server."""
    raw, polls, streams = Costs(), Costs(), Costs()
    for _ in range(rounds):
        raw.measure(ServerProcess(RAW), "poll")
        polls.measure(emulator("--quiet"), "poll")
        streams.measure(emulator("--quiet"), "websocket")
    least = statistics.median(raw.message)
    print(f"{least:.0f} us of CPU a message of a fan-out, polls on the raw server")
    for name, costs, most, room in (("polls", polls, MOST_OF_POLLS, 12), ("streams", streams, 1.3, 8)):
        message = statistics.median(costs.message)
        report.row(f"CPU a message of a fan-out, {name}", message, "us", most * least)
        report.row("  times that of polls on the raw server", message / least, "", most)
        report.row(f"memory a page, {name}", statistics.median(costs.page), "KiB", room)
    report.row("delivery p50, streams / polls", statistics.median(streams.p50) / statistics.median(polls.p50), "", 1)


def idle(report: Report, pages: int) -> None:
    """Heartbeats of thousands of streams and their answers, beside polls that end in vain."""
    with emulator("--quiet") as server:
        streams = idle_cpu(server, "websocket", pages)
    with ServerProcess(RAW) as server:
        least = idle_cpu(server, "poll", pages)
    report.row(f"CPU of {pages:,} idle streams, as of 10,000", streams * 10_000 / pages, "%", 2)
    report.row("  times that of polls on the raw server", streams / least, "", 0.5)


def idle_cpu(server: ServerProcess, transport: PageTransport, count: int) -> float:
    """Percent of a core that idle pages take."""
    pages = Pages(server.url, transport=transport)
    pages.open(count)
    pages.rest(SETTLE_SECONDS)
    used = server.cpu()
    pages.rest(IDLE_SECONDS)
    share = (server.cpu() - used) / IDLE_SECONDS * 100
    pages.vanish(len(pages))
    return share


def main() -> int:
    """Print the table; 1 when a bar is missed."""
    made = parser(__doc__, "about eight minutes")
    made.add_argument("--rounds", type=int, default=3)
    made.add_argument("--idle-pages", type=int, default=10_000)
    options = made.parse_args()
    if not allow_connections(options.idle_pages + 500):
        sys.exit(f"too few open files are allowed: ulimit -n {options.idle_pages + 500}")
    report = Report()
    compare(report, options.rounds)
    idle(report, options.idle_pages)
    return int(report.missed > 0)


if __name__ == "__main__":
    sys.exit(main())
