"""Why a page stays silent: the reason that is true comes first, in words, with what to do."""

from __future__ import annotations

import time

import pytest
from webtest import TestApp

from appengine_channel_emu.broker.broker import EmbeddedBroker
from appengine_channel_emu.broker.clock import ManualClock
from appengine_channel_emu.broker.contract import BrokerOptions
from appengine_channel_emu.testing import Emulator
from appengine_channel_emu.web.explain import explain, explain_message
from appengine_channel_emu.web.findings import ADVICE
from appengine_channel_emu.web.front import Front
from appengine_channel_emu.web.guard import WebOptions
from tests.support.backend import PlayedBackend


def story(http, client_id):
    answer = http.get("/_emu/explain", {"client_id": client_id}).json
    assert answer["client_id"] == client_id
    assert answer["summary"] == answer["findings"][0]["text"]
    assert [each["text"] for each in answer["findings"]] == http.get(
        "/_emu/near-misses", {"client_id": client_id}
    ).json["near_misses"]
    for finding in answer["findings"]:
        assert finding["text"].endswith(".")
        assert finding["advice"] == ADVICE[finding["kind"]]
    return answer["findings"]


def first(http, client_id):
    finding = story(http, client_id)[0]
    return finding["kind"], finding["text"]


@pytest.mark.parametrize(
    ("page", "sent", "difference"),
    [
        ("anna", "Anna", "upper and lower case differ"),
        ("anna", "anna ", "the white space differs"),
        ("caf\u00e9", "cafe\u0301", "the same letters, written in another normal form of Unicode"),
        ("anna", "\uff21NNA ", "upper and lower case, white space or the normal form of Unicode differ"),
    ],
)
def test_another_client_id_that_looks_like_it(http, emulator, page, sent, difference):
    emulator.client(page).open()
    emulator.send_message(sent, "x")
    kind, text = first(http, page)
    assert (kind, difference in text) == ("near", True)
    # The other way round: from the app's side.
    kind, text = first(http, sent)
    assert kind == "no_channel" or difference in text


def test_sent_before_the_page_has_opened(http, emulator):
    emulator.create_channel("anna")
    assert first(http, "anna") == ("not_opened", '"anna" has a token, and no page has opened its channel.')
    emulator.send_message("anna", "x")
    emulator.send_message("anna", "x")
    assert first(http, "anna") == (
        "not_opened",
        '2 messages to "anna" were dropped: no page has opened this channel yet.',
    )


def test_sent_after_the_page_has_left_and_after_its_token_has_timed_out(http, emulator):
    emulator.client("anna").open().close()
    emulator.advance(10)
    emulator.send_message("anna", "x")
    assert first(http, "anna") == ("page_left", '1 message to "anna" was dropped: the page left, 10 s ago.')
    emulator.client("bob").open()
    emulator.broker.control.travel(7200)
    findings = story(http, "bob")
    assert findings[0]["kind"] == "travelled"
    assert "expired" in [finding["kind"] for finding in findings]
    emulator.send_message("bob", "x")
    assert first(http, "bob")[0] == "expired"


def test_a_token_of_another_app_and_one_of_this_that_timed_out(http, emulator):
    foreign = Emulator().create_channel("anna")
    http.get("/_ah/channel/open", {"channel": foreign}, status=401)
    emulator.create_channel("anna")
    assert "open_refused" in [finding["kind"] for finding in story(http, "anna")]
    answer = http.get("/_emu/explain", {"token": foreign}).json
    assert answer["client_id"] == ""
    assert "it is another app's" in answer["summary"]
    old = emulator.create_channel("bob", 1)
    emulator.advance(61)
    http.get("/_ah/channel/open", {"channel": old}, status=401)
    assert first(http, "bob")[0] == "expired"
    assert http.get("/_emu/explain", {"token": old}).json["client_id"] == "bob"
    assert foreign not in http.get("/_emu/events").text
    assert http.get("/_emu/explain", {"token": emulator.create_channel("carl")}).json["client_id"] == "carl"


def test_two_client_ids_that_are_swapped(http, emulator):
    emulator.client("anna").open()
    emulator.client("bob").open()
    for _ in range(3):
        emulator.send_message("bob", "meant for anna")
    emulator.send_message("None", "meant for anna")
    kind, text = first(http, "anna")
    assert kind == "other_ids"
    assert '1 message to "None" (dropped: no channel of that name' in text
    assert '3 messages to "bob"' in text


def test_what_has_arrived_is_in_the_script_of_the_page(http, emulator):
    page = emulator.client("anna").open()
    emulator.send_message("anna", "x")
    assert page.messages == ["x"]
    assert first(http, "anna") == ("acknowledged", 'The page of "anna" has 1 of 1 message: it has said so.')
    assert "onmessage" in ADVICE["acknowledged"]
    answer = http.get("/_emu/message", {"number": 1}).json
    assert [(each["state"], each["acknowledged"]) for each in answer["receipts"]] == [
        ("acknowledged", emulator.clock.now())
    ]
    assert answer["findings"][0]["kind"] == "acknowledged"


def test_a_page_that_does_not_take_what_waits(http, emulator):
    emulator.broker.open(emulator.create_channel("anna"))
    emulator.send_message("anna", "x")
    assert first(http, "anna") == ("waiting", '1 message to "anna" waits for a page to take it.')


