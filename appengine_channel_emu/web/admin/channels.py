"""`/_emu/channels`, `channel`, `messages`, `message`, `sockets`: the Channel API as plain JSON (behaviour.md 5)."""

from __future__ import annotations

import base64
import dataclasses
import re
from functools import partial
from typing import Any, ClassVar

import falcon

from appengine_channel_emu.broker.contract import Broker
from appengine_channel_emu.broker.events import Event
from appengine_channel_emu.broker.journal import JOURNAL_LENGTH, SentMessage
from appengine_channel_emu.broker.results import Sent
from appengine_channel_emu.faults.gate import FaultGate
from appengine_channel_emu.web.explain import explain_message
from appengine_channel_emu.web.later import patient, when_known
from appengine_channel_emu.web.refusals import Refusals
from appengine_channel_emu.web.resources import BadRequest, Call, Query, answer_json, read_json, respond
from appengine_channel_emu.web.waiting import OwnAnswer
from appengine_channel_emu.web.wsgi import json_answer

NO_SUCH = "404 Not Found"
LARGEST_LIST = 1_000
RECENT_EVENTS = 20

LONGEST_SEARCH = 200
"""Characters that are looked for in messages."""

_MARK = re.compile(r"[a-z0-9-]{1,32}\Z")


class ChannelsResource:
    """`POST /_emu/channels {client_id, duration_minutes?, opened_by?}`, `GET` of it with `[?search=TEXT][&limit=N]`."""

    def __init__(self, broker: Broker, faults: FaultGate, refusals: Refusals) -> None:
        self._broker = broker
        self._faults = faults
        self._refusals = refusals

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Make a token."""
        fields = {"client_id": str, "duration_minutes": (int, type(None)), "opened_by": str}
        body = read_json(req, fields, required=("client_id",))
        client_id, minutes, opened_by = body["client_id"], body.get("duration_minutes"), body.get("opened_by")
        if opened_by is not None and not _MARK.match(opened_by):
            raise BadRequest("The field 'opened_by' is 1 to 32 of a-z, 0-9 and '-'.")
        do = partial(self._create, client_id, minutes, opened_by)
        respond(resp, self._faults.meet(("create",), do, (client_id,)))

    def _create(self, client_id: str, minutes: int | None, opened_by: str | None) -> OwnAnswer:
        return when_known(
            partial(self._broker.create_channel, client_id, minutes, opened_by),
            lambda made: json_answer({"token": made.token, "expires": made.expires}),
            partial(self._refusals.call, "create_channel", client_id),
        )

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Some of the channels, and how many there are."""
        query = Query(req, "search", "limit")
        limit = query.number("limit", 100, 1, LARGEST_LIST)
        answer_json(resp, dataclasses.asdict(patient(self._broker).control.channels(query.text("search") or "", limit)))


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
        events = [event for event in self._broker.events.after(0) if is_about(event, client_id, self._broker)]
        body = dataclasses.asdict(channel)
        answer_json(resp, body | {"events": [event_json(event) for event in events[-RECENT_EVENTS:]]})

    def _similar(self, client_id: str) -> str:
        others = self._broker.control.alike(client_id)
        return f" There is one to {others[0]!r}." if others else ""


