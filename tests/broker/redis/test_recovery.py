"""What is left undone when a reply is lost, when Redis has an error for an answer, or when a node wakes too late."""

from __future__ import annotations

import threading
import time

import pytest

from appengine_channel_emu.broker.errors import BrokerAway
from appengine_channel_emu.broker.redis.target import RedisTarget
from tests.broker.redis.servers import DelayingProxy, RedisServer
from tests.broker.redis.service import TestNode, answer, eventually, keys_of, pass_time


@pytest.fixture
def proxy(shared_redis):
    redis = RedisServer()
    proxy = DelayingProxy(redis)
    yield proxy, redis
    proxy.close()
    redis.close()


def lose_replies(proxy: DelayingProxy, ask, done) -> None:
    """Redis does what `ask` has it do, which `done` tells, and the connection breaks before a reply is there."""
    proxy.swallows, proxy.swallowed = True, 0
    asking = threading.Thread(target=ask)
    asking.start()
    eventually(lambda: proxy.swallowed and done())
    proxy.break_off()
    proxy.swallows = False
    asking.join()


def prefix_of(node: TestNode) -> str:
    return node.broker.node.key


def test_what_was_to_be_posted_is_not_lost_with_a_reply(proxy):
    proxy, redis = proxy
    a = TestNode(proxy.target, "lost", "A")
    token = a.create("ann")
    client = redis.client()
    lose_replies(proxy, lambda: a.open(token), lambda: any(key.startswith("s:") for key in keys_of(client, "lost")))
    eventually(lambda: a.posts)
    pass_time([a], 0)
    assert a.posts == [("ann", True)]
    assert client.hget("emu:lost:c:ann", "p") == b"1"
    a.broker.stop()


def test_a_clock_is_moved_once_though_its_reply_is_lost(proxy):
    proxy, redis = proxy
    a = TestNode(proxy.target, "lost", "A")
    before, client = a.broker.clock.now(), redis.client()
    moved = lambda: client.hget("emu:lost:clock", "travelled")  # noqa: E731
    lose_replies(proxy, lambda: answer(a.broker.control.travel, 1_000), moved)
    eventually(lambda: a.broker.clock.now() > before + 900)
    assert a.broker.clock.now() < before + 1_100
    a.broker.stop()


def test_messages_and_faults_are_noted_once_though_their_replies_are_lost(proxy):
    proxy, redis = proxy
    a, client = TestNode(proxy.target, "lost", "A"), redis.client()
    a.open(a.create("ann"))
    a.send("ann", "once")
    lose_replies(proxy, lambda: answer(a.broker.faults.add, "send error"), lambda: client.hlen("emu:lost:faults"))
    eventually(lambda: [each.text for each in a.broker.journal.after(0)] == ["once"])
    assert client.hlen("emu:lost:faults") == 1
    assert client.xlen("emu:lost:journal") == 1
    a.broker.stop()


@pytest.mark.slow
def test_a_full_memory_refuses_what_would_grow_and_goes_on_with_the_rest(own_redis, node):
    redis = own_redis()
    a = node("A", redis)
    socket = a.open(a.create("ann"))
    for number in range(5):
        a.send("ann", f"{number}")
    client = redis.client()
    client.config_set("maxmemory", 1)
    for refused in (lambda: a.send("ann", "too much"), lambda: a.create("bob")):
        with pytest.raises(BrokerAway, match="OOM"):
            refused()
    # Longer than a node may be silent.
    pass_time([a], 6)
    assert a.read(socket, 0) == [f"{number}" for number in range(5)]
    poll = a.broker.poll(socket, 5)
    eventually(lambda: client.xlen(f"{prefix_of(a)}cl:ann") == 0)
    client.config_set("maxmemory", 0)
    a.send("ann", "room")
    eventually(lambda: poll.ready.is_set)
    assert [message.text for message in a.broker.take(poll).messages] == ["room"]
    assert not a.events("node_returned")


def test_a_node_that_was_adopted_takes_nothing_under_its_old_name(node, shared_redis):
    """It was stopped for longer than nodes may be silent, and asks before it hears of that."""
    a = node("A")
    token = a.create("ann")
    old = a.broker.node.id
    client = shared_redis.client()
    # No heartbeat is to tell it.
    a.broker.node._ticking = True
    client.zrem(f"{prefix_of(a)}nodes", old)
    socket = a.open(token)
    a.send("ann", "still")
    assert a.read(socket, 0) == ["still"]
    assert a.broker.node.id != old
    assert client.hget(f"{prefix_of(a)}s:{socket}", "n").decode() == a.broker.node.id
    assert not client.exists(f"{prefix_of(a)}ns:{old}")


