"""``channel-emu bench``: what this machine can do."""

from __future__ import annotations

import contextlib
import json
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, NoReturn
from urllib.parse import urlsplit

from appengine_channel_emu.cli.emulators import ask
from appengine_channel_emu.cli.main import CLEAN_STOP, INTERRUPTED, VerbFailed
from appengine_channel_emu.cli.parsing import Parser, check_url, whole_number
from appengine_channel_emu.hints import reason

if TYPE_CHECKING:
    from appengine_channel_emu.bench.measure import Figures, Plan
    from appengine_channel_emu.bench.pages import PageTransport

MOST_PAGES = 15_000
SECONDS = 10
IDLE_SECONDS = {"poll": 10, "websocket": 25}
"""A stream is idle for 25 s between two heartbeats, and those of pages that were opened together come together."""
TRANSPORTS: dict[str, tuple[PageTransport, ...]] = {
    "poll": ("poll",),
    "websocket": ("websocket",),
    "both": ("poll", "websocket"),
}


def run(argv: Sequence[str]) -> int:
    """Measure, and print a table; 1 when that could not be done."""
    made = parser()
    options = made.parse(argv)
    if options.url:
        check_url(made, "--url", options.url, ["http"])
    pages = whole_number(made, "--pages", options.pages, 1, MOST_PAGES)
    sends = whole_number(made, "--sends", options.sends, 1, 1_000_000)
    seconds = None if options.seconds is None else whole_number(made, "--seconds", options.seconds, 1, 3600)
    if options.transport not in TRANSPORTS:
        made.error(f"--transport: {options.transport!r} is not one of {', '.join(TRANSPORTS)}")
    # Before the minutes that it takes, and not after them.
    _check_chart(options.chart)
    if options.url:
        parts = urlsplit(options.url)
        ask(f"{parts.netloc.rpartition('@')[2]}{'' if parts.port else ':80'}", "/_emu/health/live")
    # Imported here so that --help and mistakes in the command answer at once.
    from appengine_channel_emu.bench.chart import draw
    from appengine_channel_emu.bench.measure import Lost, Plan
    from appengine_channel_emu.bench.page import Refused
    from appengine_channel_emu.bench.process import EmulatorDidNotStart

    signal.signal(signal.SIGTERM, _end)
    try:
        measured = []
        for transport in TRANSPORTS[options.transport]:
            plan = Plan(pages, sends, seconds or SECONDS, seconds or IDLE_SECONDS[transport], transport)
            measured.append(_measure(options.url, plan))
        if options.chart:
            Path(options.chart).write_text(draw(measured), "utf-8")
    except (Refused, Lost, EmulatorDidNotStart, OSError) as error:
        raise VerbFailed(str(error)) from None
    except KeyboardInterrupt:
        return INTERRUPTED
    if options.json:
        described = {figures.transport: figures.described() for figures in measured}
        print(json.dumps(described if len(measured) > 1 else measured[0].described(), indent=2))
    else:
        _print_table(measured)
    return CLEAN_STOP


def _print_table(measured: list[Figures]) -> None:
    from appengine_channel_emu.bench.measure import machine

    print(f"{measured[0].pages:,} pages; {machine()}")
    rows = [[("transport", figures.transport), *figures.rows()] for figures in measured]
    for row in zip(*rows, strict=True):
        print(f"{row[0][0]:<44}" + "".join(f"{figure:>22}" for _, figure in row))


def parser() -> Parser:
    """The options of `bench`."""
    made = Parser(
        prog="channel-emu bench",
        description="Measure the emulator on this machine with many pages open: how soon a message arrives, how fast "
        "one message reaches all of them, how many a second go through, and what idle pages cost. It starts an "
        "emulator of its own, or measures a running one. Server and pages share the machine, so more than the "
        "figures say is in it.",
        examples=[
            ("channel-emu bench", "with 1,000 pages, each with a WebSocket"),
            ("channel-emu bench --transport both --chart bench.svg", "beside long polls, and a picture of both"),
        ],
    )
    made.add_argument("--url", metavar="URL", help="a running emulator; what its idle pages cost is not measured")
    made.add_argument(
        "--transport",
        metavar="NAME",
        default="websocket",
        help="how pages wait: poll, websocket, or both one after the other (default: websocket, which a page uses "
        "unless something on its way refuses them)",
    )
    made.add_argument("--pages", metavar="N", default="1000", help="pages that are open at once (default: 1000)")
    made.add_argument("--sends", metavar="N", default="1000", help="messages to measure delivery (default: 1000)")
    made.add_argument(
        "--seconds", metavar="N", help="of throughput, and of idling (default: 10; of idling over a WebSocket, 25)"
    )
    made.add_argument("--chart", metavar="FILE.svg", help="draw a chart, too")
    made.add_argument("--json", action="store_true", help="print JSON instead of the table, with every latency")
    return made


def _check_chart(name: str | None) -> None:
    """Raises `VerbFailed` where the chart could not be written."""
    if name is None:
        return
    try:
        there_before = Path(name).exists()
        Path(name).open("a").close()
        if not there_before:
            Path(name).unlink()
    except OSError as error:
        raise VerbFailed(f"--chart: {name} cannot be written: {reason(error)}") from None


def _measure(url: str | None, plan: Plan) -> Figures:
    from appengine_channel_emu.bench.measure import Progress, measure
    from appengine_channel_emu.bench.process import allow_connections, can_be_watched, emulator

    if not allow_connections(plan.pages):
        raise OSError(f"this system allows too few open files for {plan.pages} pages: ulimit -n {plan.pages + 200}")
    with contextlib.ExitStack() as stack:
        own = None if url else stack.enter_context(emulator("--quiet"))
        process = own if can_be_watched() else None
        target = url or (own.url if own else "")
        return measure(target, plan, Progress(plan.parts(process is not None)), process)


def _end(number: int, frame: FrameType | None) -> NoReturn:
    # As an exception, so that our own emulator ends with us.
    sys.exit(128 + number)
