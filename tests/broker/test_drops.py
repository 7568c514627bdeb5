"""Why a message reaches nobody, and which client ids come near."""

from __future__ import annotations

import contextlib

import pytest

from appengine_channel_emu.broker.broker import EmbeddedBroker
from appengine_channel_emu.broker.clock import ManualClock
from appengine_channel_emu.broker.contract import BrokerOptions
from appengine_channel_emu.broker.drops import MOST_DEPARTURES, fold
from appengine_channel_emu.broker.errors import InternalError


def make(posts=False, **options):
    clock = ManualClock()
    broker = EmbeddedBroker(clock, BrokerOptions(**options), (lambda client_id, connected: None) if posts else None)
    return broker, clock


def open_socket(broker, client_id, minutes=None):
    return broker.open(broker.create_channel(client_id, minutes).token).socket


def why(broker, client_id, text="x"):
    """The name of the reason, and the whole sentence of the event."""
    sent = broker.send_message(client_id, text)
    assert sent.delivered_to == 0
    event = broker.events.after(0)[-1]
    assert event.kind == "message_dropped"
    assert event.text.startswith(sent.reason)
    assert event.detail["near"] == list(sent.near)
    return event.detail["why"], event.text


def test_each_reason_has_its_own_name():
    broker, clock = make()
    assert why(broker, "") == ("empty", "The client id is empty.")
    assert why(broker, "anna") == ("no_channel", "No channel of that name.")
    broker.create_channel("anna")
    assert why(broker, "anna") == ("not_opened", "No page has opened this channel yet.")
    broker.close(open_socket(broker, "anna"))
    clock.advance(3)
    assert why(broker, "anna") == ("page_left", "The page left, 3 s ago.")
    open_socket(broker, "bob", 1)
    clock.advance(60)
    assert why(broker, "bob") == ("expired", "Its token timed out, a moment ago.")
    broker.create_channel("carl", 1)
    clock.advance(7260)
    assert why(broker, "carl") == ("expired", "Its token timed out, 2 h ago.")
    assert dict(broker.figures.dropped) == {"empty": 1, "no_channel": 1, "not_opened": 1, "page_left": 1, "expired": 2}


def test_within_the_grace_time_the_app_takes_the_page_for_there():
    broker, clock = make(posts=True)
    socket = open_socket(broker, "anna")
    broker.presence_done("anna", True, 200)
    broker.close(socket)
    clock.advance(1)
    assert why(broker, "anna") == (
        "grace",
        "The page left, 1 s ago. The app is told of it later (--disconnect-after).",
    )
    clock.advance(2)
    broker.presence_done("anna", False, 200)
    assert why(broker, "anna")[0] == "page_left"


def test_a_token_that_times_out_within_the_grace_time_is_the_reason():
    broker, clock = make(posts=True)
    open_socket(broker, "anna", 1)
    broker.presence_done("anna", True, 200)
    clock.advance(60)
    assert why(broker, "anna")[0] == "expired"


def test_a_full_backlog_and_a_fault():
    broker, _ = make(backlog_messages=1)
    open_socket(broker, "anna")
    broker.send_message("anna", "kept")
    assert why(broker, "anna")[0] == "overflow"
    assert why(broker, "anna") == (
        "overflow",
        "Its socket was closed, with more unread messages than --backlog allows, a moment ago.",
    )
    broker.faults.add("send drop")
    open_socket(broker, "bob")
    broker.faults.clear()
    broker.faults.add("send drop count=1")
    assert why_of_fault(broker) == "fault"


def why_of_fault(broker):
    broker.send_message("bob", "x")
    return next(event.detail["why"] for event in reversed(broker.events.after(0)) if event.kind == "message_dropped")


