"""`/_emu/explain` and `/_emu/near-misses`: why a page stays silent."""

from __future__ import annotations

import dataclasses
from typing import Any

import falcon

from appengine_channel_emu.broker.contract import Broker
from appengine_channel_emu.notes import Notes
from appengine_channel_emu.web.explain import explain, explain_token, near_misses
from appengine_channel_emu.web.resources import Query, answer_json


class _AboutClient:
    """What is asked about one client id."""

    def __init__(self, broker: Broker, notes: Notes, settings: dict[str, Any]) -> None:
        self._broker = broker
        self._notes = notes
        self._never = ["presence_never"] if settings.get("presence") == "never" else []

    def _names(self) -> list[str]:
        return [note.name for note in self._notes.all()] + self._never


class ExplainResource(_AboutClient):
    """`GET /_emu/explain?client_id=ID`, or `?token=TOKEN` of a page that may have been refused."""

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """What became of the messages of a client id, and why, the likeliest reason first."""
        query = Query(req, "client_id", "token")
        client_id, token = query.text("client_id"), query.text("token")
        if token is not None and not client_id:
            story = explain_token(self._broker, token, self._names())
        else:
            story = explain(self._broker, client_id or "", self._names())
        answer_json(resp, dataclasses.asdict(story))


class NearMissesResource(_AboutClient):
    """`GET /_emu/near-misses?client_id=ID`: the same as a list of sentences."""

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """A list of sentences, the likeliest first."""
        client_id = Query(req, "client_id").required("client_id")
        answer_json(resp, {"near_misses": near_misses(self._broker, client_id, self._names())})
