"""Two thousand sockets under random trouble: none lost, none twice, none out of order, and memory flat."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

import pytest
import urllib3

from tests.reliability.emulators import roomy_emulator
from tests.reliability.pages import TROUBLES, Crowd, Page
from tests.support.emulator import RunningEmulator
from tests.support.waiting import LONG_ENOUGH

pytestmark = pytest.mark.soak

FULL = bool(os.environ.get("SOAK"))
SOCKETS = 2_000 if FULL else 300
MESSAGES = 1_000_000 if FULL else 20_000
RESTARTS = 10 if FULL else 2
RECEIVERS = 50
"""Pages that one send goes to."""
AHEAD = 2_000
"""Messages that may be under way: as many are before memory is first looked at, and what they take is no growth."""


@pytest.fixture
def emulator(tmp_path):
    # Its log of events is full before its memory is first looked at.
    with roomy_emulator(tmp_path, "--event-log", "500", state_dir=tmp_path / "state") as running:
        yield running


class Soak:
    """The crowd, and what is sent to it."""

    def __init__(self, emulator: RunningEmulator, seed: int) -> None:
        self.emulator = emulator
        self.crowd = Crowd(emulator.port, seed, trouble=0.02)
        self.sent = 0
        self._chance = random.Random(seed)
        self._http = urllib3.PoolManager(retries=False)
        for number in range(SOCKETS):
            token = emulator.create_channel(f"page {number}")
            opened = emulator.get_json(f"/_ah/channel/open?channel={token}")
            self.crowd.add(Page(f"page {number}", opened["socket"]))

    def send(self) -> None:
        """One message to some pages."""
        pages = self._chance.sample(self.crowd.pages, RECEIVERS)
        text = str(self.sent)
        body = {"client_ids": [page.client_id for page in pages], "message": text}
        answer = self._http.request("POST", self.emulator.url + "/_emu/messages", json=body).json()
        assert answer == {"delivered_to": RECEIVERS}
        for page in pages:
            page.expected.append(text)
        self.sent += RECEIVERS

    def run(self, messages: int) -> None:
        """Send until so many more are on their way, and receive meanwhile."""
        goal = self.sent + messages
        while self.sent < goal:
            self.send()
            self.crowd.turn(0)
            if self._chance.random() < 0.2:
                self.crowd.make_trouble()
            while self.sent - self.crowd.delivered > AHEAD:
                self.crowd.turn(1)

    def finish(self) -> None:
        """Receive all that is left."""
        give_up = time.monotonic() + LONG_ENOUGH
        while any(page.expected for page in self.crowd.pages):
            self.crowd.turn(1)
            assert time.monotonic() < give_up, "messages are missing"

    def restart(self) -> None:
        """The emulator goes and comes back; the pages connect again."""
        assert self.emulator.stop() == 0
        self.emulator.start()
        self._http.clear()
        for page in self.crowd.pages:
            self.crowd.connect(page)

    def memory(self) -> float:
        """Resident KiB of the emulator."""
        assert self.emulator.pid
        lines = Path(f"/proc/{self.emulator.pid}/status").read_text().splitlines()
        return float(next(line for line in lines if line.startswith("VmRSS")).split()[1])


def test_through_trouble_and_restarts(emulator):
    soak = Soak(emulator, seed=11)
    for _ in range(RESTARTS):
        soak.run(MESSAGES // (2 * RESTARTS))
        soak.restart()
    soak.finish()
    assert soak.crowd.delivered == soak.sent
    assert all(soak.crowd.met[kind] for kind in TROUBLES)


def test_memory_is_flat(emulator):
    soak = Soak(emulator, seed=12)
    soak.run(MESSAGES // 10)
    soak.finish()
    early = soak.memory()
    soak.run(MESSAGES * 2 // 5)
    soak.finish()
    assert soak.crowd.delivered == soak.sent
    # In the short run what the first tenth leaves out (such as the journal filling up) weighs more.
    assert soak.memory() <= early * (1.05 if FULL else 1.25)