def test_what_is_held_behind_its_answer():
    broker = EmbeddedBroker(ManualClock(), BrokerOptions(push_after_answer=0.05))
    broker.open(broker.create_channel("anna").token, browser="Chromium")
    broker.send_message("anna", "x", broker.app_requests.begin("Chromium", navigation=False))
    assert explain(broker, "anna").findings[0].kind == "held"
    assert [finding.kind for finding in explain_message(broker, broker.journal.after(0)[0])] == ["held"]


def test_a_fault_in_force(http, emulator):
    emulator.client("anna").open()
    emulator.faults.add("poll cut probability=0")
    assert [finding["kind"] for finding in story(http, "anna")] == ["fault", "no_message"]
    emulator.faults.add("send drop client_id=anna")
    emulator.send_message("anna", "x")
    kind, text = first(http, "anna")
    assert (kind, text) == ("fault", 'A fault on request is in force: send drop. It has happened to "anna" 1 time.')
    assert http.get("/_emu/messages").json["messages"][0]["reason"] == "A fault on request (send drop)."
    emulator.create_channel("bob")
    assert "send drop" not in story(http, "bob")[0]["text"]


def test_a_full_backlog():
    broker = EmbeddedBroker(ManualClock(), BrokerOptions(backlog_messages=2))
    broker.open(broker.create_channel("anna").token)
    for _ in range(3):
        broker.send_message("anna", "x")
    finding = explain(broker, "anna").findings[0]
    assert (finding.kind, "--backlog" in finding.advice) == ("overflow", True)


@pytest.mark.parametrize("tabs", ["single", "split"])
def test_several_pages_of_one_client_id(tabs):
    broker = EmbeddedBroker(ManualClock(), BrokerOptions(tabs=tabs))
    broker.open(broker.create_channel("anna", opened_by="console").token)
    broker.open(broker.create_channel("anna").token)
    found = {finding.kind: finding for finding in explain(broker, "anna").findings}
    assert tabs in found
    assert f"--tabs={tabs}" in found[tabs].advice
    assert ("opened_by" in found) == (tabs == "split")


def test_presence_handlers_that_are_missing_raise_or_are_slow():
    clock = ManualClock()
    broker = EmbeddedBroker(clock, BrokerOptions(), lambda client_id, connected: None)
    broker.open(broker.create_channel("anna").token)
    clock.advance(3)
    assert "has not answered for 3 s" in str(explain(broker, "anna"))
    broker.presence_done("anna", True, 404)
    assert "presence_404" in kinds(broker, "anna")
    broker.presence_done("anna", True, 500, "The app's handler raised ValueError.")
    assert "raised ValueError" in str(explain(broker, "anna"))
    assert "presence_failed" in kinds(broker, "anna")
    broker.presence_done("anna", True, 200)
    assert "presence_failed" not in kinds(broker, "anna")


def kinds(broker, client_id, notes=()):
    return [finding.kind for finding in explain(broker, client_id, notes).findings]


def test_an_app_that_is_not_told():
    broker = EmbeddedBroker(ManualClock())
    broker.open(broker.create_channel("anna").token)
    assert "presence_off" not in kinds(broker, "anna")
    assert "presence_off" in kinds(broker, "anna", ["presence_off"])
    assert "presence_off" in kinds(broker, "anna", ["presence_never"])


def test_a_call_over_a_limit_and_a_request_that_was_refused(http, emulator):
    emulator.client("anna").open()
    http.post_json("/_emu/messages", {"client_id": "anna", "message": "x" * 40000}, status=400)
    kind, text = first(http, "anna")
    assert (kind, "32767" in text) == ("call_refused", True)
    http.post("/_emu/messages", "{}", status=415)
    assert "request_refused" in [finding["kind"] for finding in story(http, "anna")]


@pytest.mark.parametrize(("end", "kind"), [("close", "by_hand"), ("away", "away"), ("reset", "reset")])
def test_a_page_that_was_ended(http, emulator, end, kind):
    socket = emulator.broker.open(emulator.create_channel("anna")).socket
    if end == "close":
        emulator.broker.control.close(socket)
    elif end == "away":
        emulator.advance(70)
    else:
        http.post_json("/_emu/reset", {})
    assert kind in [finding["kind"] for finding in story(http, "anna")]


def test_of_a_client_id_that_nobody_knows_there_is_a_story_too(http, emulator):
    found = story(http, "anna")
    assert found[0]["text"] == 'There is no channel "anna" at this emulator, nor was there one that it remembers.'
    emulator.create_channel("bob")
    emulator.send_message("bob", "x")
    assert 'Others were: 1 message to "bob" (dropped: no page has opened this channel yet)' in str(story(http, "anna"))


def test_it_is_quick_with_all_that_is_kept():
    """10,000 events, 1,000 messages and 5,000 channels: milliseconds, so that a console may ask at each click."""
    broker = EmbeddedBroker(ManualClock())
    http = TestApp(Front(broker, PlayedBackend(), WebOptions()))
    for number in range(5_000):
        broker.open(broker.create_channel(f"Page {number}").token)
    for number in range(1_000):
        broker.send_message(f"page {number}", "x" * 4_000)
    paths = (
        "/_emu/explain?client_id=page+7",
        "/_emu/events?last=200",
        "/_emu/messages?last=200&cut=200",
        "/_emu/messages?last=200&search=nowhere",
        "/_emu/message?number=700",
    )
    for path in paths:
        began = time.process_time()
        http.get(path)
        # Ten times what it takes.
        assert time.process_time() - began < 0.5, path
