"""`/_ah/channel/dev`: the SDK's own wire, which its script and many native clients speak (facts.md 4.1)."""

from __future__ import annotations

import falcon

from appengine_channel_emu.broker.contract import Broker
from appengine_channel_emu.web.browsers import browser_of
from appengine_channel_emu.web.errors import BadRequest
from appengine_channel_emu.web.options import WebOptions
from appengine_channel_emu.web.socket_wire import required
from appengine_channel_emu.web.waiting import Waiting
from appengine_channel_emu.web.wsgi import Answer


class DevWire:
    """`GET dev?command=connect|poll|disconnect&channel=TOKEN`."""

    only_get = True

    def __init__(self, broker: Broker, options: WebOptions) -> None:
        self._broker = broker
        self._options = options
        self._commands = {"connect": self._connect, "poll": self._poll, "disconnect": self._disconnect}

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Statuses, reasons, types and bodies are those of the real dev server, except for disconnect's."""
        command, token = required(req, "command"), required(req, "channel")
        action = self._commands.get(command)
        if action is None:
            raise BadRequest("The parameter 'command' is connect, poll or disconnect.")
        action(token, browser_of(req.env), resp)

    def _connect(self, token: str, browser: str | None, resp: falcon.Response) -> None:
        told = self._broker.connect(token, browser)
        answer = Answer("200 OK", [("Content-Type", "text/plain")], b"1")
        resp.stream = Waiting(told, self._options.longest_telling, lambda: answer)

    def _poll(self, token: str, browser: str | None, resp: falcon.Response) -> None:
        message = self._broker.poll_one(token, browser)
        resp.data = b""
        if message is not None:
            resp.content_type = "application/json; charset=utf-8"
            resp.data = message.text.encode("utf-8")

    def _disconnect(self, token: str, browser: str | None, resp: falcon.Response) -> None:
        self._broker.disconnect(token)
        resp.data = b""
