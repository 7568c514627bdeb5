"""`/_emu/explain` and `/_emu/near-misses`: why a page stays silent."""

from __future__ import annotations

import dataclasses

import falcon

from appengine_channel_emu.broker.contract import Broker
from appengine_channel_emu.notes import Notes
from appengine_channel_emu.web.explain import explain, near_misses
from appengine_channel_emu.web.resources import Query, answer_json


class _AboutClient:
    """What is asked about one client id."""

    def __init__(self, broker: Broker, notes: Notes) -> None:
        self._broker = broker
        self._notes = notes

    def _names(self) -> list[str]:
        return [note.name for note in self._notes.all()]


class ExplainResource(_AboutClient):
    """`GET /_emu/explain?client_id=ID`."""

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """What became of the messages of a client id, and why, the likeliest reason first."""
        client_id = Query(req, "client_id").required("client_id")
        answer_json(resp, dataclasses.asdict(explain(self._broker, client_id, self._names())))


class NearMissesResource(_AboutClient):
    """`GET /_emu/near-misses?client_id=ID`: the same as a list of sentences."""

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """A list of sentences, the likeliest first."""
        client_id = Query(req, "client_id").required("client_id")
        answer_json(resp, {"near_misses": near_misses(self._broker, client_id, self._names())})
