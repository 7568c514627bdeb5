"""`/_emu/events` and `/_emu/messages/…`: what happened, and waiting for what is to happen."""

from __future__ import annotations

import json
from typing import Any

import falcon

from appengine_channel_emu.broker.contract import Broker
from appengine_channel_emu.broker.events import JOURNAL_LENGTH, Event, SentMessage
from appengine_channel_emu.web.admin import Messages, answer_json
from appengine_channel_emu.web.admin_channels import event_json
from appengine_channel_emu.web.admin_watch import EventWatch
from appengine_channel_emu.web.query import Query
from appengine_channel_emu.web.wsgi import Answer

LARGEST_ANSWER = 1_000
"""Events in one answer; the rest comes with the next request."""


class Events:
    """`GET /_emu/events[?after=N][&wait=SECONDS][&kind=KIND][&client_id=ID]`."""

    only_get = True

    def __init__(self, broker: Broker, watch: EventWatch) -> None:
        self._broker = broker
        self._watch = watch

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Events after number N, oldest first; with `wait`, as soon as there is one."""
        query = Query(req, "after", "wait", "kind", "client_id")
        after, kind, client_id = query.number("after", 0), query.text("kind"), query.text("client_id")
        if after > self._broker.events.last_number:
            after = 0  # it was said by another emulator, in whose place this one is

        def found() -> list[Event]:
            return [
                event
                for event in self._broker.events.after(after)
                if kind in (None, event.kind) and client_id in (None, event.client_id)
            ][:LARGEST_ANSWER]

        def answer() -> Answer:
            events = found()
            last = events[-1].number if events else max(after, 0)
            return _json({"events": [event_json(event) for event in events], "next": last})

        resp.stream = self._watch.waiting(lambda: bool(found()), query.seconds("wait"), answer)


class SentMessages(Messages):
    """`GET /_emu/messages[?client_id=ID][&after=N]`, beside `POST`, which sends one."""

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """The latest messages that were sent, to one client id or to all."""
        query = Query(req, "client_id", "after")
        answer_json(resp, _messages(self._broker.journal.after(query.number("after", 0), query.text("client_id"))))


class AwaitedMessages:
    """`GET /_emu/messages/wait?[client_id=ID][&after=N][&count=K][&wait=SECONDS]`."""

    only_get = True

    def __init__(self, broker: Broker, watch: EventWatch) -> None:
        self._broker = broker
        self._watch = watch

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """The same, once there are K of them; those that there are when the time is up."""
        query = Query(req, "client_id", "after", "count", "wait")
        after, client_id = query.number("after", 0), query.text("client_id")
        count = query.number("count", 1, 1, JOURNAL_LENGTH)

        def found() -> list[SentMessage]:
            return self._broker.journal.after(after, client_id)

        def answer() -> Answer:
            return _json(_messages(found()))

        resp.stream = self._watch.waiting(lambda: len(found()) >= count, query.seconds("wait"), answer)


def _messages(sent: list[SentMessage]) -> dict[str, Any]:
    return {
        "messages": [
            {
                "number": message.number,
                "time": message.time,
                "client_id": message.client_id,
                "text": message.text,
                "delivered_to": message.delivered_to,
                "reason": message.reason,
            }
            for message in sent
        ]
    }


def _json(body: dict[str, Any]) -> Answer:
    return Answer("200 OK", [("Content-Type", "application/json")], json.dumps(body).encode("ascii"))
