"""Two nodes are one service: what is sent at one reaches the pages of the other, exactly once and in order."""

from __future__ import annotations

import dataclasses
import threading
import time

import pytest

from appengine_channel_emu.broker.errors import (
    BacklogExceeded,
    ClosedByHand,
    InvalidToken,
    Replaced,
    SocketGone,
    TokenTimedOut,
    TooManySockets,
    TooManyTokens,
)
from appengine_channel_emu.broker.turn import Pending
from tests.broker.redis.service import answer, eventually, keys_of, pass_time
from tests.support.waiting import LONG_ENOUGH


@pytest.fixture
def nodes(node):
    return node("A"), node("B")


def redis_of(shared_redis, node):
    return shared_redis.client(), node.broker.node.key


def test_a_page_may_poll_another_node_each_time(nodes):
    a, _ = nodes
    socket = a.open(a.create("ann"))
    received: list[str] = []
    for number in range(6):
        assert nodes[number % 2].send("ann", f"message {number}").delivered_to == 1
        received += nodes[number // 2 % 2].read(socket, len(received))
    assert received == [f"message {number}" for number in range(6)]


def test_a_poll_elsewhere_has_the_old_one_answered_empty(nodes):
    a, b = nodes
    socket = a.open(a.create("ann"))
    old = a.broker.poll(socket, 0)
    assert not old.ready.is_set
    new = b.broker.poll(socket, 0)
    eventually(lambda: old.ready.is_set)
    assert a.broker.take(old).messages == []
    a.send("ann", "to the new one")
    eventually(lambda: new.ready.is_set)
    assert [message.text for message in b.broker.take(new).messages] == ["to the new one"]


def test_two_nodes_claim_one_socket_at_once(nodes):
    a, _ = nodes
    socket = a.open(a.create("ann"))
    received: list[str] = []
    for number in range(20):
        polls = [(each, each.broker.poll(socket, len(received))) for each in nodes]
        a.send("ann", f"message {number}")
        eventually(lambda polls=polls: all(poll.ready.is_set for _, poll in polls))
        for each, poll in polls:
            taken = each.broker.take(poll)
            known = len(received) - (taken.next - len(taken.messages))
            received += [message.text for message in taken.messages][known:]
        if len(received) <= number:
            received += a.read(socket, len(received))
    assert received == [f"message {number}" for number in range(20)]


def test_a_stream_moves_like_a_poll(nodes):
    a, b = nodes
    socket = a.open(a.create("ann"))
    woken: list[int] = []
    stream = b.broker.stream(socket, 0, lambda: woken.append(1))
    a.send("ann", "one")
    texts: list[str] = []
    eventually(lambda: texts.extend(message.text for message in b.broker.take_next(stream).messages) or texts)
    assert texts == ["one"]
    assert woken
    b.broker.acknowledge(stream, 1)
    a.send("ann", "two")
    assert a.read(socket, 1) == ["two"]
    eventually(lambda: stream.superseded)
    assert b.broker.take_next(stream).messages == []
    # A number that was never sent.
    stream = b.broker.stream(socket, 9, lambda: None)
    with pytest.raises(SocketGone):
        eventually(lambda: b.broker.take_next(stream).messages)


def test_what_was_pushed_into_the_void_is_read_from_the_log(nodes, shared_redis):
    """A message that a node did not hear of is there with the next one that it does."""
    a, b = nodes
    client, prefix = redis_of(shared_redis, a)
    socket = a.open(a.create("ann"))
    a.send("ann", "one")
    assert a.read(socket, 0) == ["one"]
    # As if the connection had swallowed a push: for a moment nobody is known to listen.
    listeners = client.hgetall(f"{prefix}cn:ann")
    client.delete(f"{prefix}cn:ann")
    client.hset(f"{prefix}cn:ann", "-", 1)
    b.send("ann", "two")
    b.send("ann", "three")
    client.delete(f"{prefix}cn:ann")
    client.hset(f"{prefix}cn:ann", mapping=listeners)
    b.send("ann", "four")
    received: list[str] = []
    while len(received) < 3:
        received += a.read(socket, 1 + len(received))
    assert received == ["two", "three", "four"]


def test_a_long_backlog_is_read_in_pages(node):
    a, b = node("A", backlog_messages=2_000), node("B", backlog_messages=2_000)
    socket = a.open(a.create("ann"))
    a.send("ann", "first")
    assert a.read(socket, 0) == ["first"]
    answer(a.broker.send_many, ["ann"], "second")
    for pending in [asked(a.broker.send_message, "ann", f"{number}") for number in range(1_200)]:
        pending.wait(30)
    received: list[str] = []
    while len(received) < 1_201:
        received += b.read(socket, 1 + len(received))
    assert received == ["second", *(f"{number}" for number in range(1_200))]


def asked(call, *arguments):
    """What the answer of a call will come with."""
    with pytest.raises(Pending) as pending:
        call(*arguments)
    return pending.value


def test_acknowledgements_are_told_in_batches_and_trim_the_log(nodes, shared_redis):
    a, b = nodes
    client, prefix = redis_of(shared_redis, a)
    token = a.create("ann")
    first, second = a.open(token), b.open(token)
    for number in range(5):
        a.send("ann", f"{number}")
    for each, socket in ((a, first), (b, second)):
        eventually(lambda each=each, socket=socket: each.read(socket, 0) == list("01234"))
    assert client.xlen(f"{prefix}cl:ann") == 5
    a.broker.release(a.broker.poll(first, 5))
    pass_time(nodes, 0.5)
    # The slowest socket needs them still.
    assert client.xlen(f"{prefix}cl:ann") == 5
    b.broker.release(b.broker.poll(second, 3))
    eventually(lambda: client.xlen(f"{prefix}cl:ann") == 2)
    b.broker.release(b.broker.poll(second, 5))
    eventually(lambda: client.xlen(f"{prefix}cl:ann") == 0)
    assert int(client.get(f"{prefix}unread")) == 0


def test_a_poll_on_a_mirrored_socket_asks_redis_nothing(nodes, shared_redis):
    a, _ = nodes
    socket = a.open(a.create("ann"))
    a.broker.release(a.broker.poll(socket, 0))
    client, _ = redis_of(shared_redis, a)
    commands = lambda: client.info("commandstats")["cmdstat_evalsha"]["calls"]  # noqa: E731
    pass_time(nodes, 0)
    before, began = commands(), time.monotonic()
    for _ in range(500):
        a.broker.release(a.broker.poll(socket, 0))
    # Heartbeats of two nodes alone.
    assert commands() - before <= 4 * (time.monotonic() - began) + 4


def test_scripts_that_redis_has_forgotten_are_loaded_again(nodes, shared_redis):
    a, b = nodes
    socket = a.open(a.create("ann"))
    for number in range(3):
        shared_redis.client().script_flush()
        assert a.send("ann", f"{number}").delivered_to == 1
        shared_redis.client().script_flush()
        assert b.read(socket, number) == [f"{number}"]


def test_the_backlog_is_that_of_the_slowest_socket(node):
    a, b = node("A", backlog_messages=3), node("B", backlog_messages=3)
    token = a.create("ann")
    slow, fast = a.open(token), b.open(token)
    for number in range(3):
        a.send("ann", f"{number}")
        assert b.read(fast, number) == [f"{number}"]
    # What it has may not have been told yet.
    b.broker.release(b.broker.poll(fast, 3))
    assert a.send("ann", "one too many").delivered_to == 1
    eventually(lambda: raised(BacklogExceeded, a, slow))
    assert b.read(fast, 3) == ["one too many"]
    eventually(lambda: [event.detail["why"] for event in b.events("socket_closed")] == ["overflow"])


def test_bytes_are_bounded_for_one_socket_and_for_all(node):
    a = node("A", backlog_bytes=50_000, backlog_total=100_000)
    text = "x" * 20_000
    sockets = {name: a.open(a.create(name)) for name in ("ann", "bob", "eve")}
    assert [a.send("ann", text).delivered_to for _ in range(3)] == [1, 1, 0]
    eventually(lambda: raised(BacklogExceeded, a, sockets["ann"]))
    assert [a.send("bob", text).delivered_to for _ in range(2)] == [1, 1]
    assert [a.send("eve", text).delivered_to for _ in range(2)] == [1, 1]
    assert a.send("eve", "y" * 9_000).delivered_to == 1
    assert a.send("bob", "y" * 9_000).delivered_to == 1
    # All together are full: whoever has the most unread is closed, and nobody else.
    assert a.send("eve", "z").delivered_to + a.send("bob", "z" * 5_000).delivered_to == 1
    assert [raised(BacklogExceeded, a, sockets[name]) for name in ("bob", "eve")].count(True) == 1


def raised(error, node, socket):
    """Whether a poll of `socket` is refused by `error`."""
    poll = node.broker.poll(socket, 0)
    eventually(lambda: poll.ready.is_set or not node.broker._polling.claims)
    try:
        node.broker.take(poll)
    except error:
        return True
    return False


def test_limits_are_those_of_the_service(node):
    a, b = (node(name, max_sockets=2, max_tokens=2) for name in ("A", "B"))
    token, _ = a.create("ann"), b.create("bob")
    with pytest.raises(TooManyTokens):
        a.create("eve")
    a.open(token)
    b.open(token)
    with pytest.raises(TooManySockets) as refused:
        a.open(token)
    assert refused.value.client_id == "ann"


def test_a_newer_tab_replaces_the_older_one_at_whatever_node(node):
    a, b = node("A", tabs="single"), node("B", tabs="single")
    token = a.create("ann")
    older = a.broker.poll(a.open(token), 0)
    newer = b.open(token)
    eventually(lambda: older.ready.is_set)
    with pytest.raises(Replaced):
        a.broker.take(older)
    assert a.send("ann", "hello").delivered_to == 1
    assert b.read(newer, 0) == ["hello"]


def test_sockets_cannot_take_turns(node):
    with pytest.raises(ValueError, match="fanout or single"):
        node("A", tabs="split")


def test_an_attempt_is_one_socket_at_all_nodes(nodes):
    a, b = nodes
    token = a.create("ann")
    assert a.open(token, attempt="one") == b.open(token, attempt="one") != b.open(token, attempt="two")


def test_a_former_socket_is_resumed_at_another_node(nodes):
    a, b = nodes
    former = a.open(a.create("ann"))
    a.send("ann", "one")
    a.send("ann", "two")
    assert a.read(former, 0) == ["one", "two"]
    opened = answer(b.broker.open, b.create("ann"), (former, 1))
    assert (opened.socket, opened.next) == (former, 1)
    assert b.read(former, 1) == ["two"]
    stranger = answer(b.broker.open, b.create("eve"), (former, 1))
    assert stranger.socket != former


def test_what_ends_a_socket_is_told_at_the_node_that_has_it(nodes):
    a, b = nodes
    token = a.create("ann")
    by_hand, expired = a.open(token), a.open(token)
    poll = a.broker.poll(by_hand, 0)
    assert answer(b.broker.control.close, by_hand)
    eventually(lambda: poll.ready.is_set)
    with pytest.raises(ClosedByHand):
        a.broker.take(poll)
    assert raised(ClosedByHand, b, by_hand)
    poll = a.broker.poll(expired, 0)
    assert answer(b.broker.control.expire, expired)
    eventually(lambda: poll.ready.is_set)
    with pytest.raises(TokenTimedOut):
        a.broker.take(poll)
    with pytest.raises(TokenTimedOut):
        a.open(token)
    assert not answer(b.broker.close, expired)


def test_a_page_between_two_polls_hears_that_it_timed_out_however_far_the_clock_is_moved(nodes):
    a, b = nodes
    socket = a.open(a.create("ann"))
    answer(b.broker.control.travel, 3 * 7200)
    assert raised(TokenTimedOut, b, socket)


def test_a_connection_is_cut_at_the_node_that_has_it(nodes):
    a, b = nodes
    poll = a.broker.poll(a.open(a.create("ann")), 0)
    assert answer(b.broker.control.cut, poll.socket_id)
    eventually(lambda: poll.cut)
    assert not answer(b.broker.control.cut, "nobody")


def test_the_sdks_own_wire_takes_each_message_once_at_whatever_node(nodes):
    a, b = nodes
    token = a.create("ann")
    told = answer(a.broker.connect, token)
    eventually(lambda: told.is_set)
    assert a.posts == [("ann", True)]
    for number in range(4):
        a.send("ann", f"{number}")
    taken = [answer(nodes[number % 2].broker.poll_one, token) for number in range(5)]
    assert [message and message.text for message in taken] == ["0", "1", "2", "3", None]
    answer(b.broker.disconnect, token)
    assert a.send("ann", "too late").delivered_to == 0


def test_the_console_sees_all_nodes(nodes, shared_redis):
    a, b = nodes
    ann = a.open(a.create("ann", opened_by="console"))
    a.broker.poll(ann, 0)
    b.open(b.create("böb"))
    snapshot = answer(b.broker.control.channel, "ann")
    assert (snapshot.tokens, snapshot.sockets, snapshot.told) == (1, 1, True)
    assert snapshot.sockets_shown[0].opened_by == "console"
    listed = answer(b.broker.control.channels, "B")
    assert (listed.total, listed.matching, [each.client_id for each in listed.channels]) == (2, 1, ["böb"])
    assert sorted(answer(a.broker.control.client_ids)) == ["ann", "böb"]
    assert answer(a.broker.control.sockets_of, "ann") == [ann]
    assert {each.name for each in answer(a.broker.control.nodes)} == {"A", "B"}
    eventually(lambda: answer(b.broker.control.totals).sockets == {"stream": 0, "poll": 1, "sdk": 0, "none": 1})
    assert answer(b.broker.control.alike, "Ann") == ["ann"]


def told(sent):
    """What all nodes know of a message."""
    return dataclasses.replace(sent, queued=None, sockets=())


def test_events_and_messages_of_all_nodes_are_in_one_order(nodes):
    a, b = nodes
    socket = a.open(a.create("ann"))
    a.send("ann", "secret one")
    b.send("ann", "secret two")
    b.send("Ann", "to nobody")
    for each in nodes:
        eventually(lambda each=each: len(each.broker.journal.after(0)) == 3 and each.events("message_dropped"))
    assert a.broker.events.after(0) == b.broker.events.after(0)
    assert list(map(told, a.broker.journal.after(0))) == list(map(told, b.broker.journal.after(0)))
    numbers = [event.number for event in a.broker.events.after(0)]
    assert numbers == list(range(1, len(numbers) + 1))
    messages = {sent.number: sent for sent in a.broker.journal.after(0)}
    for event in a.events("message_sent") + a.events("message_dropped"):
        assert messages[event.detail["message"]].client_id == event.client_id
    (dropped,) = a.events("message_dropped")
    assert dropped.detail["near"] == ["ann"]
    assert "secret" not in str(a.broker.events.after(0))
    a.read(socket, 0)
    a.broker.release(a.broker.poll(socket, 1))
    delivered = [sent for sent in a.broker.journal.after(0) if sent.delivered_to]
    receipts = lambda: [answer(b.broker.control.receipts, sent)[0].state for sent in delivered]  # noqa: E731
    eventually(lambda: sorted(receipts()) == ["acknowledged", "waiting"])
    # When, and how, is known at the node that has the page.
    assert sorted(sent.acknowledged for sent in delivered) == [0, 1]


def test_what_is_recorded_twice_stands_there_once(nodes):
    """As where Redis stood still: it still does what a connection brought that was given up meanwhile."""
    a, b = nodes
    asked, asking = [], a.broker._asking
    ask = asking.ask

    def noting(script, *arguments, **options):
        if script == "record":
            asked.append(arguments)
        ask(script, *arguments, **options)

    asking.ask = noting
    a.open(a.create("ann"))
    a.send("ann", "hello")
    eventually(lambda: b.events("message_sent"))
    assert asked
    for arguments in list(asked):
        asking.ask_and_wait("record", *arguments, told=lambda found: None).wait(LONG_ENOUGH)
    a.send("ann", "again")
    eventually(lambda: len(b.events("message_sent")) == 2)
    assert [sent.text for sent in b.broker.journal.after(0)] == ["hello", "again"]
    assert len(b.events("socket_opened")) == 1


def test_a_reset_forgets_everything_but_who_the_nodes_are(nodes, shared_redis):
    a, b = nodes
    token = a.create("ann")
    poll = b.broker.poll(b.open(token), 0)
    answer(a.broker.connect, a.create("Eve"))
    a.send("ann", "hello")
    b.broker.take(poll)
    poll = b.broker.poll(poll.socket_id, 0)
    answer(a.broker.control.reset)
    eventually(lambda: b.broker._mirrors.sockets == {})
    assert raised(SocketGone, b, poll.socket_id)
    assert a.send("ann", "hello").reason == "No channel of that name."
    assert answer(a.broker.control.client_ids) == []
    client, _ = redis_of(shared_redis, a)
    service = a.broker.node._options.service
    kept = {
        "schema",
        "key",
        "run",
        "epoch",
        "clock",
        "nodes",
        "about",
        "fence",
        "event_number",
        "journal_number",
        "journal_bytes",
        "resets",
    }
    there = keys_of(client, service)
    for_a_while = {key for key in there if key[:2] in ("r:", "x:", "to", "h:", "d:")}
    assert there - for_a_while <= kept | {"events", "journal"}
    for each in nodes:
        eventually(lambda each=each: [event.kind for event in each.broker.events.after(0)][:1] == ["reset"])


def test_resets_under_load_leave_nothing_and_break_nothing(nodes, shared_redis):
    a, b = nodes
    names = [f"client-{number}" for number in range(5)]
    stop = threading.Event()
    problems: list[Exception] = []
    rounds = [0]

    def load(node) -> None:
        while not stop.is_set():
            for name in names:
                try:
                    socket = node.open(node.create(name))
                except InvalidToken:
                    # It was forgotten before its page could open it.
                    continue
                except Exception as problem:
                    problems.append(problem)
                    return
                node.send(name, "hello")
                node.broker.release(node.broker.poll(socket, 0))
                node.broker.release(node.broker.poll(socket, 1))
                rounds[0] += 1

    threads = [threading.Thread(target=load, args=(each,)) for each in nodes]
    for thread in threads:
        thread.start()
    for _ in range(5):
        sent = rounds[0]
        eventually(lambda sent=sent: rounds[0] > sent + 10 or problems)
        answer(a.broker.control.reset)
    stop.set()
    for thread in threads:
        thread.join()
    assert problems == []
    answer(b.broker.control.reset)
    client, prefix = redis_of(shared_redis, a)
    eventually(lambda: not a.broker._mirrors.sockets and not b.broker._mirrors.sockets)
    pass_time(nodes, 0.5)
    assert {key.split(":")[0] for key in keys_of(client, a.broker.node._options.service)}.isdisjoint(
        {"c", "cl", "ca", "cn", "s", "ns", "t", "tokens", "timers", "ids", "odd"}
    )
    assert int(client.get(f"{prefix}unread") or 0) == 0
    socket = a.open(b.create("ann"))
    assert b.send("ann", "after all of it").delivered_to == 1
    assert b.read(socket, 0) == ["after all of it"]


def test_nothing_is_left_of_channels_that_are_gone(node, shared_redis):
    a = node("A", resume_window=0.0, disconnect_after=0.0)
    client, _ = redis_of(shared_redis, a)
    for name in ("ann", "Böb"):
        token = a.create(name)
        socket = a.open(token)
        a.send(name, "hello")
        answer(a.broker.control.expire, socket)
    answer(a.broker.control.travel, 8_000)
    names = lambda: {key.split(":")[0] for key in keys_of(client, a.broker.node._options.service)}  # noqa: E731
    gone = {"c", "cl", "ca", "cn", "s", "ids", "tokens", "early", "timers", "leases", "odd", "t"}
    eventually(lambda: not names() & gone)
    assert int(client.get(f"{a.broker.node.key}unread")) == 0


def test_faults_are_those_of_the_service(nodes):
    a, b = nodes
    a.open(a.create("ann"))
    number = answer(a.broker.faults.add, "send error count=2")
    for each, left in ((b, 2), (a, 1)):
        # Both nodes know how often it may happen still.
        for node in nodes:
            eventually(lambda node=node, left=left: [fault["count"] for fault in node.broker.faults.listed()] == [left])
        with pytest.raises(Exception, match="fault on request"):
            each.send("ann", "hello")
    eventually(lambda: not a.broker.faults.listed() and not b.broker.faults.listed())
    assert b.send("ann", "hello").delivered_to == 1
    answer(b.broker.faults.add, "send drop")
    eventually(lambda: a.broker.faults.listed())
    assert a.send("ann", "hello").delivered_to == 0
    assert not answer(a.broker.faults.remove, number)
    answer(a.broker.faults.clear)
    eventually(lambda: not b.broker.faults.listed())


def test_a_key_is_the_same_at_all_nodes(nodes):
    a, b = nodes
    assert a.broker.shared_key("sign-in") == b.broker.shared_key("sign-in") != a.broker.shared_key("other")
    assert a.broker.node.mint.made(b.create("ann"))


def test_names_that_have_no_bytes_name_nobody(nodes):
    """A lone surrogate in what an app or a page says breaks nothing."""
    a, _ = nodes
    assert a.send("\ud800", "hello").reason.startswith("No channel of that name.")
    assert raised(SocketGone, a, "\ud800")
    assert a.open(a.create("ann"), attempt="\ud800")
    assert answer(a.broker.control.channel, "\ud800") is None
    assert a.broker.why_away is None


def test_an_event_says_who_opened_a_socket(nodes):
    a, b = nodes
    a.open(b.create("ann", opened_by="console"))
    eventually(lambda: [event.detail for event in b.events("socket_opened")] == [{"open": 1, "opened_by": "console"}])
