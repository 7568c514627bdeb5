"""From `send_message` in an app's handler to `onmessage` in Chromium: ours, and the SDK's dev server, in one run.

    python bench/delivery.py [--sends 500] [--posts 100]

One app runs three times: under the emulator as a Python 3 app and as an SDK app, and on the real `dev_appserver.py`.
Each has a Chromium of its own, which nothing else watches: its page keeps the times and reports them at the end. The
sends take turns, each after a pause of random length, so that no server's polls fall into step with them and what
else the machine does falls on all. Handler and page read the same clock. What sends is another client than the page.

Then each page posts by itself, to a handler that sends to it: from the arrival of the answer to that of the message,
which the emulator does not let overtake the answer (--push-after-answer).
"""

from __future__ import annotations

import contextlib
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import urllib3
from command_line import parser
from servers import REAL, AnyServer, beside_the_real_one

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.browser.engines import FLAGS
from tests.support import parts

APP = Path(__file__).parent / "delivery_app"
LONGEST_PAUSE = 0.5
"""Seconds; the dev server's page polls once in this time."""
LESS_AT_P50, LESS_AT_P99 = 100, 30
"""By what ours must be sooner than the real one."""
WAIT = 30
"""Seconds that a page has for what it is waited for."""

http = urllib3.PoolManager(retries=False, timeout=urllib3.Timeout(60))


def main() -> int:
    """1 where the emulator is not as much sooner as it must be."""
    made = parser(__doc__, "about eight minutes")
    made.add_argument("--sends", type=int, default=500)
    made.add_argument("--posts", type=int, default=100)
    arguments = made.parse_args()
    sends, posts = arguments.sends, arguments.posts
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        servers = beside_the_real_one(APP, folder)
        for name, server in servers.items():
            stack.enter_context(server)
            stack.enter_context(chromium(server.url, folder / f"profile of {name}"))
            _until_told(server, "/opened")
        chance = random.Random(1)
        for _ in range(sends):
            for server in servers.values():
                time.sleep(chance.uniform(0, LONGEST_PAUSE))
                assert http.request("POST", f"{server.url}/send").status == 200
        missed = report({name: delays_of(server, sends) for name, server in servers.items()})
        report_posts({name: posts_of(server, posts) for name, server in servers.items()})
        return missed


@contextlib.contextmanager
def chromium(url: str, profile: Path) -> Iterator[None]:
    """Chromium with the page at `url`."""
    command = [str(parts.need(parts.chromium)), "--headless=new", "--no-sandbox", *FLAGS, f"--user-data-dir={profile}"]
    process = subprocess.Popen([*command, url], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        process.wait()


def delays_of(server: AnyServer, sends: int) -> list[float]:
    """The milliseconds that each message took, sorted, once the page has them all."""
    time.sleep(2)  # The real one's page fetches one message at a time.
    http.request("POST", f"{server.url}/ask?report")
    delays: list[float] = json.loads(_until_told(server, "/report"))
    assert len(delays) == sends, f"{sends - len(delays)} messages were lost"
    return sorted(delays)


def posts_of(server: AnyServer, posts: int) -> list[float]:
    """The milliseconds from each answer to its message, sorted; below 0 where the message came first."""
    http.request("POST", f"{server.url}/ask?post+{posts}")
    behind: list[float] = json.loads(_until_told(server, "/posted", WAIT + 2 * posts))
    assert len(behind) == posts
    return sorted(behind)


def _until_told(server: AnyServer, path: str, wait: float = WAIT) -> str:
    give_up = time.monotonic() + wait
    while not (told := http.request("GET", server.url + path).data.decode()):
        assert time.monotonic() < give_up, f"the page does not tell {path}"
        time.sleep(0.1)
    return told


def report(delays: dict[str, list[float]]) -> int:
    """Prints a line for each server."""
    sends = len(delays[REAL])
    print(f"{sends} sends each, send_message to onmessage in milliseconds")
    print(f"{'':26}{'p50':>8}{'p99':>8}{'max':>8}   sooner than the real one at p50, p99")
    real = percentiles(delays[REAL])
    missed = False
    for name, each in delays.items():
        p50, p99 = percentiles(each)
        ratios = "" if name == REAL else f"   {real[0] / p50:.0f} times, {real[1] / p99:.0f} times"
        missed |= name != REAL and (real[0] / p50 < LESS_AT_P50 or real[1] / p99 < LESS_AT_P99)
        print(f"{name:26}{p50:8.2f}{p99:8.2f}{each[-1]:8.2f}{ratios}")
    print(f"(asked for: {LESS_AT_P50} times at p50, {LESS_AT_P99} times at p99)")
    return int(missed)


def report_posts(behind: dict[str, list[float]]) -> None:
    """Prints a line for each server."""
    print(f"\n{len(behind[REAL])} posts of each page itself, from the answer to the message in milliseconds")
    print(f"{'':26}{'min':>8}{'p50':>8}{'max':>8}   messages before their answer")
    for name, each in behind.items():
        first = sum(delay <= 0 for delay in each)
        print(f"{name:26}{each[0]:8.1f}{statistics.median(each):8.1f}{each[-1]:8.1f}   {first}")


def percentiles(delays: list[float]) -> tuple[float, float]:
    """The median, and the 99th of 100."""
    return statistics.median(delays), statistics.quantiles(delays, n=100)[98]


if __name__ == "__main__":
    sys.exit(main())
