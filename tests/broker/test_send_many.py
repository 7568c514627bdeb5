"""One message to many client ids in one call."""

from __future__ import annotations

import pytest

from appengine_channel_emu.broker.broker import EmbeddedBroker
from appengine_channel_emu.broker.clock import ManualClock
from appengine_channel_emu.broker.contract import Broker, BrokerOptions
from appengine_channel_emu.broker.errors import BacklogExceeded, BadMessage, ChannelServiceError


@pytest.fixture
def broker():
    return EmbeddedBroker(ManualClock())


def opened(broker: Broker, client_id: str) -> str:
    """The socket of a new page of `client_id`."""
    return broker.open(broker.create_channel(client_id).token).socket


def texts(broker: Broker, socket: str) -> list[str]:
    """All that waits for the socket."""
    return [message.text for message in broker.take(broker.poll(socket, 0)).messages]


def test_each_gets_it_once_and_has_its_own_outcome(broker):
    ann, bob = opened(broker, "ann"), opened(broker, "bob")
    sent = broker.send_many(["bob", "ann", "nobody", "bob"], "hello")
    assert [(client_id, outcome.delivered_to) for client_id, outcome in sent.items()] == [
        ("bob", 1),
        ("ann", 1),
        ("nobody", 0),
    ]
    assert sent["nobody"].reason == "No channel of that name."
    assert texts(broker, ann) == texts(broker, bob) == ["hello"]
    assert [entry.client_id for entry in broker.journal.after(0)] == ["bob", "ann", "nobody"]


def test_a_token_is_as_good_as_its_client_id(broker):
    made = broker.create_channel("ann")
    socket = broker.open(made.token).socket
    assert broker.send_many([made.token], "hello")[made.token].delivered_to == 1
    assert texts(broker, socket) == ["hello"]


def test_bytes_that_are_no_utf8_are_replaced(broker):
    socket = opened(broker, "ann")
    broker.send_many(["ann"], b"caf\xe9")
    assert texts(broker, socket) == ["caf�"]


def test_what_is_refused_is_sent_to_none(broker):
    ann, bob = opened(broker, "ann"), opened(broker, "bob")
    with pytest.raises(BadMessage):
        broker.send_many(["ann", "bob"], "")
    broker.faults.add("send error client_id=bob count=1")
    with pytest.raises(ChannelServiceError):
        broker.send_many(["ann", "bob"], "hello")
    assert texts(broker, ann) == texts(broker, bob) == []


def test_a_fault_of_one_strikes_that_one_alone(broker):
    ann, bob = opened(broker, "ann"), opened(broker, "bob")
    broker.faults.add("send drop client_id=ann")
    broker.faults.add("send duplicate client_id=bob")
    assert broker.send_many(["ann", "bob"], "hello")["ann"].reason == "A fault on request (send drop)."
    assert (texts(broker, ann), texts(broker, bob)) == ([], ["hello", "hello"])


def test_it_is_one_event_and_each_client_id_has_its_message_in_the_journal(broker):
    for client_id in ("ann", "bob"):
        opened(broker, client_id)
    opened(broker, "bob")
    before = broker.send_message("ann", "before")
    broker.send_many(["bob", "ann"], "to all")
    broker.send_message("ann", "after")
    assert before.delivered_to == 1
    journal = broker.journal
    assert [(sent.number, sent.client_id, sent.text, sent.delivered_to) for sent in journal.after(0)] == [
        (1, "ann", "before", 1),
        (2, "bob", "to all", 2),
        (3, "ann", "to all", 1),
        (4, "ann", "after", 1),
    ]
    assert [journal.get(number).client_id for number in range(1, 5)] == ["ann", "bob", "ann", "ann"]
    assert [journal.get(number) for number in (0, 5)] == [None, None]
    assert [sent.number for sent in journal.after(1, "ann")] == [3, 4]
    assert [sent.number for sent in journal.latest(2, lambda sent: True, after=1, before=4)] == [2, 3]
    assert [sent.number for sent in journal.latest(1, lambda sent: sent.client_id == "bob")] == [2]
    events = [event for event in broker.events.after(0) if event.kind == "message_sent"]
    assert [event.client_id for event in events] == ["ann", None, "ann"]
    assert events[1].detail == {"message": 2, "bytes": 6, "sockets": 3, "client_ids": 2}


def test_what_became_of_it_is_known_of_each_client_id(broker):
    ann, bob, cid = (opened(broker, client_id) for client_id in ("ann", "bob", "cid"))
    broker.send_many(["ann", "bob", "cid"], "to all")
    broker.poll(ann, 1)
    broker.close(bob)
    found = broker.journal.after(0)
    assert [(sent.acknowledged, sent.lost) for sent in found] == [(1, 0), (0, 1), (0, 0)]
    receipts = [broker.control.receipts(sent) for sent in found]
    assert [[(each.socket, each.state) for each in some] for some in receipts] == [
        [(ann, "acknowledged")],
        [(bob, "lost")],
        [(cid, "waiting")],
    ]