class MessagesResource:
    """`POST /_emu/messages {client_id | client_ids | token, message, request_id?}`, and `GET` for what was sent.

    `request_id` is the `X-AppEngine-API-Ticket` of the app's request that sends.
    """

    FIELDS: ClassVar[dict[str, Any]] = {
        "client_id": str,
        "client_ids": list,
        "token": str,
        "message": str,
        "message_base64": str,
        "request_id": str,
    }

    def __init__(self, broker: Broker, faults: FaultGate, refusals: Refusals) -> None:
        self._broker = broker
        self._faults = faults
        self._refusals = refusals

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Send a message to one client id or to many."""
        call = self.read(read_json(req, self.FIELDS))
        respond(resp, self._faults.meet(call.stages, call.do, call.names))

    def read(self, body: dict[str, Any]) -> Call:
        """What a request asks for. Raises `BadRequest`."""
        message, request_id = _message(body), body.get("request_id")
        targets = [name for name in ("client_id", "client_ids", "token") if name in body]
        if len(targets) != 1:
            raise BadRequest("Give one of the fields 'client_id', 'client_ids' and 'token'.")
        target = body[targets[0]]
        if not (isinstance(target, str) or all(isinstance(client_id, str) for client_id in target)):
            raise BadRequest("The field 'client_ids' is a list of strings.")
        names = [target] if isinstance(target, str) else target
        return Call(("send",), names, partial(self._send, target, message, request_id))

    def _send(self, target: str | list[str], message: str | bytes, request_id: str | None) -> OwnAnswer:
        name = target if isinstance(target, str) else next(iter(target), "")
        refused = partial(self._refusals.call, "send_message", name)
        if isinstance(target, str):
            send = partial(self._broker.send_message, target, message, request_id)
            return when_known(send, lambda sent: json_answer(_outcome(sent)), refused)
        send_many = partial(self._broker.send_many, target, message, request_id)
        return when_known(send_many, lambda sent: json_answer(_outcomes(sent)), refused)

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """`?[client_id=ID][&after=N][&last=N][&before=NUMBER][&search=TEXT][&cut=N]`: what was sent, oldest first."""
        query = Query(req, "client_id", "after", "last", "before", "search", "cut")
        client_id, search = query.text("client_id"), (query.text("search") or "").casefold()
        if len(search) > LONGEST_SEARCH:
            raise BadRequest(f"The parameter 'search' has at most {LONGEST_SEARCH} characters.")
        before = query.number("before", 0) or None
        journal, cut = self._broker.journal, query.number("cut", 0) or None
        sent = journal.latest(
            query.number("last", JOURNAL_LENGTH, 1, JOURNAL_LENGTH),
            partial(_is_wanted, client_id, search),
            query.number("after", 0),
            before,
        )
        body = {"messages": [message_json(each, cut) for each in sent]}
        answer_json(resp, body | {"oldest": journal.oldest, "newest": journal.last_number})


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
    body: dict[str, Any] = {"delivered_to": sent.delivered_to}
    if sent.reason:
        body["reason"] = sent.reason
    if sent.near:
        body["near"] = list(sent.near)
    return body


def _outcomes(sent: dict[str, Sent]) -> dict[str, Any]:
    """The total, and a reason for each client id that it reached nobody of."""
    total = sum(each.delivered_to for each in sent.values())
    reasons = {client_id: each.reason for client_id, each in sent.items() if each.reason}
    body: dict[str, Any] = {"delivered_to": total}
    if not total:
        body["reason"] = "It reached nobody." if sent else "The list of client ids is empty."
    return body | ({"reasons": reasons} if reasons else {})


class MessageResource:
    """`GET /_emu/message?number=N`."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """One message, and what became of it on each socket."""
        number = Query(req, "number").number("number")
        journal = self._broker.journal
        sent = journal.get(number)
        if sent is None:
            kept = f"Messages {journal.oldest} to {journal.last_number} are"
            text = f"{kept if journal.oldest <= journal.last_number else 'None is'} kept."
            if number < journal.oldest:
                text += " Of the messages the last 1,000 are, and 4 MiB; a reset forgets them."
            raise BadRequest(f"There is no message {number}. {text}", NO_SUCH)
        receipts = [dataclasses.asdict(receipt) for receipt in self._broker.control.receipts(sent)]
        findings = [dataclasses.asdict(finding) for finding in explain_message(self._broker, sent)]
        answer_json(resp, message_json(sent) | {"receipts": receipts, "findings": findings})


def _is_wanted(client_id: str | None, search: str, sent: SentMessage) -> bool:
    """Whether it is to that client id, if one is given, and `search`, in whatever case, is in its text or client id."""
    if client_id is not None and sent.client_id != client_id:
        return False
    return not search or search in sent.client_id.casefold() or search in sent.text.casefold()


def messages_json(sent: list[SentMessage]) -> dict[str, Any]:
    """Messages that were sent, as the admin API tells them."""
    return {"messages": [message_json(message) for message in sent]}


def message_json(sent: SentMessage, cut: int | None = None) -> dict[str, Any]:
    """A message as the admin API tells it, by hand, as `event_json`; its text cut to so many characters."""
    return {
        "number": sent.number,
        "time": sent.time,
        "client_id": sent.client_id,
        "text": sent.text if cut is None else sent.text[:cut],
        "delivered_to": sent.delivered_to,
        "reason": sent.reason,
        "bytes": sent.bytes,
        "held": sent.held,
        "near": list(sent.near),
        "acknowledged": sent.acknowledged,
        "lost": sent.lost,
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


def is_about(event: Event, client_id: str, broker: Broker) -> bool:
    """Whether it tells of `client_id`, by itself or, as long as the journal has it, among those of one send."""
    if event.client_id is not None or "client_ids" not in event.detail:
        return event.client_id == client_id
    return broker.journal.goes_to(client_id, event.detail["message"], event.detail["client_ids"])


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
