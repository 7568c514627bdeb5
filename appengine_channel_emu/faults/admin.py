"""`/_emu/faults`: faults on request."""

from __future__ import annotations

import falcon

from appengine_channel_emu.faults.faults import BadFault, Fault, Faults
from appengine_channel_emu.web.errors import BadRequest
from appengine_channel_emu.web.resources import Query, answer_json, read_json

_FIELDS = {
    "stage": str,
    "action": str,
    "seconds": (int, float, type(None)),
    "error": (str, type(None)),
    "probability": (int, float),
    "count": (int, type(None)),
    "client_id": (str, type(None)),
    "path": (str, type(None)),
    "seed": int,
}


class FaultsResource:
    """`GET /_emu/faults`, `POST` to add one, `DELETE /_emu/faults[?number=N]` to remove one or all."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """The faults in force."""
        Query(req)
        self._answer(resp)

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Put one in force."""
        Query(req)
        body = read_json(req, _FIELDS, required={"stage", "action"})
        try:
            number = self._faults.add(Fault(**body))
        except BadFault as error:
            raise BadRequest(f"{str(error)[:1].upper()}{str(error)[1:]}.", "409 Conflict") from None
        answer_json(resp, {"number": number})

    def on_delete(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Take one away, or all of them."""
        query = Query(req, "number")
        if query.text("number") is None:
            self._faults.clear()
        elif not self._faults.remove(query.number("number", 0)):
            raise BadRequest("There is no fault of this number.", "404 Not Found")
        self._answer(resp)

    def _answer(self, resp: falcon.Response) -> None:
        answer_json(resp, {"faults": self._faults.listed()})
