"""What an idle page keeps of the broker's memory, in bytes: tens of thousands of them are to fit."""

from __future__ import annotations

import gc
import tracemalloc

import pytest

from appengine_channel_emu.broker.broker import EmbeddedBroker
from appengine_channel_emu.broker.clock import ManualClock
from appengine_channel_emu.broker.contract import BrokerOptions

PAGES = 2_000
BROWSER = "127.0.0.1 Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0"

TOKEN, SOCKET, POLL = 450, 1_300, 250
"""Bytes at most, with the text that names each; a table of the broker's may have been made larger just now."""


@pytest.fixture
def grown():
    """Tells by how many bytes what is kept has grown, for each page, since it was asked before."""
    gc.collect()
    tracemalloc.start()
    before = 0

    def grown() -> float:
        nonlocal before
        gc.collect()
        since, before = before, tracemalloc.get_traced_memory()[0]
        return (before - since) / PAGES

    yield grown
    tracemalloc.stop()


def test_an_idle_page_is_small(grown):
    clock = ManualClock()
    # Of the log of events there is one, however many pages there are.
    options = BrokerOptions(event_log=1)
    broker = EmbeddedBroker(clock, options, lambda *post: broker.presence_done(*post, 200), keep_changes=True)
    tokens, sockets, polls = [""] * PAGES, [""] * PAGES, [None] * PAGES

    def save() -> None:
        while broker.take_changes():
            pass

    grown()
    for number in range(PAGES):
        tokens[number] = broker.create_channel(f"client {number}").token
    save()
    assert 100 < grown() < TOKEN
    for number, token in enumerate(tokens):
        # As from the wire: a text of its own each time.
        sockets[number] = broker.open(_copy(token), attempt=f"{number:016}", browser=BROWSER).socket
    save()
    assert 300 < grown() < SOCKET
    for number, socket in enumerate(sockets):
        polls[number] = broker.poll(_copy(socket), 0, BROWSER)
        polls[number].ready.when_set(_nothing)
    save()
    assert 100 < grown() < POLL

    for text in ("one", "two"):
        broker.send_many([f"client {number}" for number in range(PAGES)], text)
        for number, poll in enumerate(polls):
            after = broker.take(poll).next
            broker.release(poll)
            polls[number] = broker.poll(_copy(sockets[number]), after, BROWSER)
            polls[number].ready.when_set(_nothing)
    # What it has had, and what was saved of it, is gone; the time of its last message is there.
    broker.journal.clear()
    save()
    assert grown() < 64
    clock.advance(10)
    assert grown() < 0  # the timers of its sockets
    for poll in polls:
        broker.release(poll)
    polls.clear()
    broker.control.reset()
    save()
    del tokens, sockets, polls, poll
    clock.advance(86_400)
    # The tables of what there is stay as large as they were.
    assert grown() < -900


def _copy(text: str) -> str:
    return "".join(list(text))


def _nothing() -> None:
    """Where a server would wake."""
