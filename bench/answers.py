"""Which is first in the page, the answer to its post or the message that the post's handler sent to it?

    python bench/answers.py [--posts 200] [--busy] [--browser chrome] [--transport xhr ...] [--kind sdk]

In Chromium and Firefox, on each transport, pages post by fetch, by XMLHttpRequest and by a form into a named frame,
whose load event is its answer. The handler sends to the page and answers 0, 5 and 50 ms later, in turns. `--busy` keeps
every core busy meanwhile. It fails where a message came first, with `--busy` where more than 3 % of a line's did.
Then a handler sends once a second for ten seconds; it fails where fewer than nine came before the answer.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import os
import statistics
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from command_line import parser

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.browser.engines import ENGINES, Engine, launch
from tests.support.emulator import RunningEmulator
from tests.support.legacy import emulated
from tests.support.push import APP, TRANSPORTS, WAYS, Count, PushPage

AT_MOST_BUSY = 0.03
TICKS, TICKS_BEFORE = 10, 9


def main() -> int:
    """1 where messages came before their answers."""
    made = parser(__doc__, "about ten minutes")
    made.add_argument("--posts", type=int, default=200, help="for each line, 200 unless told otherwise")
    made.add_argument("--busy", action="store_true")
    made.add_argument("--browser", choices=ENGINES, nargs="+", default=["chromium", "firefox"])
    made.add_argument("--transport", choices=TRANSPORTS, nargs="+", default=list(TRANSPORTS))
    made.add_argument("--way", choices=WAYS, nargs="+", default=list(WAYS))
    made.add_argument("--kind", choices=["python3", "sdk"], default="python3", help="of app")
    made.add_argument("--push-after-answer", default="50", metavar="MS")
    arguments = made.parse_args()
    at_most = AT_MOST_BUSY if arguments.busy else 0.0
    missed = False
    with contextlib.ExitStack() as stack:
        log = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "emulator.log"
        options = ["--push-after-answer", arguments.push_after_answer]
        sdk = arguments.kind == "sdk"
        emulator = emulated(APP, log, *options) if sdk else RunningEmulator("--no-sdk", *options, str(APP), log=log)
        stack.enter_context(emulator)
        if arguments.busy:
            stack.enter_context(every_core_busy())
        print(f"{'browser':10}{'transport':11}{'by':7}{'posts':>6}{'first':>7}   answer to message, ms: min, p50, max")
        for browser in arguments.browser:
            engine = stack.enter_context(launch(browser))
            for transport in arguments.transport:
                for way, count in counts(engine, emulator, transport, arguments):
                    missed |= count.share > at_most
                    report(f"{browser:10}{transport:11}{way:7}", count)
            page = PushPage(engine.new_page(), emulator.port, arguments.transport[0])
            before = page.watch(TICKS, 1.0).first
            missed |= before < TICKS_BEFORE
            print(f"{browser:10}a message a second for {TICKS} seconds: {before} came before the answer", flush=True)
    return int(missed)


def counts(
    engine: Engine, emulator: RunningEmulator, transport: str, arguments: argparse.Namespace
) -> Iterator[tuple[str, Count]]:
    """What one page of a transport counts, by the way in which it posts."""
    page = PushPage(engine.new_page(), emulator.port, transport)
    for way in arguments.way:
        yield way, page.measure(way, arguments.posts)
    page.page.close()


def report(name: str, count: Count) -> None:
    """Prints a line."""
    delays = sorted(count.delays)
    times = f"{delays[0]:8.1f}{statistics.median(delays):8.1f}{delays[-1]:8.1f}"
    print(f"{name}{count.posts:6}{count.first:7}   {times}", flush=True)


@contextlib.contextmanager
def every_core_busy() -> Iterator[None]:
    """A process without end for each core."""
    spinning = [multiprocessing.Process(target=_spin, daemon=True) for _ in range(os.cpu_count() or 1)]
    for process in spinning:
        process.start()
    try:
        yield
    finally:
        for process in spinning:
            process.terminate()
            process.join()


def _spin() -> None:
    while True:
        pass


if __name__ == "__main__":
    sys.exit(main())
