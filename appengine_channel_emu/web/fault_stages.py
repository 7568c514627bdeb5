"""At which stages a request can go wrong, and whom it is about: what faults on request are matched with."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import parse_qs

from appengine_channel_emu.broker.contract import Broker
from appengine_channel_emu.faults import Target
from appengine_channel_emu.web.remote_api_messages import (
    CreateChannelRequest,
    Malformed,
    Request,
    SendMessageRequest,
    parse,
)

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

Door = Literal["emulator", "app", "api port"]
"""Who answers the request: the emulator itself, the app behind it, or the port of the server API."""

LARGEST_READ = 2 * 1024 * 1024
"""Bytes of a request in which a client id is looked for; the largest that is accepted has about half."""

_CALLS = {b"CreateChannel": ("create", CreateChannelRequest), b"SendChannelMessage": ("send", SendMessageRequest)}


@dataclass(frozen=True, slots=True)
class Staged:
    """A request as faults see it: its stages, the outermost first, and what it is about."""

    stages: tuple[str, ...]
    target: Target = field(default_factory=Target)


def stage_request(environ: WSGIEnvironment, door: Door, broker: Broker) -> Staged:
    """The stages and the target of a request; its body can be read again afterwards."""
    path, method = environ.get("PATH_INFO", ""), environ.get("REQUEST_METHOD", "")
    if method == "POST" and (door == "api port" or path in ("/rpc_http", "/_ah/remote_api")):
        staged = _staged_call(environ, broker)
        # The app may have a remote_api of its own, which is its request then.
        return Staged((*staged.stages, "app"), Target(staged.target.client_ids, path)) if door == "app" else staged
    if door == "app":
        return Staged(("app",), Target(path=path))
    if method == "POST" and path in ("/_emu/channels", "/_emu/messages"):
        return Staged(("create" if path == "/_emu/channels" else "send",), _target_of_json(environ, broker))
    if method == "GET":
        return _staged_page(path, environ, broker)
    return Staged(())


def query(environ: WSGIEnvironment, name: str) -> str:
    """A parameter of the request's address, or nothing."""
    return str(parse_qs(environ.get("QUERY_STRING", "")).get(name, [""])[0])


def read_again(environ: WSGIEnvironment) -> bytes:
    """The request's body, which can be read again afterwards."""
    body: bytes = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    environ["wsgi.input"] = io.BytesIO(body)
    return body


def _staged_page(path: str, environ: WSGIEnvironment, broker: Broker) -> Staged:
    token = query(environ, "channel")
    if path == "/_ah/channel/poll":
        client_id = broker.client_id_of_socket(query(environ, "socket"))
        return Staged(("poll",), Target(() if client_id is None else (client_id,)))
    old_wire = {"connect": "open", "poll": "poll"}.get(query(environ, "command"))
    stage = {"/_ah/channel/open": "open", "/_ah/channel/dev": old_wire}.get(path)
    return Staged(() if stage is None else (stage,), Target((broker.client_id_of(token),)))


def _target_of_json(environ: WSGIEnvironment, broker: Broker) -> Target:
    try:
        body = json.loads(_read_some(environ))
    except (ValueError, RecursionError):
        return Target()
    fields: dict[str, Any] = body if isinstance(body, dict) else {}
    several = fields.get("client_ids")
    named = [fields.get("client_id"), fields.get("token"), *(several if isinstance(several, list) else ())]
    return Target(tuple(broker.client_id_of(name) for name in named if isinstance(name, str)))


def _staged_call(environ: WSGIEnvironment, broker: Broker) -> Staged:
    try:
        request = parse(Request, _read_some(environ))
        stage, kind = _CALLS[request.method]
        client_id = parse(kind, request.request).application_key.decode("utf-8")
    except (Malformed, KeyError, UnicodeDecodeError):
        return Staged(("rpc",))
    return Staged(("rpc", stage), Target((broker.client_id_of(client_id),)))


def _read_some(environ: WSGIEnvironment) -> bytes:
    return b"" if int(environ.get("CONTENT_LENGTH") or 0) > LARGEST_READ else read_again(environ)
