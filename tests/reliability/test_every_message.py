"""A million messages over real sockets, to pages that poll and pages that stream: none lost, twice or out of order."""

from __future__ import annotations

import os
import random
import time
from collections import deque

import pytest

from appengine_channel_emu.bench.pages import Pages
from tests.reliability.emulators import roomy_emulator
from tests.support.waiting import LONG_ENOUGH

FULL = bool(os.environ.get("SOAK"))
PAGES = 2_000 if FULL else 200
MESSAGES = 1_000_000 if FULL else 10_000
MANY = 250
"""Client ids of one call at the most."""
UNDER_WAY = 20_000
"""Messages that may be on their way at once: fewer than what a page's backlog holds."""


@pytest.fixture
def emulator(tmp_path):
    with roomy_emulator(tmp_path) as running:
        yield running


class Sending:
    """Numbered messages, one by one and many at once, and what each page is yet to get, in order."""

    def __init__(self, pages: Pages, seed: int) -> None:
        self.pages = pages
        self.sent = self.delivered = 0
        self._chance = random.Random(seed)
        self._client_ids = list(pages.by_client)
        self._expected: dict[str, deque[str]] = {client_id: deque() for client_id in self._client_ids}

    def send(self) -> None:
        """Some to one page each, or one to some pages."""
        if self._chance.random() < 0.5:
            for client_id in self._chance.sample(self._client_ids, 20):
                self._post({"client_id": client_id}, [client_id])
        else:
            client_ids = self._chance.sample(self._client_ids, self._chance.randint(1, min(MANY, PAGES)))
            self._post({"client_ids": client_ids}, client_ids)

    def receive(self, seconds: float) -> None:
        """Take what arrives, and compare it with what is due."""
        for page, messages in self.pages.turn(seconds):
            expected = self._expected[page.client_id]
            for text in messages:
                due = expected.popleft() if expected else "nothing"
                assert text == due, f"{page.client_id} got {text}, and {due} was due"
            self.delivered += len(messages)

    def _post(self, whom: dict[str, object], client_ids: list[str]) -> None:
        text = str(self.sent)
        answer = self.pages.api.post("/_emu/messages", whom | {"message": text})
        assert answer == {"delivered_to": len(client_ids)}
        for client_id in client_ids:
            self._expected[client_id].append(text)
        self.sent += len(client_ids)


@pytest.mark.soak
def test_every_message_arrives_once_and_in_order(emulator):
    pages = Pages(emulator.url)
    pages.open(PAGES // 2, transport="poll")
    pages.open(PAGES // 2, transport="websocket")
    sending = Sending(pages, seed=13)
    while sending.sent < MESSAGES:
        sending.send()
        sending.receive(0)
        while sending.sent - sending.delivered > UNDER_WAY:
            sending.receive(1)
    give_up = time.monotonic() + LONG_ENOUGH
    while sending.delivered < sending.sent:
        sending.receive(1)
        assert time.monotonic() < give_up, f"{sending.sent - sending.delivered} messages are missing"
    pages.rest(1)
    assert all(page.received == page.after for page in pages.by_client.values())
    print(f"{sending.delivered} messages to {len(pages)} pages, each once and in its order")
    pages.leave()
