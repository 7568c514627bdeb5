"""Why a page stays silent: what is known of the messages of one client id, put into sentences, the likeliest first.

The one story: the console, the command line, `NoMessage` and /_emu/near-misses tell it in these words. What is true of
a single message as it is dropped is said by the broker itself (`broker/drops.py`), and stands here as in the log.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from functools import cached_property

from appengine_channel_emu.broker.clock import ManualClock
from appengine_channel_emu.broker.contract import Broker, ChannelSnapshot, Receipt
from appengine_channel_emu.broker.drops import ago, fold
from appengine_channel_emu.broker.errors import InvalidChannelKey
from appengine_channel_emu.broker.events import Event
from appengine_channel_emu.broker.journal import SentMessage
from appengine_channel_emu.hints import quoted
from appengine_channel_emu.web.refusals import SHOWN_OF_TOKEN

ADVICE = {
    "empty": "Look where the app takes the client id from: it was an empty text.",
    "no_channel": "Send to the very client id that create_channel was given, and to the emulator that the page has "
    "open: another one, on another port, knows nothing of it.",
    "not_opened": "The page has to call new goog.appengine.Channel(token).open(). Its console (F12) says what stops "
    "it, such as a Content-Security-Policy that blocks /_ah/channel/jsapi. Send once the app is told at "
    "/_ah/channel/connected/.",
    "expired": "When onerror says 401, have the page ask the app for a new token. A token lasts for the "
    "duration_minutes that create_channel is given, or 2 hours.",
    "page_left": "Nothing is kept for a page that has left, here as on App Engine. Send once it is back: the app is "
    "told at /_ah/channel/connected/.",
    "grace": "Nothing is kept for a page that has left, here as on App Engine. The app hears of it only after "
    "--disconnect-after, in case the page was merely loaded again.",
    "overflow": "The page takes less than it is sent, or does not ask any more. --backlog and --backlog-bytes allow "
    "more.",
    "fault": "Take the fault away on the console, or with curl -X DELETE …/_emu/faults.",
    "not_utf8": "Have the app encode client ids in UTF-8.",
    "near": "Send to the client id letter by letter as create_channel was given it.",
    "open_refused": "Give the page the token that create_channel returned for it, from this emulator.",
    "call_refused": "The call has raised in the app. Its limits are those of App Engine.",
    "request_refused": "Whatever asked got no further. What is to be asked otherwise, or allowed, is said there.",
    "reset": "Load the pages again, so that they get new tokens.",
    "started": "It knows what was before only if its state was kept (--state-dir).",
    "away": "Its computer slept, or its network was gone, for longer than --resume-window. It opens anew when it is "
    "back.",
    "by_hand": "Somebody closed it on the console, or by /_emu/sockets. The page gets onclose.",
    "presence_slow": "The page's onopen waits half a second for it at most, and then comes. Look what the handler "
    "waits for.",
    "socket_send": "Let the page post to a handler of the app, and the app send to the other pages.",
    "held": "It leaves once that answer is there, and at the latest half a second after it was sent; "
    "--push-after-answer 0 lets it go at once.",
    "waiting": "The page is between two polls, its computer sleeps, or its network is gone. It gets the message if "
    "it comes back within --resume-window.",
    "lost": "Its socket ended first. Send again when the page has opened its channel.",
    "acknowledged": "The page's script has it. The names of handlers are in lower case: onmessage, not onMessage. "
    "They are taken when open() is called, or set on the socket that it returns.",
    "other_ids": "Are two client ids swapped? A page gets what is sent to the client id of its own token.",
    "presence_404": "Give the app a handler for POST of this path, or take channel_presence out of inbound_services.",
    "presence_failed": "The app's own log has the error. Without that call the app may not know of the page.",
    "presence_off": "List channel_presence under inbound_services in app.yaml, if the app waits to be told of its "
    "pages.",
    "csp_blocks": "Add to the page's Content-Security-Policy what its event says.",
    "frozen": "Meanwhile no token times out, and the app is not told of pages that leave. Let it go on on the "
    'console, or send {"frozen": false} to /_emu/clock.',
    "travelled": "What lasts, such as a token, is over so much earlier.",
    "split": "With --tabs=split each message goes to one of them, in turn; --tabs=fanout gives it to all.",
    "single": "With --tabs=single the newest page of a client id is its only one; --tabs=fanout lets all stay.",
    "opened_by": "With --tabs=split or single it takes messages that are meant for the page. Close it on the console.",
    "no_message": "Look whether the app has called send_message, for this client id and at this emulator.",
}
"""What to do about each kind of finding."""

MOST_UNDER_WAY = 100
"""Messages that are looked for on each of their sockets."""

OF_CHANNELS = ("/_ah/channel/", "/_emu/channels", "/_emu/messages", "/rpc_http", "/_ah/remote_api")
"""How the paths begin by which channels are made, opened, sent to and told of."""

OF_PAGES = ("/_ah/channel/open", "/_ah/channel/poll", "/_ah/channel/stream", "/_ah/channel/dev", "/_ah/channel/jsapi")

LATE_SECONDS = 600.0
"""A start and a reset are told of for so long."""

SLOW_SECONDS = 1.0
"""An app that has not answered a presence post for so long is told of."""

MOST_NAMED = 3
"""Other client ids that are named in one sentence."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One reason; `kind` is a key of `ADVICE`, `time` in seconds of the clock where it was at one moment."""

    kind: str
    text: str
    advice: str
    time: float | None = None


