"""The loop on epoll: what wakes it, and what may wait (design.md, "The server")."""

from __future__ import annotations

import select
import socket
from threading import Lock

import pytest

from appengine_channel_emu.server import loop as loop_module
from appengine_channel_emu.server.loop import WORDS_AT_ONCE, EpollLoop
from appengine_channel_emu.server.service import _stop_listening
from tests.support import parts
from tests.support.service import running_service
from tests.support.waiting import until

pytestmark = parts.only_where(hasattr(select, "epoll"), "there is no epoll here")


class Streamed:
    """A connection that has become a stream, and what was read of it."""

    accepting = False

    def __init__(self, loop):
        self.client, self._server = socket.socketpair()
        self.loop_lock = Lock()
        self.heard = 0
        self.goes_on = True
        self.read_at_length = 0
        self.fileno_or_none = self._server.fileno()
        loop.socket_map[self.fileno_or_none] = self
        loop.add(self)

    def hear(self):
        if self.goes_on:
            self.heard += len(self._server.recv(100))
        return self.goes_on

    def handle_read_event(self):
        self.read_at_length += len(self._server.recv(100))

    def changed(self):
        pass

    def close(self):
        self.client.close()
        self._server.close()


@pytest.fixture
def loop():
    loop = EpollLoop()
    yield loop
    loop.close()


@pytest.fixture
def streams(loop):
    made = []

    def make(count):
        for _ in range(count):
            made.append(Streamed(loop))
            loop.let_wait(made[-1])
        return made

    yield make
    for each in made:
        each.client.close()


def say(streams):
    for each in streams:
        each.client.send(b"7")


def turn(loop):
    loop._serve_descriptors(0)


def test_the_first_word_is_heard_at_once_and_those_that_follow_together(loop, streams, monkeypatch):
    monkeypatch.setattr(loop_module, "WORDS_SECONDS", 1000.0)
    made = streams(5)
    say(made[:1])
    turn(loop)
    assert made[0].heard == 1
    say(made)
    turn(loop)
    assert [each.heard for each in made] == [1, 0, 0, 0, 0]
    loop._words_due = 0.0  # The time has come.
    turn(loop)
    turn(loop)
    assert [each.heard for each in made] == [2, 1, 1, 1, 1]


def test_whoever_is_no_stream_does_not_wait(loop, streams, monkeypatch):
    monkeypatch.setattr(loop_module, "WORDS_SECONDS", 1000.0)
    say(streams(1))
    turn(loop)
    other = Streamed(loop)
    say([other])
    turn(loop)
    assert other.read_at_length == 1
    other.close()


def test_thousands_of_words_keep_nobody_waiting_and_none_is_left(loop, streams, monkeypatch):
    monkeypatch.setattr(loop_module, "WORDS_SECONDS", 0.0)
    made = streams(WORDS_AT_ONCE + 40)
    say(made)
    turn(loop)
    assert sum(each.heard for each in made) == WORDS_AT_ONCE
    for _ in range(3):
        turn(loop)
    assert [each.heard for each in made] == [1] * len(made)


def test_one_that_does_not_go_on_is_read_as_any_other(loop, streams):
    (each,) = streams(1)
    each.goes_on = False
    say([each])
    turn(loop)
    assert (each.heard, each.read_at_length) == (0, 1)


def test_an_error_makes_none_deaf(loop, streams, monkeypatch):
    monkeypatch.setattr(loop_module, "WORDS_SECONDS", 0.0)
    (each,) = streams(1)
    with monkeypatch.context() as failing:
        failing.setattr(each, "hear", lambda: 1 / 0)
        say([each])
        with pytest.raises(ZeroDivisionError):
            turn(loop)
    for _ in range(2):
        turn(loop)
    assert each.heard == 1


def test_one_that_ends_is_forgotten(loop, streams):
    ended, other = streams(2)
    say([ended, other])
    loop.remove(ended)
    del loop.socket_map[ended.fileno_or_none]
    turn(loop)
    assert (ended.heard, other.heard) == (0, 1)
    ended.close()


def test_a_server_that_listens_no_more_is_no_error():
    """As one does that leaves a service: it goes on for a while with the pages that it has."""
    with running_service() as service:
        numbers = [sock.fileno() for sock in service._sockets]
        for sock in service._sockets:
            _stop_listening(sock)
        until(lambda: not any(number in service._loop.socket_map for number in numbers))
        for number in numbers:
            service._loop._forget(service._loop._epoll, number)
        service._loop._look_at_all()
