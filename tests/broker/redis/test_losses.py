"""Redis is away, slow, restarted, set back; a node dies, returns, or stops: what was accepted is there in the end."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from pathlib import Path

import pytest

from appengine_channel_emu.broker.errors import BrokerAway, SocketGone
from appengine_channel_emu.broker.redis.target import RedisTarget
from tests.broker.redis.service import TestNode, answer, eventually, pass_time


def test_redis_stands_still(own_redis, node):
    """Sends fail in time, nothing waits that serves polls, and what has failed is not sent later."""
    redis = own_redis()
    a = node("A", redis)
    ann, token = a.open(a.create("ann")), a.create("bob")
    parked = a.broker.poll(ann, 0)
    redis.signal(signal.SIGSTOP)
    began = time.monotonic()
    try:
        with pytest.raises(BrokerAway):
            a.send("ann", "while it stood still")
        with pytest.raises(BrokerAway):
            a.open(token)
        assert time.monotonic() - began < 10
        assert a.broker.why_away
        moment = time.monotonic()
        unknown = a.broker.poll("nobody knows this one", 0)
        assert a.broker.take(unknown).messages == []
        a.broker.run_due()
        assert time.monotonic() - moment < 1
        assert not parked.ready.is_set
        assert parked.ended is None
    finally:
        redis.signal(signal.SIGCONT)
    eventually(lambda: a.broker.why_away is None)
    a.send("ann", "after it")
    eventually(lambda: parked.ready.is_set)
    assert [message.text for message in a.broker.take(parked).messages] == ["after it"]


def test_a_send_is_tried_again_and_made_once(own_redis, node):
    """The connection breaks again and again while apps send."""
    redis = own_redis()
    a, b = node("A", redis), node("B", redis)
    socket = b.open(b.create("ann"))
    stop = threading.Event()

    def break_connections() -> None:
        while not stop.wait(0.02):
            redis.client().client_kill_filter(_type="pubsub")

    breaker = threading.Thread(target=break_connections)
    breaker.start()
    try:
        for number in range(60):
            assert a.send("ann", f"{number}").delivered_to == 1
    finally:
        stop.set()
        breaker.join()
    received: list[str] = []
    while len(received) < 60:
        received += b.read(socket, len(received))
    assert received == [f"{number}" for number in range(60)]
    assert not a.events("redis_restarted")


def test_a_send_asked_twice_is_one_message(node):
    a = node("A")
    socket = a.open(a.create("ann"))
    arguments = ("ann", "once", "a-name.1", int(time.time() * 1000) + 60_000, "", 1_000, 10**7, 10**8, 0)

    def send() -> list[object]:
        raise a.broker._asking.ask_and_wait("send", *arguments, told=list)

    first, second = answer(send), answer(send)
    assert (first[0], int(first[1])) == (second[0], int(second[1]))
    a.send("ann", "another")
    assert a.read(socket, 0) == ["once", "another"]


@pytest.mark.slow
def test_a_listener_that_is_too_slow_is_dropped_and_loses_nothing(own_redis, node):
    redis = own_redis("--client-output-buffer-limit", "pubsub 6mb 6mb 0")
    a, b = (node(name, redis, backlog_bytes=2**26) for name in ("A", "B"))
    socket = b.open(b.create("ann"))
    b.broker.release(b.broker.poll(socket, 0))
    text = "x" * 30_000
    with b.broker._turn:
        # Its thread cannot go on: what is pushed piles up in Redis.
        for number in range(400):
            assert a.send("ann", f"{number} {text}").delivered_to == 1
    eventually(lambda: b.broker.connection.problem is None)
    received: list[str] = []
    while len(received) < 400:
        received += [each.split()[0] for each in b.read(socket, len(received))]
    assert received == [f"{number}" for number in range(400)]
    eventually(lambda: a.events("redis_back"))


class Relay:
    """Stands before a Redis, and takes its time in both directions."""

    def __init__(self, path: str, before: Path, seconds: float) -> None:
        self.target = RedisTarget(path=str(before))
        self._path, self._seconds = path, seconds
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(before))
        self._listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            far = socket.socket(socket.AF_UNIX)
            far.connect(self._path)
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._carry, args=(source, sink), daemon=True).start()

    def _carry(self, source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65_536):
                time.sleep(self._seconds)
                sink.sendall(data)
        except OSError:
            pass
        finally:
            for sock in (source, sink):
                sock.close()

    def close(self) -> None:
        """Take no more connections."""
        self._listener.close()


def test_a_slow_redis(own_redis, node):
    """100 ms each way: everything comes, and nothing that serves polls waits for it."""
    redis = own_redis()
    relay = Relay(str(redis.path), redis.folder / "slow", 0.1)
    far = TestNode(relay.target, "slow", "far")
    near = TestNode(redis.target, "slow", "near")
    try:
        socket = far.open(far.create("ann"))
        began = time.monotonic()
        polls = [far.broker.poll(socket, 0) for _ in range(200)]
        assert time.monotonic() - began < 1
        assert near.send("ann", "hello").delivered_to == 1
        eventually(lambda: polls[-1].ready.is_set and far.broker._mirrors.sockets[socket].queue)
        assert [message.text for message in far.broker.take(polls[-1]).messages] == ["hello"]
        assert far.send("ann", "again").delivered_to == 1
        assert near.read(socket, 1) == ["again"]
    finally:
        relay.close()
        far.broker.stop()
        near.broker.stop()


def test_redis_set_back_by_what_it_was_told_last(own_redis, node):
    """Pages keep their numbers, none waits for messages that are not to come, and none gets one twice."""
    redis = own_redis("--appendonly", "yes", "--appendfsync", "always", "--auto-aof-rewrite-percentage", "0")
    a, b = node("A", redis), node("B", redis)
    token = a.create("ann")
    ahead, level, behind = a.open(token), b.open(token), b.open(token)
    a.send("ann", "one")
    assert a.read(ahead, 0) == b.read(level, 0) == ["one"]
    a.broker.release(a.broker.poll(ahead, 1))
    pass_time([a, b], 0.5)
    (log,) = (redis.folder / "appendonlydir").glob("*.incr.aof")
    size = log.stat().st_size
    a.send("ann", "two")
    a.send("ann", "three")
    assert a.read(ahead, 1) == ["two", "three"]
    parked = b.broker.poll(level, 1)
    redis.kill()
    assert log.stat().st_size > size
    os.truncate(log, size)
    redis.start()
    # Pages are answered, and come again with what they have.
    eventually(lambda: parked.ready.is_set)
    eventually(lambda: a.broker.node.epoch == b.broker.node.epoch == 2)
    eventually(lambda: a.broker.connection.problem is None and b.broker.connection.problem is None)
    assert a.send("ann", "four").delivered_to == 3
    assert b.read(ahead, 3) == ["four"]
    late = a.broker.poll(ahead, 4)
    assert a.read(level, 1) == ["four"]
    assert b.read(behind, 0) == ["one", "four"]
    a.send("ann", "five")
    eventually(lambda: late.ready.is_set)
    assert [message.text for message in a.broker.take(late).messages] == ["five"]
    assert a.read(ahead, 4) == ["five"]
    assert b.read(level, 2) == ["five"]
    assert a.read(behind, 2) == ["five"]
    eventually(lambda: a.events("redis_restarted") or b.events("redis_restarted"))


def test_redis_that_has_lost_everything(own_redis, node):
    """Pages are told that their sockets are gone; a new token is good at once, and the service is the same."""
    redis = own_redis()
    a, b = node("A", redis), node("B", redis)
    token = a.create("ann")
    socket = a.open(token)
    parked = a.broker.poll(socket, 0)
    redis.kill()
    redis.start()
    eventually(lambda: parked.ready.is_set)
    eventually(lambda: a.broker.connection.problem is None and b.broker.connection.problem is None)
    gone = b.broker.poll(socket, 0)
    eventually(lambda: gone.ready.is_set)
    with pytest.raises(SocketGone):
        b.broker.take(gone)
    again = b.open(a.create("ann"))
    assert a.send("ann", "hello").delivered_to == 1
    assert a.read(again, 0) == ["hello"]


def test_a_node_that_was_believed_dead_begins_anew(node, shared_redis):
    a, b = node("A"), node("B")
    client, prefix = shared_redis.client(), a.broker.node.key
    socket = a.open(a.create("ann"))
    parked, former = a.broker.poll(socket, 0), a.broker.node.id
    client.zadd(f"{prefix}nodes", {former: -1})
    eventually(lambda: parked.ready.is_set)
    assert a.broker.take(parked).messages == []
    eventually(lambda: a.broker.node.id != former and a.broker.connection.problem is None)
    eventually(lambda: client.zscore(f"{prefix}nodes", former) is None)
    assert b.send("ann", "hello").delivered_to == 1
    assert a.read(socket, 0) == ["hello"]
    eventually(lambda: b.events("node_left") and b.events("node_returned"))
    assert a.posts + b.posts == [("ann", True)]


def test_the_sockets_of_a_dead_node_are_quiet_and_not_gone(node, shared_redis):
    a, b = node("A", disconnect_after=0.2), node("B", disconnect_after=0.2)
    client, prefix = shared_redis.client(), a.broker.node.key
    b.holds_posts = True
    sockets = [a.open(a.create(f"client-{number}")) for number in range(300)]
    dead = a.broker.node.id
    # As SIGKILL does it: it says no more, and 5 s later it is believed dead.
    a.broker.node.stopping = True
    a.broker.connection.stop(0)
    client.zadd(f"{prefix}nodes", {dead: 1})
    eventually(lambda: client.zscore(f"{prefix}nodes", dead) is None)
    assert client.hgetall(f"{prefix}cn:client-7") == {b"-": b"1"}
    assert b.send("client-7", "for whoever comes").delivered_to == 1
    assert b.read(sockets[7], 0) == ["for whoever comes"]
    assert a.posts == [(f"client-{number}", True) for number in range(300)]
    assert b.posts == []
    assert client.zcount(f"{prefix}timers", "-inf", "+inf") == 299


def test_the_presence_posts_of_a_dead_node_are_made_again(node, shared_redis):
    a, b = node("A"), node("B")
    client, prefix = shared_redis.client(), a.broker.node.key
    a.holds_posts = True
    a.open(a.create("ann"))
    a.broker.node.stopping = True
    a.broker.connection.stop(0)
    client.zadd(f"{prefix}nodes", {a.broker.node.id: 1})
    eventually(lambda: b.posts == [("ann", True)])


def test_a_node_that_stops_has_its_pages_go_on_elsewhere(node):
    a, b = node("A", disconnect_after=0.2), node("B", disconnect_after=0.2)
    sockets = [a.open(a.create(f"client-{number}")) for number in range(250)]
    polls = [a.broker.poll(socket, 0) for socket in sockets]
    woken: list[int] = []
    stream = a.broker.stream(sockets[0], 0, lambda: woken.append(1))
    b.send("client-1", "the last one here")
    eventually(lambda: polls[1].ready.is_set)
    a.broker.stop()
    assert all(poll.ready.is_set for poll in polls)
    assert stream.superseded
    assert woken
    assert a.broker.take(polls[2]).messages == []
    assert a.broker.poll(sockets[2], 0).ready.is_set
    again = [b.broker.poll(socket, 0) for socket in sockets]
    eventually(lambda: again[1].ready.is_set)
    assert [message.text for message in b.broker.take(again[1]).messages] == ["the last one here"]
    assert b.send("client-200", "and on").delivered_to == 1
    eventually(lambda: again[200].ready.is_set)
    pass_time([b], 0.2)
    assert b.posts == []