def test_a_client_id_that_is_named_twice_gets_it_once(broker):
    made = broker.create_channel("ann")
    socket = broker.open(made.token).socket
    assert [sent.delivered_to for sent in broker.send_many([made.token, "ann"], "hello").values()] == [1, 1]
    assert texts(broker, socket) == ["hello"]
    broker.faults.add("send duplicate client_id=nobody")
    broker.send_many(["ann", made.token], "again")
    assert texts(broker, socket) == ["hello", "again"]


def test_what_reaches_nobody_is_told_of_the_first_few(broker):
    socket = opened(broker, "ann")
    token = broker.create_channel("bob", 1).token
    broker.clock.advance(60)
    names = [token, *(f"nobody {number}" for number in range(30))]
    sent = broker.send_many([*names, "ann"], "hello")
    assert texts(broker, socket) == ["hello"]
    assert sent[token].reason == "This token has timed out."
    assert {sent[name].reason for name in names[1:]} == {"No channel of that name."}
    events = [event for event in broker.events.after(0) if event.kind == "message_dropped"]
    assert [event.client_id for event in events] == [f"{token[:8]}…", *names[1:20], None]
    assert events[-1].text.startswith("Dropped for 11 more client ids of the same call")
    found = broker.journal.after(0)
    assert [sent.client_id for sent in found] == ["ann", f"{token[:8]}…", *names[1:]]
    assert [broker.journal.get(sent.number).client_id for sent in found] == [sent.client_id for sent in found]
    assert broker.journal.after(0, "nobody 29")[0].why == "no_channel"
    assert broker.figures.dropped == {"expired": 1, "no_channel": 30}


def test_the_journal_keeps_the_newest_whole_and_no_more_than_it_may():
    broker = EmbeddedBroker(ManualClock())
    for number in range(100):
        opened(broker, f"c{number}")
    everybody = [f"c{number}" for number in range(100)]
    for number in range(120):
        broker.send_many(everybody, f"{number}")
        for socket in broker.control.client_ids():
            (found,) = broker.control.sockets_of(socket)
            broker.release(broker.poll(found, number + 1))
    # A hundred sends to a hundred sockets each: test_receipts.py has the bound.
    assert (broker.journal.oldest, len(broker.journal.after(0))) == (2001, 10_000)
    broker.send_many([f"nobody {number}" for number in range(20_000)], "hello")
    assert [sent.text for sent in broker.journal.after(0)] == ["hello"] * 10_000
    broker.send_message("c0", "last")
    assert [sent.text for sent in broker.journal.after(0)] == ["last"]


def test_an_unread_message_counts_once_however_many_wait_for_it():
    broker = EmbeddedBroker(ManualClock(), BrokerOptions(backlog_total=40_000))
    sockets = [opened(broker, f"c{number}") for number in range(50)]
    broker.send_many([f"c{number}" for number in range(50)], "x" * 30_000)
    assert [len(texts(broker, socket)) for socket in sockets] == [1] * 50
    # The next one has no room: those that have the most unread are closed.
    broker.send_many(["c0"], "y" * 30_000)
    assert [event.kind for event in broker.events.after(0)].count("socket_closed") > 0


@pytest.mark.parametrize("tabs", ["fanout", "split"])
def test_each_socket_or_one_of_them_has_it(tabs):
    broker = EmbeddedBroker(ManualClock(), BrokerOptions(tabs=tabs))
    sockets = [opened(broker, "ann"), opened(broker, "ann"), opened(broker, "bob")]
    sent = broker.send_many(["ann", "bob"], "hello")
    assert [each.delivered_to for each in sent.values()] == [2 if tabs == "fanout" else 1, 1]
    assert sum(len(texts(broker, socket)) for socket in sockets) == sum(each.delivered_to for each in sent.values())
    assert sum(len(broker.control.receipts(sent)) for sent in broker.journal.after(0)) == 3 - (tabs == "split")


def test_a_socket_that_has_too_much_is_closed_and_the_others_have_it():
    broker = EmbeddedBroker(ManualClock(), BrokerOptions(backlog_messages=1))
    full, free = opened(broker, "full"), opened(broker, "free")
    broker.send_message("full", "first")
    sent = broker.send_many(["full", "free"], "second")
    assert (sent["full"].delivered_to, sent["free"].delivered_to) == (0, 1)
    assert sent["full"].reason == "A socket had more unread messages than the backlog allows."
    assert texts(broker, free) == ["second"]
    with pytest.raises(BacklogExceeded):
        broker.poll(full, 0)


def test_what_a_request_sends_waits_where_its_own_browser_is():
    broker = EmbeddedBroker(ManualClock(), BrokerOptions(push_after_answer=0.25))
    here, there = (broker.open(broker.create_channel(name).token, browser=name).socket for name in ("here", "there"))
    request = broker.app_requests.begin("here", False)
    broker.send_many(["here", "there"], "hello", request)
    polls = [broker.poll(socket, 0, name) for socket, name in ((here, "here"), (there, "there"))]
    assert [poll.ready.is_set for poll in polls] == [False, True]
    assert [sent.held for sent in broker.journal.after(0)] == [True, False]
    assert broker.events.after(0)[-1].detail["held"] == 1
    broker.app_requests.end(request)
    broker.clock.advance(0.25)
    assert [message.text for message in broker.take(polls[0]).messages] == ["hello"]
