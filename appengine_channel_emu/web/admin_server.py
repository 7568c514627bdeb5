"""`/_emu/health`, `clock`, `reset`, `settings`, `accounts`: the emulator itself."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import cache
from importlib import resources
from typing import Any

import falcon

from appengine_channel_emu import __version__
from appengine_channel_emu.broker.contract import Broker
from appengine_channel_emu.web.accounts import Accounts
from appengine_channel_emu.web.admin import answer_json, read_json
from appengine_channel_emu.web.errors import BadRequest
from appengine_channel_emu.web.query import Query

FARTHEST_ADVANCE = 100_000_000
"""Seconds of one advance: three years."""


class Ready:
    """`GET /_emu/health` and `/_emu/health/ready`."""

    def __init__(self, why_not_ready: Callable[[], str | None]) -> None:
        self._why_not_ready = why_not_ready

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """200 while the app can be reached too, 503 and the reason otherwise."""
        Query(req)
        why = self._why_not_ready()
        if why is None:
            answer_json(resp, {"status": "ready", "version": __version__})
        else:
            resp.status = falcon.HTTP_503
            answer_json(resp, {"status": "not ready", "reason": why, "version": __version__})


class Live:
    """`GET /_emu/health/live`."""

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """200: the server answers."""
        Query(req)
        answer_json(resp, {"status": "live", "version": __version__})


class ClockResource:
    """`GET /_emu/clock`, `POST /_emu/clock {advance?, frozen?}`."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """The time, and what was done to it."""
        Query(req)
        self._answer(resp)

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Let it stand still or go, then advance it; what falls due on the way has happened when this answers."""
        Query(req)
        body = read_json(req, {"advance": (int, float), "frozen": bool}, required=set())
        if not body:
            raise BadRequest("Give 'advance' (seconds), 'frozen' (true or false), or both.")
        if not 0 <= body.get("advance", 0) <= FARTHEST_ADVANCE:
            raise BadRequest(f"The field 'advance' is a number of seconds from 0 to {FARTHEST_ADVANCE}.")
        try:
            if "frozen" in body:
                self._broker.clock.freeze(body["frozen"])
            if "advance" in body:
                self._broker.control.travel(float(body["advance"]))
        except ValueError as error:
            raise BadRequest(str(error), "409 Conflict") from None
        self._answer(resp)

    def _answer(self, resp: falcon.Response) -> None:
        clock = self._broker.clock
        answer_json(resp, {"now": clock.now(), "frozen": clock.frozen, "advanced": self._broker.control.travelled})


class Reset:
    """`POST /_emu/reset {}`."""

    def __init__(self, reset: Callable[[], None]) -> None:
        self._reset = reset

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Forget tokens, sockets, messages, events, faults, notes and accounts."""
        Query(req)
        read_json(req, {}, required=set())
        self._reset()
        answer_json(resp, {"status": "reset"})


class SettingsResource:
    """`GET /_emu/settings`."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self._settings = settings

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """The settings by the names that users write; there is no secret among them."""
        Query(req)
        answer_json(resp, {"settings": self._settings})


class AccountsResource:
    """`GET /_emu/accounts`."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """What each path of the app has cost, most time held first."""
        Query(req)
        answer_json(resp, {"accounts": [dataclasses.asdict(account) for account in self._accounts.all()]})


class OpenApi:
    """`GET /_emu/openapi.json`."""

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """This API, described (OpenAPI 3.1)."""
        Query(req)
        answer_json(resp, _document())


@cache
def _document() -> dict[str, Any]:
    import yaml

    source = resources.files("appengine_channel_emu") / "web" / "openapi.yaml"
    document: dict[str, Any] = yaml.safe_load(source.read_text("utf-8"))
    document["info"]["version"] = __version__
    return document