def test_what_another_program_wrote_stops_nothing(node, shared_redis):
    """One key of ours is not what it should be; somebody publishes what nobody can read."""
    a = node("A")
    ann, bob = a.open(a.create("ann")), a.open(a.create("bob"))
    client, prefix = shared_redis.client(), prefix_of(a)
    for nonsense in (b"c", b"cx y z", b"m\0", b"r", b"h", b"x", b"", b"\xff\xfe", b"q\xff"):
        client.publish(f"{prefix}0:all", nonsense)
    events = client.dump(f"{prefix}clock")
    client.delete(f"{prefix}clock")
    client.set(f"{prefix}clock", "of somebody else")
    with pytest.raises(BrokerAway):
        a.send("ann", "refused")
    # Its heart, too, has been refused.
    refused = lambda: client.info("commandstats")["cmdstat_evalsha"]["failed_calls"]  # noqa: E731
    before = refused()
    eventually(lambda: refused() > before + 1)
    client.delete(f"{prefix}clock")
    client.restore(f"{prefix}clock", 0, events)
    a.send("ann", "works")
    a.send("bob", "too")
    assert a.read(ann, 0) == ["works"]
    assert a.read(bob, 0) == ["too"]
    # Its heart beats again.
    beat = client.hget(f"{prefix}clock", "beat")
    eventually(lambda: client.hget(f"{prefix}clock", "beat") != beat)


def test_services_of_one_name_in_two_databases_do_not_hear_each_other(shared_redis):
    target = shared_redis.target
    a = TestNode(target, "twin", "A")
    b = TestNode(RedisTarget(path=target.path, database=1), "twin", "B")
    socket = b.open(b.create("ann"))
    poll = b.broker.poll(socket, 0)
    a.open(a.create("ann"))
    eventually(lambda: b.events("socket_opened"))
    answer(a.broker.control.reset)
    answer(a.broker.control.travel, 3_600)
    eventually(lambda: a.events("reset"))
    b.send("ann", "its own")
    eventually(lambda: poll.ready.is_set)
    assert [message.text for message in b.broker.take(poll).messages] == ["its own"]
    assert b.events("socket_opened")
    assert b.broker.clock.now() < time.time() + 60
    a.broker.stop()
    b.broker.stop()


def test_a_page_between_two_polls_is_not_away_for_the_time_that_a_test_lets_pass(node):
    """More timers are on the way than one call runs."""
    a, b = node("A"), node("B")
    for number in range(250):
        a.create(f"other-{number}", duration_minutes=1)
    socket = a.open(a.create("ann", duration_minutes=1_000))
    mirrored = a.broker._mirrors.sockets[socket]
    quiet_since = mirrored.quiet_since
    answer(b.broker.control.travel, 600)
    eventually(lambda: a.broker.clock.now() > time.time() + 590)
    eventually(lambda: mirrored.quiet_since >= quiet_since + 600)
    a.send("ann", "there")
    assert a.read(socket, 0) == ["there"]
    assert answer(a.broker.control.client_ids) == ["ann"]


def test_redis_whose_clock_is_set_back(node, shared_redis):
    """Nodes that died are found all the same, and what is due is done."""
    a, b = node("A"), node("B")
    client, prefix = shared_redis.client(), prefix_of(a)
    socket = b.open(b.create("ann"))
    hour = 3_600_000
    # As if all that Redis has written was written in an hour that is to come again.
    with client.pipeline(transaction=True) as at_once:
        at_once.hincrby(f"{prefix}clock", "beat", hour)
        for id in client.zrange(f"{prefix}nodes", 0, -1):
            at_once.zincrby(f"{prefix}nodes", hour, id)
        at_once.execute()
    eventually(lambda: int(client.hget(f"{prefix}clock", "beat")) < time.time() * 1000 + 60_000)
    stood = int(client.hget(f"{prefix}clock", "still"))
    assert -hour - 60_000 < stood < -hour + 60_000
    assert socket in b.broker._mirrors.sockets


@pytest.mark.slow
def test_nothing_is_left_of_thousands_that_are_gone(node, shared_redis):
    """Client ids, tokens, sockets and messages that have expired leave nothing that does not expire itself."""
    a, b = node("A"), node("B")
    client = shared_redis.client()
    service = a.broker.node.options.service
    prefix = prefix_of(a)
    strange = ["|", "a|b", " ", "nul\0", "new\nline", "🎈" * 60, "é" * 128, "c:x", "x" * 256]
    for number in range(2_000):
        client_id = strange[number] if number < len(strange) else f"client-{number}"
        at, other = (a, b) if number % 2 else (b, a)
        token = at.create(client_id, duration_minutes=10)
        at.open(token)
        if number % 3 == 0:
            other.send(client_id, "é" * 16_000 if number % 99 == 0 else "x")
    answer(b.broker.control.travel, 60)
    answer(a.broker.control.travel, 86_400)
    eventually(lambda: client.scard(f"{prefix}ids") == 0, 120)
    lasting = {key for key in keys_of(client, service) if client.ttl(f"{prefix}{key}") == -1}
    assert lasting <= {
        *("schema", "key", "run", "epoch", "clock", "nodes", "about", "fence", "counts", "unread"),
        *("event_number", "journal_number", "journal_bytes", "events", "journal", "resets"),
    }
    assert int(client.get(f"{prefix}unread") or 0) == 0
    assert {int(each) for each in client.hvals(f"{prefix}counts")} <= {0}