@dataclass(frozen=True, slots=True)
class Explanation:
    """What became of the messages of a client id, in one sentence and in several, the likeliest reason first."""

    client_id: str
    summary: str
    findings: list[Finding]


def explain(broker: Broker, client_id: str, notes: Collection[str] = ()) -> Explanation:
    """Why a page of `client_id` may stay silent; `notes` are the names of what was noted (`Notes`).

    Looks at the messages and events that are kept, so it costs milliseconds, and can know no more than they do.
    """
    case = _Case(broker, client_id, notes)
    weighed = [(weight, finding) for look in _LOOKS for weight, finding in look(case)]
    # In the order of the looks where they weigh the same.
    findings = [finding for _, finding in sorted(weighed, key=_heaviest)] or [_unknown(case)]
    return Explanation(client_id, findings[0].text, findings)


def explain_message(broker: Broker, sent: SentMessage) -> list[Finding]:
    """What became of one message, the likeliest reason first why its page does not show it."""
    findings = [finding for _, finding in _faults(_Case(broker, sent.client_id))]
    if sent.reason is not None:
        return [_dropped(sent, 1), *findings]
    receipts = broker.control.receipts(sent)
    return [*_of_receipts(receipts, "The message"), *findings]


def near_misses(broker: Broker, client_id: str, notes: Collection[str] = ()) -> list[str]:
    """The sentences of `explain`."""
    return [finding.text for finding in explain(broker, client_id, notes).findings]


def _heaviest(weighed: tuple[int, Finding]) -> int:
    return -weighed[0]


def _unknown(case: _Case) -> Finding:
    return _finding("no_message", f"What was sent to {case.name} is not known any more.")


def explain_token(broker: Broker, token: str, notes: Collection[str] = ()) -> Explanation:
    """The same for a page that has `token`, which may open nothing: then its client id may not be known."""
    client_id = broker.client_id_of(token)
    refused = [event for event in broker.events.after(0) if event.kind == "open_refused"]
    own = [event for event in refused if event.detail.get("token") == token[:SHOWN_OF_TOKEN]]
    if client_id == token:
        client_id = next((event.client_id for event in reversed(own) if event.client_id), "")
    if client_id:
        return explain(broker, client_id, notes)
    findings = [_refused_open(event) for event in own[-1:]] or [
        _finding("open_refused", "No page came with this token.")
    ]
    findings += [finding for _, finding in sorted(_refused_requests(_Case(broker, "", notes)), key=_heaviest)]
    return Explanation("", findings[0].text, findings)


Weighed = Iterator[tuple[int, Finding]]


class _Case:
    """What is known of one client id."""

    def __init__(self, broker: Broker, client_id: str, notes: Collection[str] = ()) -> None:
        self.broker = broker
        self.client_id = client_id
        self.notes = notes
        self.name = quoted(client_id)
        self.now = broker.clock.now()
        self.channel: ChannelSnapshot | None = broker.control.channel(client_id)

    @property
    def is_open(self) -> bool:
        return self.channel is not None and self.channel.sockets > 0

    @cached_property
    def messages(self) -> list[SentMessage]:
        return self.broker.journal.after(0)

    @cached_property
    def own(self) -> list[SentMessage]:
        return [sent for sent in self.messages if sent.client_id == self.client_id]

    @cached_property
    def events(self) -> list[Event]:
        """Those of the client id, and refused tokens of which it is not known whose they are."""
        return [
            event
            for event in self.broker.events.after(0)
            if event.client_id == self.client_id or (event.client_id is None and event.kind == "open_refused")
        ]

    def latest(self, kind: str) -> Event | None:
        """The latest event of a kind."""
        return next((event for event in reversed(self.events) if event.kind == kind), None)


