"""As many idle pages as this system leaves files for, half of them streams: opened, held, and a message to each.

    python bench/many_pages.py [--pages 19500] [--hold 120]

The server and the process with the pages each have a file for each page, so `ulimit -Hn` counts for each of them. Here
the soft limit is raised as far as that goes; the emulator does so by itself. Pages beyond 20,000 come from further
addresses of 127.0.0.x, as one has some 28,000 ports. None may be lost, and each must have its message.
"""

from __future__ import annotations

import argparse
import math
import resource
import sys
import time
from pathlib import Path

from command_line import parser
from report import Report

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from appengine_channel_emu.bench.measure import fan_out
from appengine_channel_emu.bench.pages import Pages
from appengine_channel_emu.bench.process import ServerProcess, allow_connections, emulator

SPARE_FILES = 500
"""Of the server's and of ours, for anything but pages."""
MOST = 25_000
"""Unless more are asked for."""
FROM_ONE_ADDRESS = 5_000
SHARE_OF_STREAMS = 10_000 / 19_500
SHOWN_EVERY = 2_500
STARTED_SECONDS = 1.0


def main() -> int:
    """1 where a page or a message was lost."""
    made = parser(__doc__, "about four minutes")
    made.add_argument("--pages", type=int, help="as many as the hard limit leaves, 25,000 at the most, unless told")
    made.add_argument("--hold", type=float, default=120.0, metavar="SECONDS")
    options = made.parse_args()
    count = options.pages or as_many_as_may_be()
    if not allow_connections(count):
        made.error(
            f"{count:,} pages want more files than are allowed here ({files()}): ulimit -Hn {count + SPARE_FILES}"
        )
    print(f"open files allowed: {files()}; {count:,} pages", flush=True)
    report = Report()
    with emulator("--quiet", "--max-connections", str(count + SPARE_FILES)) as server:
        hold(report, server, count, options)
    return int(report.missed > 0)


def as_many_as_may_be() -> int:
    """By the hard limit."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return MOST if hard == resource.RLIM_INFINITY else min(MOST, hard - SPARE_FILES)


def files() -> str:
    """The limits of this process, which the server's begin with."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return f"{'no limit' if soft == resource.RLIM_INFINITY else f'{soft:,}'} of {'any' if hard < 0 else f'{hard:,}'}"


def hold(report: Report, server: ServerProcess, count: int, options: argparse.Namespace) -> None:
    """Open them, wait, and send."""
    pages = Pages(server.url, most_from_one_address=FROM_ONE_ADDRESS)
    memory, began = server.memory(), time.monotonic()
    streams = round(count * SHARE_OF_STREAMS)
    threads = 0
    while len(pages) < count:
        # In turns, so that each kind comes from every address.
        more = min(SHOWN_EVERY, count - len(pages))
        streaming = round(streams * (len(pages) + more) / count) - round(streams * len(pages) / count)
        pages.open(more - streaming, transport="poll")
        pages.open(streaming, transport="websocket")
        threads = threads or server.threads()
        print(f"{len(pages):,} open after {time.monotonic() - began:.0f} s", flush=True)
    pages.rest(STARTED_SECONDS)
    used = server.cpu()
    pages.rest(options.hold)
    cpu = (server.cpu() - used) / options.hold * 100 if options.hold else math.nan
    # As the server sees them, those between two polls included.
    waiting = pages.api.get("/_emu/status")["sockets"]
    received = {name: page.received for name, page in pages.by_client.items()}
    rate = fan_out(pages)
    pages.rest(STARTED_SECONDS)
    counts = [page.received - received[name] for name, page in pages.by_client.items()]
    report.row(f"pages there after {options.hold:g} s", sum(waiting.values()), "", count, at_most=False)
    report.row("  of them streams", waiting["stream"], "", streams, at_most=False)
    report.row("pages that got their message, once", counts.count(1), "", count, at_most=False)
    report.row("threads more than with the first pages", server.threads() - threads, "", 0)
    report.note("messages a second, one send to all", rate, "")
    report.note("CPU of the idle pages", cpu, "% of a core")
    report.note("memory of a page, with the event log", (server.memory() - memory) / count, "KiB")
    pages.vanish(len(pages))


if __name__ == "__main__":
    sys.exit(main())
