"""What the emulator adds to the SDK's own dev server: at the start, and to each request. Both measured as pairs.

    python bench/sdk_start.py [--starts 5] [--requests 300]

A start lasts until a page of the app is served. A request goes straight to the dev server and through the front in
turns, so that both meet the same load of the machine.
"""

from __future__ import annotations

import contextlib
import statistics
import sys
import tempfile
import time
from pathlib import Path

import urllib3
from command_line import parser

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.support.legacy import APPS, PlainSdk, emulated

APP = APPS / "own_channel"
STATIC = APPS / "webapp2_ndb"
MOST_AT_START = 1.0
MOST_PER_REQUEST = 0.002

http = urllib3.PoolManager(retries=False, timeout=urllib3.Timeout(60))


def main() -> int:
    """Prints what it found; 1 where the emulator costs more than it may."""
    made = parser(__doc__, "about a minute")
    made.add_argument("--starts", type=int, default=5)
    made.add_argument("--requests", type=int, default=300)
    options = made.parse_args()
    starts, requests = options.starts, options.requests
    plain, ours = [], []
    for _ in range(starts):
        plain.append(start_of_plain())
        ours.append(start_of_ours())
    added = statistics.median(ours) - statistics.median(plain)
    print(f"start: dev_appserver.py {statistics.median(plain):.2f} s, channel-emu {statistics.median(ours):.2f} s, ")
    print(f"       {added:+.2f} s (at most {MOST_AT_START:+.2f} s)")
    straight, through = per_request(requests)
    more = statistics.median(through) - statistics.median(straight)
    print(
        f"request, p50 of {requests}: straight {statistics.median(straight) * 1000:.2f} ms, "
        f"through the front {statistics.median(through) * 1000:.2f} ms,"
    )
    print(f"       {more * 1000:+.2f} ms (at most {MOST_PER_REQUEST * 1000:+.2f} ms)")
    return 0 if added <= MOST_AT_START and more <= MOST_PER_REQUEST else 1


def start_of_plain() -> float:
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, PlainSdk(APP, Path(folder)) as server:
        assert http.request("GET", server.url).status == 200
        return time.monotonic() - started


def start_of_ours() -> float:
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, emulated(APP, Path(folder) / "log") as server:
        assert http.request("GET", server.url).status == 200
        return time.monotonic() - started


def per_request(count: int) -> tuple[list[float], list[float]]:
    """Seconds of each request, straight to the child and through the front."""
    with tempfile.TemporaryDirectory() as folder, emulated(STATIC, Path(folder) / "log", "--quiet") as server:
        child = child_url(STATIC)
        url = {"straight": f"{child}/environ", "through": f"{server.url}/environ"}
        seconds: dict[str, list[float]] = {"straight": [], "through": []}
        for number in range(count + 20):
            for way, address in url.items():
                started = time.perf_counter()
                assert http.request("GET", address).status == 200
                if number >= 20:
                    seconds[way].append(time.perf_counter() - started)
    return seconds["straight"], seconds["through"]


def child_url(app: Path) -> str:
    """Of the dev server of `app`, by its command line: the log names the emulator's address alone."""
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            words = process.read_text("utf-8", "replace").split("\0")
            ports = [word.removeprefix("--port=") for word in words if word.startswith("--port=")]
            if ports and any(word.startswith(str(app)) for word in words):
                return f"http://127.0.0.1:{ports[0]}"
    raise SystemExit(f"no dev server of {app} runs")


if __name__ == "__main__":
    sys.exit(main())
