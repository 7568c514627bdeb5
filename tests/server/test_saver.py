"""The thread that saves, which nothing may end."""

from __future__ import annotations

import pytest

from appengine_channel_emu.broker.broker import EmbeddedBroker
from appengine_channel_emu.broker.clock import SystemClock
from appengine_channel_emu.broker.saving import State
from appengine_channel_emu.server import saver as module
from appengine_channel_emu.server.saver import Saver
from tests.support.waiting import eventually


class MemoryStore:
    """Keeps token names; fails as it is told."""

    def __init__(self):
        self.errors = []
        self.tokens = []
        self.closed = None

    def load(self):
        return State(key=b"k" * 32)

    def save(self, changes):
        if self.errors:
            raise self.errors.pop()
        self.tokens += [token.token for token in changes.tokens]

    def tidy(self):
        pass

    def close(self, saved=True):
        self.closed = saved


@pytest.fixture
def store():
    return MemoryStore()


@pytest.fixture
def broker(store):
    return EmbeddedBroker(SystemClock(), state=store.load(), keep_changes=True)


@pytest.fixture
def saver(broker, store, monkeypatch):
    for name in ("SAVE_INTERVAL", "SAVE_PAUSE", "LONGEST_RETRY", "STOP_PATIENCE", "COMPLAIN_AFTER"):
        monkeypatch.setattr(module, name, 0.01)
    saver = Saver(broker, store)
    saver.start()
    yield saver
    if store.closed is None:
        saver.stop()


@pytest.mark.parametrize("error", [OSError("full"), RuntimeError("a mistake of ours"), MemoryError()])
def test_whatever_a_save_raises_it_is_tried_again(broker, store, saver, error):
    store.errors = [error] * 5
    token = broker.create_channel("bob").token
    eventually(lambda: store.tokens, lambda tokens: tokens == [token])
    saver.stop()
    assert store.closed is True


def test_a_stop_tries_once_more_and_then_says_what_is_lost(broker, store, saver):
    store.errors = [OSError("the disk is full")] * 10_000
    broker.create_channel("bob")
    saver.stop()
    assert store.closed is False
    said = [event.text for event in broker.events.after(0) if event.kind == "store_failed"]
    assert (
        said[-1]
        == "The state cannot be saved: the disk is full. The emulator stops, and what it could not save is lost."
    )


def test_what_was_created_before_a_stop_is_saved_by_it(broker, store, saver):
    token = broker.create_channel("bob").token
    saver.stop()
    assert store.tokens == [token]