def _finding(kind: str, text: str, time: float | None = None, advice: str | None = None) -> Finding:
    return Finding(kind, text, advice or ADVICE[kind], time)


def _count(number: int, what: str = "message") -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _were(number: int) -> str:
    return "was" if number == 1 else "were"


def _lower(sentence: str) -> str:
    return f"{sentence[:1].lower()}{sentence[1:]}"


def _dropped(sent: SentMessage, times: int) -> Finding:
    """Why `sent` and those like it reached nobody, in the words of the log."""
    near = f" Near it: {', '.join(map(quoted, sent.near))}." if sent.near else ""
    why = sent.why or "no_channel"
    text = f"{_count(times)} to {quoted(sent.client_id)} {_were(times)} dropped: {_lower(sent.reason or '')}{near}"
    return _finding(why, text, sent.time)


def _of_receipts(receipts: list[Receipt], what: str) -> Iterator[Finding]:
    """What became of a message on its sockets: what is bad first."""
    states = Counter(receipt.state for receipt in receipts)
    total = len(receipts)
    sentences = (
        (
            "held",
            f"{what} waits, on {_count(states['held'], 'page')}, for the answer of the request that sent it.",
        ),
        ("waiting", f"{what} waits for {_count(states['waiting'], 'page')} that has not said that it has it."),
        ("lost", f"{what} was lost on {_count(states['lost'], 'page')}: the socket ended before the page had it."),
        ("acknowledged", f"{what} has arrived: {states['acknowledged']} of {_count(total, 'page')} said so."),
    )
    times = [receipt.acknowledged for receipt in receipts if receipt.acknowledged is not None]
    for kind, text in sentences:
        if states[kind]:  # type: ignore[index]
            yield _finding(kind, text, max(times) if kind == "acknowledged" else None)


# What to look at, each with how likely it is to be the reason.


def _faults(case: _Case) -> Weighed:
    met = [event for event in case.events if event.kind == "fault"]
    for fault in case.broker.faults.listed():
        if fault["stage"] in ("app", "rpc") or fault["client_id"] not in (None, case.client_id):
            continue
        name = f"{fault['stage']} {fault['action']}"
        times = sum(name in event.text for event in met)
        happened = f" It has happened to {case.name} {_count(times, 'time')}." if times else ""
        last = met[-1].time if times else None
        yield (95 if times else 50), _finding("fault", f"A fault on request is in force: {name}.{happened}", last)


def _own_drops(case: _Case) -> Weighed:
    delivered_last = bool(case.own) and case.own[-1].reason is None
    whys = Counter(sent.why for sent in case.own if sent.reason)
    latest = {sent.why: sent for sent in case.own if sent.reason}
    for why, sent in latest.items():
        yield (45 if delivered_last else 85), _dropped(sent, whys[why])


def _near(case: _Case) -> Weighed:
    """What was sent to client ids that are easily mistaken for this one."""
    wanted = fold(case.client_id)
    alike = [sent for sent in case.messages if sent.client_id != case.client_id and fold(sent.client_id) == wanted]
    latest = {sent.client_id: sent for sent in alike}
    for other, times in Counter(sent.client_id for sent in alike).items():
        text = (
            f"{_count(times)} {_were(times)} sent to {quoted(other)}, which is not {case.name}: "
            f"{_difference(case.client_id, other)}."
        )
        yield 88, _finding("near", text, latest[other].time)
    for other in case.broker.control.alike(case.client_id):
        if other not in latest:
            text = f"There is a channel {quoted(other)}, too, which is not {case.name}: "
            yield (40 if case.channel else 87), _finding("near", text + _difference(case.client_id, other) + ".")


def _difference(one: str, other: str) -> str:
    if one.casefold() == other.casefold():
        return "upper and lower case differ"
    if "".join(one.split()) == "".join(other.split()):
        return "the white space differs"
    if unicodedata.normalize("NFKC", one) == unicodedata.normalize("NFKC", other):
        return "the same letters, written in another normal form of Unicode"
    return "upper and lower case, white space or the normal form of Unicode differ"


def _refused_open(event: Event) -> Finding:
    return _finding("expired" if event.detail.get("why") == "expired" else "open_refused", event.text, event.time)


