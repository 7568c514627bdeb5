"""Thousands of pages that do the same thing at once: arrive, vanish, run out of time; and an app that is slow."""

from __future__ import annotations

import json
import statistics
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from urllib.request import urlopen

from report import Report

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from appengine_channel_emu.bench.measure import deliver, fan_out, percentile
from appengine_channel_emu.bench.pages import Api, Pages
from appengine_channel_emu.bench.process import ServerProcess, emulator

CROWD = 5_000
GONE = 2_500
ROUNDS = 3
SLEEPERS = 40
EXPIRY_SECONDS = 6.0
NOTICED_SECONDS = 5.0
TOLD_SECONDS = 15.0
"""Until then the app has been told of everybody, even too late."""
APP = ["main:app", "--app-dir", str(Path(__file__).parent / "crowd_app"), "--quiet"]
"""How the emulator runs the app of these rows."""


def measure_crowds(report: Report, sleep_seconds: float, sends: int) -> None:
    """All rows of this file."""
    sys.setswitchinterval(0.0005)  # Here the thread that asks for health must not wait for the one with the pages.
    with emulator("--quiet") as server:
        arrive_and_expire(report, Pages(server.url))
    with emulator(*APP) as server:
        vanish(report, server, Pages(server.url))
    with emulator(*APP) as server:
        slow_app(report, server, Pages(server.url), sleep_seconds, sends)


def arrive_and_expire(report: Report, pages: Pages) -> None:
    """5,000 polls in one breath, and their common end."""
    api = Api(pages.url)
    parked, expired, health = [], [], []
    made = pages.prepare(CROWD)
    for _ in range(ROUNDS):
        began = time.perf_counter()
        for page in made:
            page.begin(EXPIRY_SECONDS)
        last = time.perf_counter()
        # The server takes requests as they come: one that is sent after the polls is answered after them.
        api.get("/_emu/health")
        parked.append(time.perf_counter() - began)
        time.sleep(max(0.0, began + EXPIRY_SECONDS - 0.5 - time.perf_counter()))
        slowest = Slowest(api)
        pages.gather(CROWD)
        expired.append(time.perf_counter() - last - EXPIRY_SECONDS)
        health.append(slowest.stop())
    pages.vanish(CROWD)
    report.row("5,000 new polls parked within", statistics.median(parked), "s", 2)
    report.row("5,000 polls that expire together answered within", statistics.median(expired), "s", 2.5)
    report.row("slowest /_emu/health meanwhile", statistics.median(health) * 1000, "ms", 100)


class Slowest:
    """Asks for `/_emu/health` all the time, on a thread of its own."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._stopping = False
        self._seconds = 0.0
        self._thread = threading.Thread(target=self._ask)
        self._thread.start()

    def stop(self) -> float:
        """The longest that one took, in seconds."""
        self._stopping = True
        self._thread.join()
        return self._seconds

    def _ask(self) -> None:
        while not self._stopping:
            began = time.perf_counter()
            self._api.get("/_emu/health")
            self._seconds = max(self._seconds, time.perf_counter() - began)
            time.sleep(0.005)


def vanish(report: Report, server: ServerProcess, pages: Pages) -> None:
    """Half of the pages go without a word."""
    pages.open(CROWD)
    pages.rest(NOTICED_SECONDS)
    open_files = server.descriptors()
    began = time.monotonic()
    gone = pages.vanish(GONE)
    _until(lambda: server.descriptors() <= open_files - GONE)
    report.row("2,500 of 5,000 pages vanish: their polls released within", time.monotonic() - began, "s", 1)
    reached = fan_out_count(pages)
    pages.rest(began + TOLD_SECONDS - time.monotonic())
    posts = json.load(urlopen(server.url + "/posts"))
    told = {client_id: moment - began for kind, client_id, moment in posts if kind == "disconnected"}
    times = Counter(client_id for kind, client_id, _ in posts if kind == "disconnected")
    report.row("  the others reached by a message meanwhile", reached, "", CROWD - GONE, at_most=False)
    report.row(
        "  not told of once, or told of though still there",
        len(Counter(gone) - times) + len(times - Counter(gone)),
        "",
        0,
    )
    pages.vanish(len(pages))
    report.row("  first disconnected/ after", min(told.values(), default=0.0), "s", 7, at_most=False)
    report.row("  last disconnected/ after", max(told.values(), default=60.0), "s", 8)


def fan_out_count(pages: Pages) -> int:
    """How many pages got a message that was sent to all; it raises when some did not."""
    before = sum(page.received for page in pages.by_client.values())
    fan_out(pages)
    return sum(page.received for page in pages.by_client.values()) - before


def slow_app(report: Report, server: ServerProcess, pages: Pages, seconds: float, sends: int) -> None:
    """Delivery while 40 requests of the app's sleep."""
    pages.open(1_000)
    pages.rest(1)
    before = statistics.median(percentile(deliver(pages, sends), 0.99) for _ in range(ROUNDS))
    sleepers = [threading.Thread(target=_sleep, args=(server.url, seconds)) for _ in range(SLEEPERS)]
    for sleeper in sleepers:
        sleeper.start()
    pages.rest(0.5)
    until = time.monotonic() + seconds
    during = statistics.median(percentile(deliver(pages, sends), 0.99) for _ in range(ROUNDS))
    assert time.monotonic() < until, "the app woke before the last message: sleep longer"
    report.row("delivery p99, 40 app requests asleep / none", during / before, "", 2)
    for sleeper in sleepers:
        sleeper.join()


def _sleep(url: str, seconds: float) -> None:
    with urlopen(f"{url}/sleep?seconds={seconds}", timeout=120) as answer:
        answer.read()


def _until(condition: Callable[[], bool], seconds: float = 30) -> None:
    give_up = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up, "it did not happen"
        time.sleep(0.005)
