"""The app is told once, in order, whichever nodes a client's pages come to; timers run once for all nodes."""

from __future__ import annotations

import pytest

from tests.broker.redis.service import answer, eventually, pass_time


@pytest.fixture
def nodes(node):
    return node("A", disconnect_after=0.3), node("B", disconnect_after=0.3)


def posts(nodes):
    return [post for each in nodes for post in each.posts]


def test_a_page_that_moves_is_no_event(nodes):
    a, b = nodes
    token = a.create("ann")
    socket = a.open(token)
    for number in range(10):
        each = nodes[number % 2]
        each.broker.release(each.broker.poll(socket, 0))
    second = b.open(token)
    answer(a.broker.close, socket)
    pass_time(nodes, 0.3)
    assert posts(nodes) == [("ann", True)]
    answer(a.broker.close, second)
    eventually(lambda: posts(nodes)[1:] == [("ann", False)])


def test_an_opening_waits_for_the_post_of_another_node(nodes):
    a, b = nodes
    a.holds_posts = True
    token = a.create("ann")
    first = answer(a.broker.open, token).presence_sent
    second = answer(b.broker.open, token).presence_sent
    assert a.posts == [("ann", True)]
    assert not first.is_set
    assert not second.is_set
    a.broker.presence_done("ann", True, 200)
    eventually(lambda: first.is_set and second.is_set)
    assert answer(b.broker.open, token).presence_sent.is_set
    assert b.posts == []


def test_connected_and_disconnected_never_swap(nodes):
    """A post that takes long holds back the next one of its client id, at any node, and none of another."""
    a, b = nodes
    a.holds_posts = True
    socket = a.open(a.create("ann"))
    answer(b.broker.close, socket)
    b.open(b.create("bob"))
    eventually(lambda: b.posts == [("bob", True)])
    pass_time(nodes, 0.3)
    assert a.posts == [("ann", True)]
    a.broker.presence_done("ann", True, 500)
    eventually(lambda: [post for post in posts(nodes) if post[0] == "ann"] == [("ann", True), ("ann", False)])


def test_a_lease_that_is_over_has_the_post_made_again_and_the_late_one_means_nothing(nodes, shared_redis):
    a, b = nodes
    a.holds_posts = b.holds_posts = True
    a.open(a.create("ann"))
    client, prefix = shared_redis.client(), a.broker.node.key
    fence = int(client.hget(f"{prefix}c:ann", "f"))
    client.zadd(f"{prefix}leases", {"ann": 0})
    eventually(lambda: len(posts(nodes)) == 2)
    assert posts(nodes) == [("ann", True), ("ann", True)]
    # What the first one says is of no account: its fence is not the last one.
    answer(ask_posted, a, fence)
    assert client.hget(f"{prefix}c:ann", "p") is None
    maker = b if b.posts else a
    maker.broker.presence_done("ann", True, 200)
    eventually(lambda: client.hget(f"{prefix}c:ann", "p") == b"1")
    assert int(client.zcard(f"{prefix}leases")) == 0


def ask_posted(node, fence):
    raise node.broker._asking.ask_and_wait("posted", "ann", 1, fence, told=bool)


def test_timers_run_once_for_all_nodes(nodes):
    a, b = nodes
    sockets = {name: a.open(a.create(name)) for name in (f"client-{number}" for number in range(30))}
    for socket in sockets.values():
        answer(b.broker.close, socket)
    eventually(lambda: len(posts(nodes)) == 60)
    pass_time(nodes, 0.3)
    assert sorted(posts(nodes)) == sorted((name, connected) for name in sockets for connected in (True, False))


def test_a_post_that_fails_counts_as_made(nodes):
    a, _ = nodes
    a.holds_posts = True
    opened = answer(a.broker.open, a.create("ann"))
    a.broker.presence_done("ann", True, None, "The app is away.")
    eventually(lambda: opened.presence_sent.is_set)
    eventually(lambda: [event.text for event in a.events("presence_failed")] == ["The app is away."])


def test_the_clock_of_the_service_is_moved_for_all(nodes):
    a, b = nodes
    token, socket = a.create("ann", duration_minutes=10), None
    socket = a.open(token)
    poll = a.broker.poll(socket, 0)
    before = b.broker.clock.now()
    answer(b.broker.control.travel, 300)
    eventually(lambda: a.broker.clock.now() > before + 299 and b.broker.clock.now() > before + 299)
    # Pages live in real time: this one polls, and another lies between two polls.
    assert not poll.ready.is_set
    assert posts(nodes) == [("ann", True)]
    answer(a.broker.control.travel, 301)
    eventually(lambda: poll.ready.is_set)
    assert poll.ended.__name__ == "TokenTimedOut"
    eventually(lambda: posts(nodes) == [("ann", True), ("ann", False)])
    eventually(lambda: a.broker.control.travelled == b.broker.control.travelled == 601)


def test_time_that_a_test_lets_pass_does_not_count_against_a_page(nodes):
    a, b = nodes
    socket = a.open(a.create("ann", duration_minutes=1440))
    a.broker.release(a.broker.poll(socket, 0))
    answer(b.broker.control.travel, 3_600)
    eventually(lambda: a.broker.control.travelled == 3_600)
    a.broker.run_due()
    assert socket in a.broker._mirrors.sockets
    assert a.send("ann", "hello").delivered_to == 1


def test_a_frozen_clock_stands_still_at_all_nodes(nodes):
    a, b = nodes
    answer(a.broker.clock.freeze, True)
    eventually(lambda: b.broker.clock.frozen and a.broker.clock.frozen)
    moment = a.broker.clock.now()
    assert moment == b.broker.clock.now()
    answer(b.broker.control.travel, 5)
    eventually(lambda: a.broker.clock.now() == b.broker.clock.now() == moment + 5)
    answer(b.broker.clock.freeze, False)
    eventually(lambda: not a.broker.clock.frozen and a.broker.clock.now() > moment + 5)
    assert a.broker.clock.now() < moment + 30
