"""`/_emu/channels`, `channel`, `sockets`, `near-misses`: who is there, and ending it."""

from __future__ import annotations

import dataclasses
from typing import Any

import falcon

from appengine_channel_emu.broker.contract import Broker
from appengine_channel_emu.broker.events import Event
from appengine_channel_emu.web.admin import Channels, answer_json, read_json
from appengine_channel_emu.web.errors import BadRequest
from appengine_channel_emu.web.query import Query

NO_SUCH = "404 Not Found"
LARGEST_LIST = 1_000
RECENT_EVENTS = 20
SEARCHED_EVENTS = 500


class ListedChannels(Channels):
    """`GET /_emu/channels[?search=TEXT][&limit=N]`, beside `POST`, which makes a token."""

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Some of the channels, and how many there are."""
        query = Query(req, "search", "limit")
        limit = query.number("limit", 100, 1, LARGEST_LIST)
        answer_json(resp, dataclasses.asdict(self._broker.control.channels(query.text("search") or "", limit)))


class OneChannel:
    """`GET /_emu/channel?client_id=ID`."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """The channel, and the latest events of its client id."""
        client_id = Query(req, "client_id").required("client_id")
        channel = self._broker.control.channel(client_id)
        if channel is None:
            raise BadRequest(f"There is no channel to this client id.{self._similar(client_id)}", NO_SUCH)
        events = [event for event in self._broker.events.after(0) if event.client_id == client_id]
        body = dataclasses.asdict(channel)
        answer_json(resp, body | {"events": [event_json(event) for event in events[-RECENT_EVENTS:]]})

    def _similar(self, client_id: str) -> str:
        others = [other for other in self._broker.control.client_ids() if other.casefold() == client_id.casefold()]
        return f" There is one to {others[0]!r}." if others else ""


class Sockets:
    """`POST /_emu/sockets {action, socket | client_id}`."""

    def __init__(self, broker: Broker) -> None:
        control = broker.control
        self._broker = broker
        self._actions = {"close": control.close, "cut": control.cut, "expire": control.expire}

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Close a socket, cut its connection or expire its token; or do so to every socket of a client id."""
        body = read_json(req, {"action": str, "socket": str, "client_id": str}, required={"action"})
        action = self._actions.get(body["action"])
        if action is None:
            raise BadRequest(f"The field 'action' is one of {', '.join(self._actions)}.")
        if ("socket" in body) == ("client_id" in body):
            raise BadRequest("Give one of the fields 'socket' and 'client_id'.")
        ids = [body["socket"]] if "socket" in body else self._broker.control.sockets_of(body["client_id"])
        done = sum([action(id) for id in ids])
        # Sockets share a token: expiring one may have ended the next.
        if not done:
            what = "such socket" if "socket" in body else "socket of this client id"
            raise BadRequest(f"There is no {what}.", NO_SUCH)
        answer_json(resp, {"sockets": len(ids)})


class NearMisses:
    """`GET /_emu/near-misses?client_id=ID`: what a message that did not come may have become instead."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """A list of sentences, the likeliest first."""
        client_id = Query(req, "client_id").required("client_id")
        answer_json(resp, {"near_misses": near_misses(self._broker, client_id)})


def near_misses(broker: Broker, client_id: str) -> list[str]:
    """Sentences: messages to an id like this one, those to it that were dropped, its last presence post that failed."""
    counts: dict[tuple[str, str | None], int] = {}
    for sent in broker.journal.after(0)[-SEARCHED_EVENTS:]:
        alike = sent.client_id.casefold().strip() == client_id.casefold().strip()
        if alike and (sent.client_id != client_id or sent.reason):
            key = (sent.client_id, sent.reason)
            counts[key] = counts.get(key, 0) + 1
    sentences = [_sentence(number, *key) for key, number in counts.items()]
    failed = [
        f"{event.detail['presence']}/ failed: {event.text.rstrip('.')}"
        for event in broker.events.after(0)
        if event.kind == "presence_failed" and event.client_id == client_id
    ]
    return sentences + failed[-1:]


def _sentence(number: int, client_id: str, reason: str | None) -> str:
    messages = f"{number} message{'s' if number > 1 else ''} to {client_id!r}"
    was = "were" if number > 1 else "was"
    if reason is None:
        return f"{messages} {was} sent"
    return f"{messages} {was} dropped: {reason[:1].lower()}{reason[1:].rstrip('.')}"


def event_json(event: Event) -> dict[str, Any]:
    """An event as the admin API tells it; by hand, because there may be a thousand of them on the server's loop."""
    return {
        "number": event.number,
        "time": event.time,
        "kind": event.kind,
        "text": event.text,
        "client_id": event.client_id,
        "socket": event.socket,
        "detail": event.detail,
    }
