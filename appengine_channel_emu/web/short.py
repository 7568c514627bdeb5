"""Polls and sends without WSGI, for a server of ours: they come by thousands in a second.

What is answered here is answered by the code that answers it over WSGI, and has the same status, headers and body. What
is not goes there, and nothing of it has been done here: `server/short_path.py` says which requests those are.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from appengine_channel_emu.broker.contract import Broker
from appengine_channel_emu.faults.gate import HEADER, FaultGate
from appengine_channel_emu.web.admin.channels import MessagesResource
from appengine_channel_emu.web.api.rpc import ServerApi, is_call
from appengine_channel_emu.web.channel.wires import AskedPoll, PollSocket
from appengine_channel_emu.web.guard import POLL_PATH, Guard
from appengine_channel_emu.web.resources import BadRequest, Call, answered, common_headers, is_json, parse_json
from appengine_channel_emu.web.waiting import OwnAnswer, Waiting
from appengine_channel_emu.web.wsgi import Answer

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

MESSAGES_PATH = "/_emu/messages"
RPC_PATH = "/rpc_http"


class ShortAnswers:
    """The answers of the front that need no WSGI."""

    def __init__(
        self,
        broker: Broker,
        guard: Guard,
        faults: FaultGate,
        polls: PollSocket,
        messages: MessagesResource,
        api: ServerApi,
    ) -> None:
        self._broker = broker
        self._guard = guard
        self._faults = faults
        self._polls = polls
        self._readers: dict[str, Callable[[bytes], Call]] = {
            MESSAGES_PATH: lambda body: messages.read(parse_json(body, messages.FIELDS)),
            RPC_PATH: api.read,
        }
        self._poll_headers = common_headers(POLL_PATH, ())
        self._headers = {MESSAGES_PATH: common_headers(MESSAGES_PATH, ()), RPC_PATH: []}

    def admits(self, environ: WSGIEnvironment) -> bool:
        """Whether a request of this head may be asked here; `environ` is a copy, and lacks query and body.

        The same at any time, so that a server need not ask twice.
        """
        if HEADER in environ or self._guard.refuse(environ) is not None:
            return False
        path, content_type = environ["PATH_INFO"], environ.get("CONTENT_TYPE", "")
        if path == POLL_PATH:
            return True
        # A broker that has to ask another machine first answers later.
        return self._broker.immediate and (is_json if path == MESSAGES_PATH else is_call)(content_type)

    def poll(self, asked: AskedPoll, browser: str | None, environ: WSGIEnvironment) -> OwnAnswer | None:
        """The answer to a poll from `browser`, which may come later; None where it is to go through WSGI."""
        if not self._faults.quiet:
            return None
        answer = answered(partial(self._polls.poll, asked, browser, environ))
        if isinstance(answer, Waiting):
            answer.extra_headers = self._poll_headers
        elif isinstance(answer, Answer):
            answer = answer._replace(headers=answer.headers + self._poll_headers)
        return answer

    def send(self, path: str, body: bytes) -> Answer | None:
        """The answer to what is posted to `path`; None where it is to go through WSGI."""
        if not self._faults.quiet:
            return None
        try:
            call = self._readers[path](body)
        except BadRequest:
            return None
        answer = answered(call.do)
        assert isinstance(answer, Answer)
        return answer._replace(headers=answer.headers + self._headers[path])
