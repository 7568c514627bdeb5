"""`/_emu/events` and `/_emu/messages/wait`: what happened, and waiting for what is to happen."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock

import falcon

from appengine_channel_emu.broker.contract import Broker
from appengine_channel_emu.broker.events import Event
from appengine_channel_emu.broker.journal import JOURNAL_LENGTH, SentMessage
from appengine_channel_emu.broker.turn import Signal
from appengine_channel_emu.web.admin.channels import event_json, is_about, messages_json
from appengine_channel_emu.web.resources import Query, answer_json
from appengine_channel_emu.web.waiting import Waiting
from appengine_channel_emu.web.wsgi import Answer, json_answer

LARGEST_ANSWER = 1_000
"""Events in one answer; the rest comes with the next request."""

Condition = Callable[[], bool]
Concerns = Callable[[Event], bool]


class EventWatch:
    """Looks at the conditions of those who wait, at each event that concerns them; without any it costs nothing.

    It does so on the thread that has made the event, such as an app's send: to look at all that is kept takes long.
    """

    def __init__(self, broker: Broker) -> None:
        self._lock = Lock()
        self._waiters: dict[Signal, tuple[Condition, Concerns]] = {}
        broker.events.listen(self._on_event)

    def waiting(
        self, condition: Condition, concerns: Concerns, seconds: float, answer: Callable[[], Answer]
    ) -> Waiting:
        """An answer that is made once `condition` holds, or after `seconds`.

        `concerns`: whether an event may have brought that about.
        """
        signal = Signal()
        with self._lock:
            self._waiters[signal] = condition, concerns
        if condition():
            signal.set()
        return Waiting(signal, seconds, answer, lambda: self._forget(signal))

    def _on_event(self, event: Event) -> None:
        if not self._waiters:
            return
        with self._lock:
            waiters = list(self._waiters.items())
        for signal, (condition, concerns) in waiters:
            if concerns(event) and condition():
                self._forget(signal)
                signal.set()

    def _forget(self, signal: Signal) -> None:
        with self._lock:
            self._waiters.pop(signal, None)


class _Awaited:
    """What may be waited for."""

    only_get = True

    def __init__(self, broker: Broker, watch: EventWatch) -> None:
        self._broker = broker
        self._watch = watch


class EventsResource(_Awaited):
    """`GET /_emu/events[?after=N][&wait=SECONDS][&last=N][&before=N][&kind=KIND][&client_id=ID]`."""

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Events after number N, oldest first; with `wait`, as soon as there is one. Or the newest, at once."""
        query = Query(req, "after", "wait", "last", "before", "kind", "client_id")
        after, kind, client_id = query.number("after", 0), query.text("kind"), query.text("client_id")
        if after > self._broker.events.last_number:
            after = 0  # the number is another emulator's, which ran here before this one

        def is_wanted(event: Event) -> bool:
            return kind in (None, event.kind) and (client_id is None or is_about(event, client_id, self._broker))

        if "last" in query or "before" in query:
            # What comes meanwhile is after it, found or not.
            newest = self._broker.events.last_number
            most = query.number("last", LARGEST_ANSWER, 1, LARGEST_ANSWER)
            events = self._broker.events.latest(most, is_wanted, after, query.number("before", 0) or newest + 1)
            answer_json(resp, {"events": [event_json(event) for event in events], "next": newest})
            return

        def found() -> list[Event]:
            return [event for event in self._broker.events.after(after) if is_wanted(event)][:LARGEST_ANSWER]

        def answer() -> Answer:
            events = found()
            last = events[-1].number if events else max(after, 0)
            return json_answer({"events": [event_json(event) for event in events], "next": last})

        resp.stream = self._watch.waiting(lambda: bool(found()), is_wanted, query.wait(), answer)


class AwaitedMessagesResource(_Awaited):
    """`GET /_emu/messages/wait?[client_id=ID][&after=N][&count=K][&wait=SECONDS]`."""

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """As `GET /_emu/messages`, once there are K of them; those that there are when the time is up."""
        query = Query(req, "client_id", "after", "count", "wait")
        after, client_id = query.number("after", 0), query.text("client_id")
        count = query.number("count", 1, 1, JOURNAL_LENGTH)

        def found() -> list[SentMessage]:
            return self._broker.journal.after(after, client_id)

        def answer() -> Answer:
            return json_answer(messages_json(found()))

        resp.stream = self._watch.waiting(lambda: len(found()) >= count, _is_of_message, query.wait(), answer)


def _is_of_message(event: Event) -> bool:
    return "message" in event.detail
