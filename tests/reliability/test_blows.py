"""Under load: the emulator is killed, and its clock jumps. What survives, and what is said of what does not."""

from __future__ import annotations

import itertools
import os
import random
import signal
import threading
import time
from collections.abc import Callable

import pytest
import urllib3

from tests.reliability.pages import Crowd, Page
from tests.support.emulator import RunningEmulator
from tests.support.waiting import LONG_ENOUGH

pytestmark = pytest.mark.slow

PAGES = 100
AWAY = 30
"""Of the pages, those that have lost their connection: what they are sent is nowhere but in the emulator."""
RECEIVERS = 10
SENDS_A_SECOND = 100
SENDS_BEFORE_KILL = 250
KILLS = 3
JUMPS = 20
SENDS_A_JUMP = 10
LOST_SECONDS = 1.0
"""Of the messages accepted before a SIGKILL, those of this long may be lost (behaviour.md 2)."""
A_DAY = 24 * 60


class Load:
    """Pages, and messages for them at a steady rate; the text of each is its number."""

    def __init__(self, emulator: RunningEmulator, seed: int) -> None:
        self.emulator = emulator
        self.crowd = Crowd(emulator.port, seed, trouble=0.0)
        self.tokens: list[str] = []
        self.accepted: list[float] = []
        """When each message's send had returned, in seconds of `time.monotonic()`."""
        self._chance = random.Random(seed)
        self._http = urllib3.PoolManager(retries=False)
        for number in range(PAGES):
            self.tokens.append(emulator.create_channel(f"page {number}", A_DAY))
            opened = emulator.get_json(f"/_ah/channel/open?channel={self.tokens[-1]}")
            self.crowd.add(Page(f"page {number}", opened["socket"]))

    def send(self, pages: list[Page]) -> None:
        """One message; an emulator that dies meanwhile may or may not have taken it."""
        text = str(len(self.accepted))
        for page in pages:
            page.expected.append(text)
        self.accepted.append(float("inf"))
        body = {"client_ids": [page.client_id for page in pages], "message": text}
        answer = self._http.request("POST", self.emulator.url + "/_emu/messages", json=body)
        assert answer.json() == {"delivered_to": len(pages)}
        self.accepted[-1] = time.monotonic()

    def run(self, over: Callable[[], bool]) -> None:
        """Send and receive until it is `over`; raises urllib3's HTTPError, or OSError, once the emulator is dead."""
        began = time.monotonic()
        for number in itertools.count():
            if over():
                return
            due = began + number / SENDS_A_SECOND
            self.send(self._chance.sample(self.crowd.pages, RECEIVERS))
            while (left := due - time.monotonic()) > 0:
                self.crowd.turn(left)
            self.crowd.turn(0)

    def finish(self) -> None:
        """A last message to each page, and everything that is under way."""
        self.send(self.crowd.pages)
        give_up = time.monotonic() + LONG_ENOUGH
        while any(page.expected for page in self.crowd.pages):
            self.crowd.turn(1)
            assert time.monotonic() < give_up, "messages are missing"

    def come_back(self) -> None:
        """The pages connect again, as after any loss of the connection."""
        self._http.clear()
        for page in self.crowd.pages:
            self.crowd.connect(page)


@pytest.fixture
def emulator(tmp_path):
    with RunningEmulator(log=tmp_path / "log", state_dir=tmp_path / "state") as running:
        yield running
        log = (tmp_path / "log").read_text()
        assert "Traceback" not in log, log[-3000:]


def killing(load: Load, moments: list[float]) -> Callable[[], bool]:
    """For `Load.run`: SIGKILL while it sends, after so many messages; the moment just before it will be in the list."""
    pid = load.emulator.pid
    assert pid is not None
    last = len(load.accepted) + SENDS_BEFORE_KILL

    def kill() -> None:
        moments.append(time.monotonic())
        os.kill(pid, signal.SIGKILL)

    def over() -> bool:
        if len(load.accepted) == last:
            threading.Thread(target=kill).start()
        return False

    return over


def test_sigkill_under_load_costs_the_last_second_at_most_and_an_event_says_so(emulator):
    load = Load(emulator, seed=21)
    for _ in range(KILLS):
        for page in load.crowd.pages[:AWAY]:
            load.crowd.disconnect(page)
        moments: list[float] = []
        with pytest.raises((urllib3.exceptions.HTTPError, OSError)):
            load.run(killing(load, moments))
        (killed,) = moments
        emulator.kill(signal.SIGKILL)
        emulator.start()
        load.crowd.may_be_lost = lambda text, since=killed - LOST_SECONDS: load.accepted[int(text)] > since
        load.come_back()
        load.finish()
        said = emulator.get_json("/_emu/events?kind=unclean_start")["events"]
        assert [event["text"] for event in said] == [
            "The emulator was killed: messages of its last second may be lost."
        ]
    for number, token in enumerate(load.tokens):
        assert emulator.get_json(f"/_ah/channel/open?channel={token}")["client"] == f"page {number}"
    assert load.crowd.delivered > KILLS * PAGES
    assert load.crowd.delivered + load.crowd.lost == (len(load.accepted) - KILLS) * RECEIVERS + KILLS * PAGES


def test_clock_jumps_under_load_lose_nothing_and_end_the_tokens_that_are_due(emulator):
    load = Load(emulator, seed=22)
    brief = emulator.create_channel("brief", minutes=1)
    assert emulator.get_json(f"/_ah/channel/open?channel={brief}")["client"] == "brief"
    jumps: list[float] = []

    due = threading.Semaphore(0)

    def jump() -> None:
        http = urllib3.PoolManager(retries=False)
        for _ in range(JUMPS):
            due.acquire()
            answer = http.request("POST", emulator.url + "/_emu/clock", json={"advance": 600})
            jumps.append(answer.json()["advanced"])

    def over() -> bool:
        if len(load.accepted) % SENDS_A_JUMP == 0:
            due.release()
        return not jumper.is_alive()

    jumper = threading.Thread(target=jump)
    jumper.start()
    try:
        load.run(over)
    finally:
        due.release(JUMPS)
        jumper.join()
    load.finish()
    assert jumps == [600 * (number + 1) for number in range(JUMPS)]
    ended = emulator.get_json("/_emu/events?kind=socket_closed")["events"]
    assert {event["client_id"] for event in ended} == {"brief"}
