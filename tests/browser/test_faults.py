"""Every fault that a page meets is survived by our client in Chromium, or told to the page as documented."""

from __future__ import annotations

import pytest

OPENED, CLOSED = ["onopen", {}], ["onclose", {}]
MESSAGES = 6


@pytest.fixture
def page(server, tab):
    tab.visit(server.url)
    return tab


def happened(server):
    events = server._running.broker.events.after(0)
    return {event.text.removeprefix("A fault on request: ").rstrip(".") for event in events if event.kind == "fault"}


def receives_everything(server, page):
    """The page opens, gets each message once and in order, and hears of no fault."""
    page.wait(1)
    sent = [str(number) for number in range(MESSAGES)]
    for number, text in enumerate(sent):
        assert server.send_message("anna", text).delivered_to == 1
        page.wait(2 + number)
    assert page.calls() == [OPENED, *(["onmessage", {"data": text}] for text in sent)]
    assert page.ready_state() == 1
    assert server._running.broker.control.channel("anna").sockets == 1
    assert page.errors == []


@pytest.mark.parametrize(
    "fault",
    [
        "open delay seconds=0.5 count=1",
        "open error error=500 count=2",
        "open drop count=3",
        "open cut count=3",
        "open duplicate count=1",
        "poll delay seconds=0.2",
        "poll error error=500 probability=0.5 seed=1",
        "poll error error=503 count=4",
        "poll drop probability=0.5 seed=2",
        "poll cut probability=0.5 seed=3",
        "poll duplicate",
        "stream delay seconds=0.5",
        "stream error error=500",
        "stream drop",
        "stream cut",
        "presence delay seconds=4 count=1",
        "presence error count=1",
        "presence drop count=1",
        "presence cut count=1",
        "presence duplicate count=1",
    ],
)
def test_the_page_does_not_notice(server, page, fault):
    server.faults.add(fault)
    page.open(server.create_channel("anna"))
    receives_everything(server, page)
    assert happened(server) == {" ".join(fault.split()[:2])}


@pytest.mark.parametrize("text", ["Token+timed+out.", "Invalid+token."])
@pytest.mark.parametrize("stage", ["open", "poll"])
def test_a_refusal_reaches_the_page_to_the_letter_and_it_can_open_again(server, page, stage, text):
    page.page.evaluate("goog.appengine.Socket.TRANSPORT = 'xhr'")  # Or a stream takes over from the poll that it meets.
    server.faults.add(f"{stage} error error={text} count=1")
    token = server.create_channel("anna")
    page.open(token, "first")
    before = [] if stage == "open" else [OPENED]
    ended = [*before, ["onerror", {"code": 401, "description": text}], CLOSED]
    assert page.wait_for(len(ended), "first") == ended
    assert page.ready_state("first") == 3
    page.open(token, "second")
    page.wait(1, "second")
    assert server.send_message("anna", "x").delivered_to >= 1
    assert page.wait_for(2, "second") == [OPENED, ["onmessage", {"data": "x"}]]
    assert happened(server) == {f"{stage} error"}


def test_a_header_that_the_browser_sends_with_all_of_a_pages_requests_is_for_its_polls_alone(server, page):
    page.page.evaluate("goog.appengine.Socket.TRANSPORT = 'xhr'")  # The request for a stream has no such header.
    page.page.set_extra_http_headers({"X-Channel-Emu-Fault": "poll duplicate"})
    page.open(server.create_channel("anna"))
    receives_everything(server, page)
    assert happened(server) == {"poll duplicate"}
