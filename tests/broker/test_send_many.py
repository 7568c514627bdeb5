"""One message to many client ids in one call."""

from __future__ import annotations

import pytest

from appengine_channel_emu.broker.broker import EmbeddedBroker
from appengine_channel_emu.broker.clock import ManualClock
from appengine_channel_emu.broker.contract import Broker
from appengine_channel_emu.broker.errors import BadMessage, ChannelServiceError


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
