"""Beside what else could do it, in one run: what a message costs, how many go through, how soon one arrives.

    python bench/peers.py [--pages 5000] [--rounds 3] [--chart docs/images/peers.svg]

Ours; falcon.asgi on uvicorn (`asgi_server.py`), with httptools and with h11; a bare asyncio server (`raw_server.py`).
All speak the same bytes to the same pages, which wait by long polls and send what Chrome sends. Each is measured once a
round, on a fresh process; the rounds alternate, and the median of each figure counts. CPU is that of the server's
process, which other work on the machine changes least; rates and delays want a quiet one. A message's CPU has all in it
that it leads to, the next poll included.

The real dev_appserver.py holds a few hundred pages: its figures are those of `dev_server.py`, taken once, at the end,
where Python 2.7 and the SDK are.
"""

from __future__ import annotations

import math
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import peers_chart
from command_line import parser
from dev_server import ALL_PAGES, APP, Measured
from peer_costs import Amounts, Costs, figure, measure, median_of
from polled import PolledPages
from report import Report

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from appengine_channel_emu.bench.process import ServerProcess, allow_connections, emulator
from tests.support import parts
from tests.support.legacy import PlainSdk

OURS, HTTPTOOLS, H11, RAW = "channel-emu", "uvicorn, httptools", "uvicorn, h11", "bare asyncio"
REAL = "dev_appserver.py"
FOLDER = Path(__file__).parent


def script(name: str, *arguments: str) -> ServerProcess:
    """A server of this folder."""
    return ServerProcess([sys.executable, str(FOLDER / name), *arguments])


PEERS: dict[str, Callable[[], ServerProcess]] = {
    OURS: lambda: emulator("--quiet", "--event-log", "100"),
    HTTPTOOLS: lambda: script("asgi_server.py", "--parser", "httptools"),
    H11: lambda: script("asgi_server.py", "--parser", "h11"),
    RAW: lambda: script("raw_server.py"),
}
"""The event log of ours is bounded, and no memory of the pages."""


def main() -> int:
    """Print the table; 1 where a bar is missed."""
    made = parser(__doc__, "about ten minutes")
    made.add_argument("--pages", type=int, default=5_000)
    made.add_argument("--pages-with-posts", type=int, default=2_000, help="where each message has a POST of its own")
    made.add_argument("--sends", type=int, default=1_000, help="of which each delay is measured")
    made.add_argument("--rounds", type=int, default=3)
    made.add_argument("--settle", type=float, default=1.0, metavar="SECONDS", help="before a measurement")
    made.add_argument("--chart", type=Path, metavar="FILE.svg", help="draw one, too")
    made.add_argument("--no-dev-server", action="store_true", help="leave out the real one")
    options = made.parse_args()
    posts = min(options.pages_with_posts, options.pages)
    amounts = Amounts(options.rounds, options.pages, posts, options.sends, options.settle)
    if not allow_connections(amounts.pages):
        sys.exit(f"too few open files are allowed: ulimit -n {amounts.pages + 200}")
    rounds: dict[str, list[Costs]] = {name: [] for name in PEERS}
    for number in range(amounts.rounds):
        for name, start in PEERS.items():
            print(f"round {number + 1}: {name} ...", file=sys.stderr, flush=True)
            with start() as server:
                rounds[name].append(measure(server, amounts))
    costs = {name: median_of(each) for name, each in rounds.items()}
    if not options.no_dev_server:
        costs |= real_one()
    show(costs, amounts)
    report = Report()
    compare(report, costs, amounts)
    if options.chart:
        options.chart.write_text(peers_chart.draw(costs, amounts), "utf-8")
    return int(report.missed > 0)


def real_one() -> dict[str, Costs]:
    """The dev server's, where it can run."""
    try:
        parts.python27(), parts.sdk()
    except parts.PartMissing as missing:
        print(f"{REAL} is left out: {missing}", file=sys.stderr)
        return {}
    print(f"{REAL} ...", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory() as folder, PlainSdk(APP, Path(folder)) as server:
        real = Measured(server, PolledPages(server.url, ALL_PAGES), 1)
    if real.lost:
        print(f"{REAL} has lost {real.lost} messages", file=sys.stderr)
    return {
        REAL: Costs(
            fan_out_cpu=1e6 * real.fan_out_cpu,
            fan_out_rate=ALL_PAGES / real.fan_out,
            post_cpu=math.nan,
            post_rate=math.nan,
            post_rate_all=math.nan,
            p50=1000 * real.p50,
            p99=1000 * real.p99,
            page=math.nan,
        )
    }


def show(costs: dict[str, Costs], amounts: Amounts) -> None:
    """The figures themselves."""
    all_pages, some = f"{amounts.pages:,} pages", f"{amounts.pages_with_posts:,} pages"
    rows = [
        (f"one send to {all_pages}, CPU a message, us", "fan_out_cpu"),
        ("  messages a second", "fan_out_rate"),
        (f"a POST each, {some}, CPU a message, us", "post_cpu"),
        ("  messages a second", "post_rate"),
        (f"  messages a second, {all_pages}", "post_rate_all"),
        (f"delivery p50, {all_pages}, ms", "p50"),
        ("delivery p99, ms", "p99"),
        ("memory of an idle page, KiB", "page"),
    ]
    print(
        f"medians of {amounts.rounds} rounds{'' if REAL not in costs else f'; {REAL}: once, 200 pages and {ALL_PAGES}'}"
    )
    print(f"{'':46}" + "".join(f"{name:>20}" for name in costs))
    for what, name in rows:
        print(f"{what:46}" + "".join(f"{figure(getattr(each, name)):>20}" for each in costs.values()))


def compare(report: Report, costs: dict[str, Costs], amounts: Amounts) -> None:
    """The bars, which are ratios."""
    ours, raw, uvicorn = costs[OURS], costs[RAW], costs[HTTPTOOLS]
    all_pages, some = f"{amounts.pages:,} pages", f"{amounts.pages_with_posts:,} pages"
    report.row(f"CPU, one send to {all_pages}, ours / {RAW}", ours.fan_out_cpu / raw.fan_out_cpu, "", 1.6)
    report.row(f"CPU, a POST each, {some}, ours / {RAW}", ours.post_cpu / raw.post_cpu, "", 3)
    rate = ours.post_rate_all / uvicorn.post_rate_all
    report.row(f"messages a second, a POST each, ours / {HTTPTOOLS}", rate, "", 1.3, at_most=False)
    report.row(f"delivery p50, {all_pages}, ours / {RAW}", ours.p50 / raw.p50, "", 2.5)
    report.row(f"delivery p99, {all_pages}, ours / {RAW}", ours.p99 / raw.p99, "", 4)


if __name__ == "__main__":
    sys.exit(main())