def _refused_opens(case: _Case) -> Weighed:
    """A page that came, and was not let in."""
    event = case.latest("open_refused")
    if event is None:
        return
    opened = case.latest("socket_opened")
    if opened is not None and (opened.number > event.number or (event.client_id is None and case.is_open)):
        return
    finding = _refused_open(event)
    if event.client_id is None:
        finding = replace(finding, text=f"{finding.text} It is not known whose page that was.")
    yield (90 if event.client_id else 60), finding


def _refused_requests(case: _Case) -> Weighed:
    """Calls that were over a limit; and, where nothing was sent, requests that nobody let in."""
    call = case.latest("call_refused")
    if call is not None and not any(sent.number and sent.time > call.time for sent in case.own):
        yield 84, _finding("call_refused", call.text, call.time)
    if case.own:
        return
    latest = {
        event.detail.get("rule"): event
        for event in case.broker.events.after(0)
        if event.kind in ("request_refused", "call_refused") and _may_concern(case, event)
    }
    for event in latest.values():
        is_pages = not case.is_open and str(event.detail.get("path")).startswith(OF_PAGES)
        yield (75 if is_pages else 58), _finding(event.kind, event.text, event.time)


def _may_concern(case: _Case, event: Event) -> bool:
    """Whether it may have been for this client id: of a request that was refused that is not known."""
    if event.kind == "call_refused":
        return event.detail.get("error") == InvalidChannelKey.name
    return str(event.detail.get("path")).startswith(OF_CHANNELS)


def _on_their_way(case: _Case) -> Weighed:
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
        what = f"{_count(number)} to {case.name} {_wait(number)} for the answer of the request that sent it."
        yield 82, _finding("held", what)
    if states["waiting"] and not states["held"]:
        number = states["waiting"]
        yield 76, _finding("waiting", f"{_count(number)} to {case.name} {_wait(number)} for a page to take it.")
    if states["lost"]:
        number = states["lost"]
        yield 74, _finding("lost", f"{_count(number)} to {case.name} {_were(number)} lost: the socket had ended.")
    if arrived:
        text = f"The page of {case.name} has {arrived} of {_count(len(case.own))}: it has said so."
        last = max(time for sent in under_way if sent.queued for time, _ in sent.queued.acknowledged.copy().values())
        yield 66, _finding("acknowledged", text, last)


def _wait(number: int) -> str:
    return "waits" if number == 1 else "wait"


def _other_ids(case: _Case) -> Weighed:
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
            f"{_count(times)} to {quoted(name)}" + (f" (dropped: {_lower(reason).rstrip('.')})" if reason else "")
            for (_, name, reason), times in most
        )
        if case.is_open:
            text = f"A page of {case.name} is open, and no message came for it. In that time went: {went}."
            yield 78, _finding("other_ids", text, since)
        elif not case.own:
            yield 25, _finding("other_ids", f"No message was sent to {case.name}. Others were: {went}.")


def _state(case: _Case) -> Weighed:
    """Whether there is a page at all; what a drop has said is not said again."""
    said = {sent.why for sent in case.own[-1:]}
    closed, opened = case.latest("socket_closed"), case.latest("socket_opened")
    if case.is_open:
        if not case.own:
            yield 30, _finding("no_message", f"A page of {case.name} is open. No message was sent to it.")
    elif closed is not None:
        kind = _CLOSED.get(str(closed.detail.get("why")), "page_left")
        if kind not in said and not (kind in ("page_left", "away", "by_hand") and said & {"grace", "page_left"}):
            text = f"{case.name} has no page any more. {closed.text} That was {ago(case.now - closed.time)}."
            yield 70, _finding(kind, text, closed.time)
    elif case.channel is None:
        if "no_channel" not in said:
            text = f"There is no channel {case.name} at this emulator, nor was there one that it remembers."
            yield 70, _finding("no_channel", text)
    elif opened is None and "not_opened" not in said:
        yield 70, _finding("not_opened", f"{case.name} has a token, and no page has opened its channel.")


_CLOSED = {"expired": "expired", "overflow": "overflow", "replaced": "single", "away": "away", "by_hand": "by_hand"}
"""Kinds of findings by why a socket was closed."""


def _of_late(case: _Case) -> Weighed:
    """A start or a reset, of which pages that were open before know nothing."""
    if case.channel is not None:
        return
    reset = next((event for event in reversed(case.broker.events.after(0)) if event.kind == "reset"), None)
    if reset is not None and case.now - reset.time < LATE_SECONDS:
        text = (
            f"The emulator was reset {ago(case.now - reset.time)}: pages that were open then have lost their channels."
        )
        yield 56, _finding("reset", text, reset.time)
    since = case.broker.figures.since
    if reset is None and case.now - since < LATE_SECONDS:
        yield 22, _finding("started", f"The emulator was started {ago(case.now - since)}.", since)