@pytest.mark.parametrize(
    ("made", "sent"),
    [
        ("anna", "Anna"),
        ("Anna", "anna"),
        ("ANNA", "aNNa"),
        ("anna", " anna\n"),
        ("anna b", "anna\u00a0 b"),
        ("caf\u00e9", "cafe\u0301"),
        ("cafe\u0301", "CAF\u00c9"),
        ("stra\u00dfe", "STRASSE"),
        ("\uff21nna", "anna"),
    ],
)
def test_what_is_easily_mistaken_is_near(made, sent):
    broker, clock = make()
    open_socket(broker, made, 1)
    open_socket(broker, "zoe")
    assert broker.send_message(sent, "x").near[0] == made
    assert broker.control.alike(sent) == [made]
    # With its token it is forgotten.
    clock.advance(61)
    assert broker.control.alike(sent) == []


def test_the_line_says_which_are_open():
    broker, _ = make()
    broker.create_channel("ANNA")
    open_socket(broker, "anna")
    open_socket(broker, "bob")
    assert why(broker, "Anna")[1] == 'No channel of that name. Open: "anna", "bob". Not open: "ANNA"'


def test_what_looks_alike_can_be_told_apart():
    broker, _ = make()
    open_socket(broker, "caf\u00e9")
    open_socket(broker, "a\u200bb")
    text = why(broker, "cafe\u0301")[1]
    assert '"caf\u00e9"' in text
    assert '"a\\u200bb"' in text


def test_few_are_named_however_many_there_are():
    broker, _ = make()
    for number in range(100):
        open_socket(broker, f"page-{number}")
        broker.create_channel(
            "".join(letter.upper() if number >> i & 1 else letter for i, letter in enumerate("abcdefg"))
        )
    assert len(broker.send_message("ABCDEFG", "x").near) == 5
    assert len(broker.send_message("nobody", "x").near) == 5


def test_ids_that_are_what_they_fold_to_take_no_memory():
    broker, _ = make()
    for number in range(50):
        broker.create_channel(f"client-{number}")
    assert broker._tokens._names._odd == {}
    assert fold("  Stra\u00dfe\t 1 ") == "strasse 1"


def test_what_is_known_of_pages_that_left_is_bounded():
    broker, _ = make()
    for number in range(MOST_DEPARTURES + 10):
        broker.close(open_socket(broker, f"client-{number}"))
    assert len(broker._sockets.ended.departures._latest) == MOST_DEPARTURES


def test_a_token_is_not_to_be_read_anywhere():
    broker, clock = make()
    ours = broker.create_channel("anna", 1).token
    foreign = make()[0].create_channel("anna").token
    clock.advance(61)
    assert why(broker, ours) == ("expired", "This token has timed out.")
    assert why(broker, foreign)[1] == "No channel of that name: it looks like a token that is not of this emulator."
    shown = [event.client_id for event in broker.events.after(0) if event.kind == "message_dropped"]
    assert shown == [f"{ours[:8]}…", f"{foreign[:8]}…"]
    assert [sent.client_id for sent in broker.journal.after(0)] == shown


@pytest.mark.parametrize("fault", [None, "send drop", "send error"])
def test_nor_in_what_else_is_told_of_a_send_to_it(fault):
    broker, clock = make()
    ours = broker.create_channel("anna", 1).token
    foreign = make()[0].create_channel("anna").token
    clock.advance(61)
    if fault is not None:
        broker.faults.add(fault)
    for token in (ours, foreign):
        with contextlib.suppress(InternalError):
            broker.send_message(token, b"\xff")
    told = f"{broker.events.after(0)} {broker.journal.after(0)}"
    for token in (ours, foreign):
        assert f"{token[:8]}…" in told
        assert token not in told


def test_a_client_id_that_looks_like_a_token_is_told_whole():
    broker, _ = make()
    name = "x" * 52
    socket = open_socket(broker, name)
    broker.send_message(name, b"\xff")
    broker.close(socket)
    broker._tokens.forget_all()
    broker.send_message(name, b"\xff")
    assert {event.client_id for event in broker.events.after(0)} == {name}


@pytest.mark.parametrize("name", ["None", "undefined", "null"])
def test_a_value_that_the_app_does_not_have(name):
    assert "does not have" in why(make()[0], name)[1]
