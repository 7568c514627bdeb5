"""What becomes of a descriptor's number: a copy of it may live on in a process that is just being started."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import threading

import pytest

from appengine_channel_emu.server.loop import EpollLoop
from tests.server.test_parking import Wire, connected, open_socket, parked, poll_path
from tests.support import parts
from tests.support.waiting import LONG_ENOUGH, until

epoll = parts.only_where(hasattr(select, "epoll"), "the stock loop registers nothing")


@pytest.fixture
def copies(service):
    """Copies all of the server's connections' descriptors, as a fork does; they are closed in the end."""
    made = []

    def copy():
        for server in service._acceptor.servers:
            for channel in list(server.active_channels.values()):
                made.append(os.dup(channel.socket.fileno()))

    yield copy
    for descriptor in made:
        os.close(descriptor)


def test_a_connection_is_not_closed_by_what_happens_to_one_that_had_its_number(service, copies):
    socket_id = open_socket(service)
    for number in range(5):
        # Our own ends first, so that what the server accepts gets the number that it has just closed.
        first, page = socket.socket(), socket.socket()
        with contextlib.closing(Wire(service, first)) as ended:
            ended.send("/_emu/health")
            assert ended.answer()[0] == "HTTP/1.1 200 OK"
            before = numbers(service)
            copies()
            ended.send("/_emu/health", headers="Connection: close\r\n")
            ended.answer()
            until(lambda: not connected(service))
            with contextlib.closing(Wire(service, page)) as living:
                living.send(poll_path(socket_id, after=number))
                until(lambda: parked(service) == 1)
                assert numbers(service) == before
                ended.close()  # An event of the copy.
                service.broker.send_message("bob", str(number))
                assert living.poll() == [str(number)]
        until(lambda: not connected(service))


def numbers(service):
    """The descriptors of the connections that are open."""
    return {number for server in service._acceptor.servers for number in server.active_channels}


def test_a_client_sees_the_end_at_once_though_a_copy_lives(service, copies):
    each = Wire(service)
    each.send("/_emu/health")
    each.answer()
    copies()
    each.send("/_emu/health", headers="Connection: close\r\n")
    each.answer()
    assert each.file.read() == b""
    each.close()


class Thing:
    """In a socket map: notes its events, and does `then` at each."""

    accepting = False

    def __init__(self, then=lambda: None):
        self.events = 0
        self._then = then

    def handle_read_event(self):
        self.events += 1
        self._then()


@epoll
def test_an_event_is_for_the_connection_that_it_was_of():
    """Within one turn a connection ends, and another is accepted that gets its number."""
    things = {}
    loop = EpollLoop(things)
    newer = Thing()
    older = Thing()
    accepting = Thing(lambda: things.update({101: newer}))
    things.update({100: accepting, 101: older})

    class Ready:
        def poll(self, seconds):
            return [(100, select.EPOLLIN), (101, select.EPOLLIN)]

    loop._epoll = Ready()
    loop._serve_descriptors(0)
    assert (accepting.events, older.events, newer.events) == (1, 0, 0)


@epoll
def test_a_connection_for_which_epoll_has_no_room_leaves_nothing_behind(service, monkeypatch):
    def no_room(channel):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr(service._loop, "add", no_room)
        with contextlib.closing(Wire(service)) as refused:
            assert refused.file.read() == b""
    assert not connected(service)
    with contextlib.closing(Wire(service)) as each:
        each.send("/_emu/health")
        assert each.answer()[0] == "HTTP/1.1 200 OK"


@pytest.mark.usefixtures("any_loop")
def test_a_loop_goes_on_after_an_error_in_one_of_its_turns(make_service, caplog):
    service = make_service()
    broken = threading.Event()

    def once():
        if not broken.is_set():
            broken.set()
            raise RuntimeError("in a turn")

    service._parked_polls.expire_due = once
    assert broken.wait(LONG_ENOUGH)
    with contextlib.closing(Wire(service)) as each:
        each.send("/_emu/health")
        assert each.answer()[0] == "HTTP/1.1 200 OK"
    assert "in a turn" in caplog.text


@pytest.mark.usefixtures("any_loop")
def test_whoever_wakes_a_loop_that_has_ended_writes_into_nobodys_file(make_service):
    service = make_service()
    loop, servers = service._loop, service._acceptor.servers
    service.stop()
    # These now have the numbers that were the loop's.
    pairs = [socket.socketpair() for _ in range(10)]
    loop.wake()
    for server in servers:
        server.pull_trigger()
    for pair in pairs:
        assert not select.select(pair, [], [], 0)[0]
        for each in pair:
            each.close()


@pytest.mark.usefixtures("any_loop")
def test_idle_connections_are_ended_while_others_come_and_go(make_service):
    service = make_service()

    def grow_old():
        for server in service._acceptor.servers:
            for channel in list(server.active_channels.values()):
                channel.last_activity -= 10 * server.adj.channel_timeout
            server.next_channel_cleanup = 0
        return not connected(service)

    with contextlib.closing(Wire(service)) as idle:
        idle.send("/_emu/health")
        idle.answer()
        until(grow_old)
        assert idle.file.read() == b""
