"""`/_emu/channels`, `channel`, `messages`, `sockets`, `near-misses`: the Channel API as plain JSON (behaviour.md 5)."""

from __future__ import annotations

import base64
import dataclasses
from collections import Counter
from functools import partial
from typing import Any

import falcon

from appengine_channel_emu.broker.contract import Broker, Sent
from appengine_channel_emu.broker.events import Event
from appengine_channel_emu.broker.journal import SentMessage
from appengine_channel_emu.faults.gate import FaultGate
from appengine_channel_emu.web.resources import BadRequest, Query, answer_json, read_json, respond
from appengine_channel_emu.web.wsgi import Answer, json_answer

NO_SUCH = "404 Not Found"
LARGEST_LIST = 1_000
RECENT_EVENTS = 20
SEARCHED_EVENTS = 500


class ChannelsResource:
    """`POST /_emu/channels {client_id, duration_minutes?}`, `GET /_emu/channels[?search=TEXT][&limit=N]`."""

    def __init__(self, broker: Broker, faults: FaultGate) -> None:
        self._broker = broker
        self._faults = faults

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Make a token."""
        body = read_json(req, {"client_id": str, "duration_minutes": (int, type(None))}, required=("client_id",))
        client_id, minutes = body["client_id"], body.get("duration_minutes")
        respond(resp, self._faults.meet(("create",), partial(self._create, client_id, minutes), (client_id,)))

    def _create(self, client_id: str, minutes: int | None) -> Answer:
        made = self._broker.create_channel(client_id, minutes)
        return json_answer({"token": made.token, "expires": made.expires})

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Some of the channels, and how many there are."""
        query = Query(req, "search", "limit")
        limit = query.number("limit", 100, 1, LARGEST_LIST)
        answer_json(resp, dataclasses.asdict(self._broker.control.channels(query.text("search") or "", limit)))


class ChannelResource:
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


class MessagesResource:
    """`POST /_emu/messages {client_id | client_ids | token, message, request_id?}`, and `GET` for what was sent.

    `request_id` is the `X-AppEngine-API-Ticket` of the app's request that sends.
    """

    def __init__(self, broker: Broker, faults: FaultGate) -> None:
        self._broker = broker
        self._faults = faults

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Send a message to one client id or to many."""
        fields = {"client_id": str, "client_ids": list, "token": str, "message": str, "message_base64": str}
        body = read_json(req, fields | {"request_id": str})
        message, request_id = _message(body), body.get("request_id")
        targets = [name for name in ("client_id", "client_ids", "token") if name in body]
        if len(targets) != 1:
            raise BadRequest("Give one of the fields 'client_id', 'client_ids' and 'token'.")
        target = body[targets[0]]
        if not (isinstance(target, str) or all(isinstance(client_id, str) for client_id in target)):
            raise BadRequest("The field 'client_ids' is a list of strings.")
        names = [target] if isinstance(target, str) else target
        respond(resp, self._faults.meet(("send",), partial(self._send, target, message, request_id), names))

    def _send(self, target: str | list[str], message: str | bytes, request_id: str | None) -> Answer:
        if isinstance(target, str):
            return json_answer(_outcome(self._broker.send_message(target, message, request_id)))
        return json_answer(_outcomes(self._broker.send_many(target, message, request_id)))

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """`?[client_id=ID][&after=N]`: the latest messages, to one client id or to all."""
        query = Query(req, "client_id", "after")
        sent = self._broker.journal.after(query.number("after", 0), query.text("client_id"))
        answer_json(resp, messages_json(sent))


def _message(body: dict[str, Any]) -> str | bytes:
    """The message; as base64 where it may not be UTF-8, which Python 2 apps can send."""
    if ("message" in body) == ("message_base64" in body):
        raise BadRequest("The field 'message' is missing." if "message" not in body else "Give one message.")
    if "message" in body:
        return str(body["message"])
    try:
        return base64.b64decode(body["message_base64"], validate=True)
    except ValueError:
        raise BadRequest("The field 'message_base64' is not base64.") from None


def _outcome(sent: Sent) -> dict[str, Any]:
    return {"delivered_to": sent.delivered_to} | ({"reason": sent.reason} if sent.reason else {})


def _outcomes(sent: dict[str, Sent]) -> dict[str, Any]:
    """The total, and a reason for each client id that it reached nobody of."""
    total = sum(each.delivered_to for each in sent.values())
    reasons = {client_id: each.reason for client_id, each in sent.items() if each.reason}
    body: dict[str, Any] = {"delivered_to": total}
    if not total:
        body["reason"] = "It reached nobody." if sent else "The list of client ids is empty."
    return body | ({"reasons": reasons} if reasons else {})


def messages_json(sent: list[SentMessage]) -> dict[str, Any]:
    """Messages that were sent, as the admin API tells them; by hand, as `event_json`."""
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


class SocketsResource:
    """`POST /_emu/sockets {action, socket | client_id}`."""

    def __init__(self, broker: Broker) -> None:
        control = broker.control
        self._broker = broker
        self._actions = {"close": control.close, "cut": control.cut, "expire": control.expire}

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Close a socket, cut its connection or expire its token; or do so to every socket of a client id."""
        body = read_json(req, {"action": str, "socket": str, "client_id": str}, required=("action",))
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


class NearMissesResource:
    """`GET /_emu/near-misses?client_id=ID`: what a message that did not come may have become instead."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """A list of sentences, the likeliest first."""
        client_id = Query(req, "client_id").required("client_id")
        answer_json(resp, {"near_misses": near_misses(self._broker, client_id)})


def near_misses(broker: Broker, client_id: str) -> list[str]:
    """Sentences: messages to an id like this one, those to it that were dropped, its last presence post that failed."""
    wanted = client_id.casefold().strip()
    counts = Counter(
        (sent.client_id, sent.reason)
        for sent in broker.journal.after(0)[-SEARCHED_EVENTS:]
        if sent.client_id.casefold().strip() == wanted and (sent.client_id != client_id or sent.reason)
    )
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
