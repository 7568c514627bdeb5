"""The reasons why a page may stay silent that are about its messages: dropped, under way, or to another client id."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterator

from appengine_channel_emu.broker.drops import fold
from appengine_channel_emu.broker.journal import SentMessage
from appengine_channel_emu.broker.results import Receipt
from appengine_channel_emu.hints import quoted
from appengine_channel_emu.web.case import Case
from appengine_channel_emu.web.findings import Finding, count, found, lower, wait, were

MOST_UNDER_WAY = 100
"""Messages that are looked for on each of their sockets."""

MOST_NAMED = 3
"""Other client ids that are named in one sentence."""

Weighed = Iterator[tuple[int, Finding]]
"""Findings, each with its weight: the heaviest is the likeliest."""


def dropped(sent: SentMessage, times: int) -> Finding:
    """Why `sent` and those like it reached nobody, in the words of the log."""
    near = f" Near it: {', '.join(map(quoted, sent.near))}." if sent.near else ""
    why = sent.why or "no_channel"
    text = f"{count(times)} to {quoted(sent.client_id)} {were(times)} dropped: {lower(sent.reason or '')}{near}"
    return found(why, text, sent.time)


def of_receipts(receipts: list[Receipt], what: str) -> Iterator[Finding]:
    """What became of a message on its sockets: what is bad first."""
    states = Counter(receipt.state for receipt in receipts)
    total = len(receipts)
    sentences = (
        (
            "held",
            f"{what} waits, on {count(states['held'], 'page')}, for the answer of the request that sent it.",
        ),
        ("waiting", f"{what} waits for {count(states['waiting'], 'page')} that has not said that it has it."),
        ("lost", f"{what} was lost on {count(states['lost'], 'page')}: the socket ended before the page had it."),
        ("acknowledged", f"{what} has arrived: {states['acknowledged']} of {count(total, 'page')} said so."),
    )
    times = [receipt.acknowledged for receipt in receipts if receipt.acknowledged is not None]
    for kind, text in sentences:
        if states[kind]:  # type: ignore[index]
            yield found(kind, text, max(times) if kind == "acknowledged" else None)


def own_drops(case: Case) -> Weighed:
    delivered_last = bool(case.own) and case.own[-1].reason is None
    whys = Counter(sent.why for sent in case.own if sent.reason)
    latest = {sent.why: sent for sent in case.own if sent.reason}
    for why, sent in latest.items():
        yield (45 if delivered_last else 85), dropped(sent, whys[why])


def near_misses(case: Case) -> Weighed:
    """What was sent to client ids that are easily mistaken for this one."""
    wanted = fold(case.client_id)
    alike = [sent for sent in case.messages if sent.client_id != case.client_id and fold(sent.client_id) == wanted]
    latest = {sent.client_id: sent for sent in alike}
    for other, times in Counter(sent.client_id for sent in alike).items():
        text = (
            f"{count(times)} {were(times)} sent to {quoted(other)}, which is not {case.name}: "
            f"{_difference(case.client_id, other)}."
        )
        yield 88, found("near", text, latest[other].time)
    for other in case.broker.control.alike(case.client_id):
        if other not in latest:
            text = f"There is a channel {quoted(other)}, too, which is not {case.name}: "
            yield (40 if case.channel else 87), found("near", text + _difference(case.client_id, other) + ".")


def _difference(one: str, other: str) -> str:
    if one.casefold() == other.casefold():
        return "upper and lower case differ"
    if "".join(one.split()) == "".join(other.split()):
        return "the white space differs"
    if unicodedata.normalize("NFKC", one) == unicodedata.normalize("NFKC", other):
        return "the same letters, written in another normal form of Unicode"
    return "upper and lower case, white space or the normal form of Unicode differ"


def on_their_way(case: Case) -> Weighed:
    """Messages that no page has acknowledged yet, and the latest that one has."""
    under_way = [sent for sent in case.own if sent.reason is None]
    arrived = 0
    states: Counter[str] = Counter()
    for sent in reversed(under_way):
        arrived += bool(sent.acknowledged)
        if sent.acknowledged < sent.delivered_to and states.total() < MOST_UNDER_WAY:
            states.update({receipt.state for receipt in case.broker.control.receipts(sent)} - {"acknowledged"})
    if states["held"]:
        number = states["held"]
        what = f"{count(number)} to {case.name} {wait(number)} for the answer of the request that sent it."
        yield 82, found("held", what)
    if states["waiting"] and not states["held"]:
        number = states["waiting"]
        yield 76, found("waiting", f"{count(number)} to {case.name} {wait(number)} for a page to take it.")
    if states["lost"]:
        number = states["lost"]
        yield 74, found("lost", f"{count(number)} to {case.name} {were(number)} lost: the socket had ended.")
    if arrived:
        text = f"The page of {case.name} has {arrived} of {count(len(case.own))}: it has said so."
        last = max(time for sent in under_way for time in sent.acknowledged_at)
        yield 66, found("acknowledged", text, last)


def other_ids(case: Case) -> Weighed:
    """What was sent to others while this page waited for something."""
    if any(sent.reason is None for sent in case.own):
        return
    since = min((socket.since for socket in case.channel.sockets_shown), default=0.0) if case.channel else 0.0
    wanted = fold(case.client_id)
    others = Counter(
        (sent.reason is None, sent.client_id, sent.reason)
        for sent in case.messages
        if sent.time >= since and fold(sent.client_id) != wanted
    )
    if others:
        # Those first that reached nobody.
        most = sorted(others.items(), key=lambda each: (each[0][0], -each[1]))[:MOST_NAMED]
        went = ", ".join(
            f"{count(times)} to {quoted(name)}" + (f" (dropped: {lower(reason).rstrip('.')})" if reason else "")
            for (_, name, reason), times in most
        )
        if case.is_open:
            text = f"A page of {case.name} is open, and no message came for it. In that time went: {went}."
            yield 78, found("other_ids", text, since)
        elif not case.own:
            yield 25, found("other_ids", f"No message was sent to {case.name}. Others were: {went}.")
