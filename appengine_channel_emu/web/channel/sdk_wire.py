"""`/_ah/channel/dev`: the SDK's own wire, which its script and many native clients speak (facts.md 4.1)."""

from __future__ import annotations

from collections.abc import Callable

import falcon

from appengine_channel_emu.broker.contract import Broker
from appengine_channel_emu.faults.gate import FaultGate
from appengine_channel_emu.web.errors import BadRequest
from appengine_channel_emu.web.guard import WebOptions
from appengine_channel_emu.web.resources import Query, respond
from appengine_channel_emu.web.waiting import OwnAnswer, Waiting
from appengine_channel_emu.web.wsgi import Answer, browser_of


class SdkWire:
    """`GET dev?command=connect|poll|disconnect&channel=TOKEN`."""

    only_get = True

    def __init__(self, broker: Broker, options: WebOptions, faults: FaultGate) -> None:
        self._broker = broker
        self._options = options
        self._faults = faults
        self._commands: dict[str, tuple[tuple[str, ...], Callable[[str, str | None], OwnAnswer]]] = {
            "connect": (("open",), self._connect),
            "poll": (("poll",), self._poll),
            "disconnect": ((), self._disconnect),
        }

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Statuses, reasons, types and bodies are those of the real dev server, except for disconnect's."""
        query = Query(req, strict=False)
        command, token = query.required("command"), query.required("channel")
        if command not in self._commands:
            raise BadRequest("The parameter 'command' is connect, poll or disconnect.")
        stages, do = self._commands[command]
        respond(resp, self._faults.meet(stages, lambda: do(token, browser_of(req.env)), (token,)))

    def _connect(self, token: str, browser: str | None) -> Waiting:
        told = self._broker.connect(token, browser)
        answer = Answer("200 OK", [("Content-Type", "text/plain")], b"1")
        return Waiting(told, self._options.longest_presence_wait, lambda: answer)

    def _poll(self, token: str, browser: str | None) -> Answer:
        message = self._broker.poll_one(token, browser)
        if message is None:
            return Answer("200 OK", [])
        return Answer("200 OK", [("Content-Type", "application/json; charset=utf-8")], message.text.encode("utf-8"))

    def _disconnect(self, token: str, browser: str | None) -> Answer:
        self._broker.disconnect(token)
        return Answer("200 OK", [])