def _replaced(case: _Case) -> Weighed:
    if case.is_open and case.broker.options.tabs == "single":
        events = [event for event in case.events if event.kind == "socket_closed" and "--tabs=single" in event.text]
        if events:
            text = f"An older page of {case.name} was closed {ago(case.now - events[-1].time)} when a newer one came."
            yield 79, _finding("single", text, events[-1].time)


def _tabs(case: _Case) -> Weighed:
    if case.channel is None:
        return
    if case.channel.sockets > 1 and case.broker.options.tabs == "split":
        pages = _count(case.channel.sockets, "page")
        yield 77, _finding("split", f"{case.name} has {pages} open, which share its messages (--tabs=split).")
    marks = sorted({socket.opened_by for socket in case.channel.sockets_shown if socket.opened_by is not None})
    if marks:
        text = f"A socket of {case.name} is no page of the app: it was opened by {', '.join(marks)}."
        yield (35 if case.broker.options.tabs == "fanout" else 77), _finding("opened_by", text)


def _presence(case: _Case) -> Weighed:
    event = case.latest("presence_failed")
    told = case.latest("presence_sent")
    if event is not None and (told is None or told.number < event.number):
        kind = "presence_404" if event.detail.get("status") == 404 else "presence_failed"
        text = f"The app was not told of {case.name} ({event.detail.get('presence')}). {event.text}"
        yield 62, _finding(kind, text, event.time)
    if case.channel is not None and case.channel.telling_since is not None:
        seconds = case.now - case.channel.telling_since
        if seconds >= SLOW_SECONDS:
            what = "connected" if case.channel.telling else "disconnected"
            text = f"The app has not answered for {seconds:.0f} s: POST /_ah/channel/{what}/ of {case.name}."
            yield 64, _finding("presence_slow", text, case.channel.telling_since)
    for note, why in _NOT_TOLD.items():
        if note in case.notes and case.is_open:
            yield 48, _finding("presence_off", f"The app is not told of its pages: {why}.")
    if "socket_send" in case.notes:
        yield 33, _finding("socket_send", "A page has used socket.send(): that goes to the app, never to other pages.")


_NOT_TOLD = {
    "presence_off": "app.yaml does not list channel_presence",
    "presence_never": "--presence=never",
}


def _clock(case: _Case) -> Weighed:
    broker = case.broker
    # One that a test moves does not move by itself.
    moved = case.now - broker.figures.since if isinstance(broker.clock, ManualClock) else broker.control.travelled
    if moved > 0:
        # Of what timed out the clock may be the reason.
        expired = any(event.detail.get("why") == "expired" for event in case.events[-20:])
        weight = 72 if expired else 32
        yield weight, _finding("travelled", f"The clock was moved on by {moved:g} s by hand.")


def _frozen(case: _Case) -> Weighed:
    # One that a test moves always stands.
    if case.broker.clock.frozen and not isinstance(case.broker.clock, ManualClock):
        yield 31, _finding("frozen", "The emulator's clock stands still.")


def _nothing(case: _Case) -> Weighed:
    if not case.own and not case.is_open:
        yield 20, _finding("no_message", f"No message was sent to {case.name}, as far back as messages are kept.")


def _policies(case: _Case) -> Weighed:
    """Pages whose Content-Security-Policy is in the way of the script; not where one has opened the channel."""
    if case.is_open or case.latest("socket_opened") is not None:
        return
    blocked = {event.detail["path"]: event for event in case.broker.events.after(0) if event.kind == "csp_blocks"}
    for event in list(blocked.values())[-MOST_NAMED:]:
        advice = event.detail["advice"]
        text = event.text.removesuffix(f" {advice}")
        # Without a token there is nothing that a page could have opened.
        weight = 40 if case.channel is None else 86 if event.detail["sure"] else 68
        yield weight, _finding("csp_blocks", text, event.time, advice)


_LOOKS: tuple[Callable[[_Case], Weighed], ...] = (
    _faults,
    _own_drops,
    _near,
    _refused_opens,
    _refused_requests,
    _policies,
    _on_their_way,
    _other_ids,
    _state,
    _of_late,
    _replaced,
    _tabs,
    _presence,
    _clock,
    _frozen,
    _nothing,
)
