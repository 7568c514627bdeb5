"""The reasons why a page may stay silent, each looked for on its own, with how likely it is to be the one.

Those that are about its messages are in `message_reasons.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from appengine_channel_emu.broker.clock import ManualClock
from appengine_channel_emu.broker.drops import ago
from appengine_channel_emu.broker.errors import InvalidChannelKey
from appengine_channel_emu.broker.events import Event
from appengine_channel_emu.web.case import Case
from appengine_channel_emu.web.findings import Finding, count, found
from appengine_channel_emu.web.message_reasons import (
    MOST_NAMED,
    Weighed,
    near_misses,
    on_their_way,
    other_ids,
    own_drops,
)

OF_CHANNELS = ("/_ah/channel/", "/_emu/channels", "/_emu/messages", "/rpc_http", "/_ah/remote_api")
"""How the paths begin by which channels are made, opened, sent to and told of."""

OF_PAGES = ("/_ah/channel/open", "/_ah/channel/poll", "/_ah/channel/stream", "/_ah/channel/dev", "/_ah/channel/jsapi")
"""Those that pages ask."""

LATE_SECONDS = 600.0
"""A start and a reset are told of for so long."""

SLOW_SECONDS = 1.0
"""An app that has not answered a presence post for so long is told of."""


# What to look at, each with how likely it is to be the reason.


def faults(case: Case) -> Weighed:
    """Faults on request that are in force."""
    met = [event for event in case.events if event.kind == "fault"]
    for fault in case.broker.faults.listed():
        if fault["stage"] in ("app", "rpc") or fault["client_id"] not in (None, case.client_id):
            continue
        name = f"{fault['stage']} {fault['action']}"
        times = sum(name in event.text for event in met)
        happened = f" It has happened to {case.name} {count(times, 'time')}." if times else ""
        last = met[-1].time if times else None
        yield (95 if times else 50), found("fault", f"A fault on request is in force: {name}.{happened}", last)


def refused_open(event: Event) -> Finding:
    """A page that came, and was not let in."""
    return found("expired" if event.detail.get("why") == "expired" else "open_refused", event.text, event.time)


def _refused_opens(case: Case) -> Weighed:
    """A page that came, and was not let in."""
    event = case.latest("open_refused")
    if event is None:
        return
    opened = case.latest("socket_opened")
    if opened is not None and (opened.number > event.number or (event.client_id is None and case.is_open)):
        return
    finding = refused_open(event)
    if event.client_id is None:
        finding = replace(finding, text=f"{finding.text} It is not known whose page that was.")
    yield (90 if event.client_id else 60), finding


def refused_requests(case: Case) -> Weighed:
    """Calls that were over a limit; and, where nothing was sent, requests that nobody let in."""
    call = case.latest("call_refused")
    if call is not None and not any(sent.number and sent.time > call.time for sent in case.own):
        yield 84, found("call_refused", call.text, call.time)
    if case.own:
        return
    latest = {
        event.detail.get("rule"): event
        for event in case.broker.events.after(0)
        if event.kind in ("request_refused", "call_refused") and _may_concern(case, event)
    }
    for event in latest.values():
        is_pages = not case.is_open and str(event.detail.get("path")).startswith(OF_PAGES)
        yield (75 if is_pages else 58), found(event.kind, event.text, event.time)


def _may_concern(case: Case, event: Event) -> bool:
    """Whether it may have been for this client id: of a request that was refused that is not known."""
    if event.kind == "call_refused":
        return event.detail.get("error") == InvalidChannelKey.name
    return str(event.detail.get("path")).startswith(OF_CHANNELS)


def _state(case: Case) -> Weighed:
    """Whether there is a page at all; what a drop has said is not said again."""
    said = {sent.why for sent in case.own[-1:]}
    closed, opened = case.latest("socket_closed"), case.latest("socket_opened")
    if case.is_open:
        if not case.own:
            yield 30, found("no_message", f"A page of {case.name} is open. No message was sent to it.")
    elif closed is not None:
        kind = _CLOSED.get(str(closed.detail.get("why")), "page_left")
        if kind not in said and not (kind in ("page_left", "away", "by_hand") and said & {"grace", "page_left"}):
            text = f"{case.name} has no page any more. {closed.text} That was {ago(case.now - closed.time)}."
            yield 70, found(kind, text, closed.time)
    elif case.channel is None:
        if "no_channel" not in said:
            text = f"There is no channel {case.name} at this emulator, nor was there one that it remembers."
            yield 70, found("no_channel", text)
    elif opened is None and "not_opened" not in said:
        yield 70, found("not_opened", f"{case.name} has a token, and no page has opened its channel.")


_CLOSED = {"expired": "expired", "overflow": "overflow", "replaced": "single", "away": "away", "by_hand": "by_hand"}
"""Kinds of findings by why a socket was closed."""


def _of_late(case: Case) -> Weighed:
    """A start or a reset, of which pages that were open before know nothing."""
    if case.channel is not None:
        return
    reset = next((event for event in reversed(case.broker.events.after(0)) if event.kind == "reset"), None)
    if reset is not None and case.now - reset.time < LATE_SECONDS:
        text = (
            f"The emulator was reset {ago(case.now - reset.time)}: pages that were open then have lost their channels."
        )
        yield 56, found("reset", text, reset.time)
    since = case.broker.figures.since
    if reset is None and case.now - since < LATE_SECONDS:
        yield 22, found("started", f"The emulator was started {ago(case.now - since)}.", since)


def _replaced(case: Case) -> Weighed:
    if case.is_open and case.broker.options.tabs == "single":
        events = [event for event in case.events if event.kind == "socket_closed" and "--tabs=single" in event.text]
        if events:
            text = f"An older page of {case.name} was closed {ago(case.now - events[-1].time)} when a newer one came."
            yield 79, found("single", text, events[-1].time)


def _tabs(case: Case) -> Weighed:
    if case.channel is None:
        return
    if case.channel.sockets > 1 and case.broker.options.tabs == "split":
        pages = count(case.channel.sockets, "page")
        yield 77, found("split", f"{case.name} has {pages} open, which share its messages (--tabs=split).")
    marks = sorted({socket.opened_by for socket in case.channel.sockets_shown if socket.opened_by is not None})
    if marks:
        text = f"A socket of {case.name} is no page of the app: it was opened by {', '.join(marks)}."
        yield (35 if case.broker.options.tabs == "fanout" else 77), found("opened_by", text)


def _presence(case: Case) -> Weighed:
    event = case.latest("presence_failed")
    told = case.latest("presence_sent")
    if event is not None and (told is None or told.number < event.number):
        kind = "presence_404" if event.detail.get("status") == 404 else "presence_failed"
        text = f"The app was not told of {case.name} ({event.detail.get('presence')}). {event.text}"
        yield 62, found(kind, text, event.time)
    if case.channel is not None and case.channel.telling_since is not None:
        seconds = case.now - case.channel.telling_since
        if seconds >= SLOW_SECONDS:
            what = "connected" if case.channel.telling else "disconnected"
            text = f"The app has not answered for {seconds:.0f} s: POST /_ah/channel/{what}/ of {case.name}."
            yield 64, found("presence_slow", text, case.channel.telling_since)
    for note, why in _NOT_TOLD.items():
        if note in case.notes and case.is_open:
            yield 48, found("presence_off", f"The app is not told of its pages: {why}.")
    if "socket_send" in case.notes:
        yield 33, found("socket_send", "A page has used socket.send(): that goes to the app, never to other pages.")


_NOT_TOLD = {
    "presence_off": "app.yaml does not list channel_presence",
    "presence_never": "--presence=never",
}


def _clock(case: Case) -> Weighed:
    broker = case.broker
    # One that a test moves does not move by itself.
    moved = case.now - broker.figures.since if isinstance(broker.clock, ManualClock) else broker.control.travelled
    if moved > 0:
        # Of what timed out the clock may be the reason.
        expired = any(event.detail.get("why") == "expired" for event in case.events[-20:])
        weight = 72 if expired else 32
        yield weight, found("travelled", f"The clock was moved on by {moved:g} s by hand.")


def _frozen(case: Case) -> Weighed:
    # One that a test moves always stands.
    if case.broker.clock.frozen and not isinstance(case.broker.clock, ManualClock):
        yield 31, found("frozen", "The emulator's clock stands still.")


def _nothing(case: Case) -> Weighed:
    if not case.own and not case.is_open:
        yield 20, found("no_message", f"No message was sent to {case.name}, as far back as messages are kept.")


def _policies(case: Case) -> Weighed:
    """Pages whose Content-Security-Policy is in the way of the script; not where one has opened the channel."""
    if case.is_open or case.latest("socket_opened") is not None:
        return
    blocked = {event.detail["path"]: event for event in case.broker.events.after(0) if event.kind == "csp_blocks"}
    for event in list(blocked.values())[-MOST_NAMED:]:
        advice = event.detail["advice"]
        text = event.text.removesuffix(f" {advice}")
        # Without a token there is nothing that a page could have opened.
        weight = 40 if case.channel is None else 86 if event.detail["sure"] else 68
        yield weight, found("csp_blocks", text, event.time, advice)


LOOKS: tuple[Callable[[Case], Weighed], ...] = (
    faults,
    own_drops,
    near_misses,
    _refused_opens,
    refused_requests,
    _policies,
    on_their_way,
    other_ids,
    _state,
    _of_late,
    _replaced,
    _tabs,
    _presence,
    _clock,
    _frozen,
    _nothing,
)
"""All of them; what weighs the same comes in this order."""
