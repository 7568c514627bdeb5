"""`/_emu/`: the plain JSON API, for apps in any language and for tests (behaviour.md 5)."""

from __future__ import annotations

import base64
import json
from typing import Any

import falcon

from appengine_channel_emu.broker.contract import Broker, Sent
from appengine_channel_emu.web.errors import BadRequest

LARGEST_BODY = 1024 * 1024
"""Bytes of a JSON request."""


class Channels:
    """`POST /_emu/channels {client_id, duration_minutes?}`."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Make a token."""
        body = read_json(req, {"client_id": str, "duration_minutes": (int, type(None))}, required={"client_id"})
        made = self._broker.create_channel(body["client_id"], body.get("duration_minutes"))
        answer_json(resp, {"token": made.token, "expires": made.expires})


class Messages:
    """`POST /_emu/messages {client_id | client_ids | token, message, request_id?}`.

    `request_id` is the `X-AppEngine-API-Ticket` of the app's request that sends.
    """

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Send a message to one client id or to many."""
        fields = {"client_id": str, "client_ids": list, "token": str, "message": str, "message_base64": str}
        body = read_json(req, fields | {"request_id": str}, required=set())
        message, request_id = _message(body), body.get("request_id")
        targets = [name for name in ("client_id", "client_ids", "token") if name in body]
        if len(targets) != 1:
            raise BadRequest("Give one of the fields 'client_id', 'client_ids' and 'token'.")
        target = body[targets[0]]
        if isinstance(target, str):
            answer_json(resp, _outcome(self._broker.send_message(target, message, request_id)))
            return
        if not all(isinstance(client_id, str) for client_id in target):
            raise BadRequest("The field 'client_ids' is a list of strings.")
        answer_json(resp, _outcomes(self._broker.send_many(target, message, request_id)))


def read_json(req: falcon.Request, fields: dict[str, Any], required: set[str]) -> dict[str, Any]:
    """The request's JSON object, with known fields of the right types only; raises `BadRequest`."""
    # Another site's page can send a form's types without asking first, and this one only after a preflight.
    if (req.content_type or "").partition(";")[0].strip().lower() != "application/json":
        raise BadRequest("Send this as application/json.", "415 Unsupported Media Type")
    data = req.bounded_stream.read(LARGEST_BODY + 1)
    if len(data) > LARGEST_BODY:
        raise BadRequest(f"A request has at most {LARGEST_BODY} bytes.", "413 Content Too Large")
    try:
        body = json.loads(data, parse_constant=_no_constant)
        json.dumps(body, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        raise BadRequest("The JSON holds a lone surrogate, which is no text.") from None
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"This is not JSON: {str(error)[:200]}") from None
    if not isinstance(body, dict):
        raise BadRequest("Send a JSON object.")
    _check_fields(body, fields, required)
    return body


def _fits(value: object, types: Any) -> bool:
    """Whether a JSON value is of one of `types`; 2.0 is a whole number of JSON's, and true is none."""
    if isinstance(value, bool):
        return types is bool
    if isinstance(value, float) and value.is_integer():
        return isinstance(int(value), types)
    return isinstance(value, types)


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no number of JSON")


def _there_are(fields: dict[str, Any]) -> str:
    return f"there are {', '.join(fields)}" if fields else "there are none"


def _check_fields(body: dict[str, Any], fields: dict[str, Any], required: set[str]) -> None:
    for name, value in body.items():
        if name not in fields:
            raise BadRequest(f"The field {name[:80]!r} is not known; {_there_are(fields)}.")
        if not _fits(value, fields[name]):
            raise BadRequest(f"The field '{name}' has the wrong type.")
        if isinstance(value, float) and value.is_integer():
            body[name] = int(value)
    for name in sorted(required - body.keys()):
        raise BadRequest(f"The field '{name}' is missing.")


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


def answer_json(resp: falcon.Response, body: dict[str, Any]) -> None:
    """Answer with `body`."""
    resp.content_type = "application/json"
    resp.data = json.dumps(body).encode("ascii")
