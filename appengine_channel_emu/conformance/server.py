"""The server under test: its API as apps' libraries call it, and its wires as pages speak them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import urllib3
from wsproto.extensions import Extension

from appengine_channel_emu.hints import why_no_answer
from appengine_channel_emu.testing.stream import ClientStream
from appengine_channel_emu.web.api import messages

ANSWER_SECONDS = 10.0


class NotServed(Exception):
    """The server cannot be reached, or answers what is no answer at all; the text says which."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a call of the API gave: a token, or the code of an application error (0: none)."""

    code: int
    token: str = ""
    failure: str = ""


class CheckedServer:
    """`url` is where pages go, `api` where RPCs are posted; both `http://host:port[/path]`."""

    def __init__(self, url: str, api: str | None) -> None:
        self.url = url.rstrip("/")
        self._api = api or f"{self.url}/rpc_http"
        self._http = urllib3.PoolManager(retries=False, timeout=ANSWER_SECONDS, maxsize=4)

    def create(self, client_id: str, minutes: int | None = None) -> Outcome:
        """CreateChannel."""
        request = messages.CreateChannelRequest(application_key=client_id.encode("utf-8"))
        if minutes is not None:
            request.duration_minutes = minutes
        outcome, answer = self._call(b"CreateChannel", request)
        if answer is None:
            return outcome
        return Outcome(0, messages.parse(messages.CreateChannelResponse, answer).token.decode("utf-8", "replace"))

    def token(self, client_id: str, minutes: int | None = None) -> str:
        """The token of a create that must succeed; raises `NotServed`."""
        outcome = self.create(client_id, minutes)
        if not outcome.token:
            raise NotServed(f"CreateChannel gave no token ({outcome.failure or f'code {outcome.code}'})")
        return outcome.token

    def send(self, client_id: str, message: str) -> Outcome:
        """SendChannelMessage."""
        request = messages.SendMessageRequest(
            application_key=client_id.encode("utf-8"), message=message.encode("utf-8")
        )
        return self._call(b"SendChannelMessage", request)[0]

    def get(self, path: str, **query: object) -> urllib3.BaseHTTPResponse:
        """GET a path of the wire."""
        return self._request("GET", self.url + path, fields={name: str(value) for name, value in query.items()})

    def hold(self, path: str, seconds: float) -> urllib3.BaseHTTPResponse:
        """GET a path of the probe app that is not answered soon, but within `seconds`."""
        return self._request("GET", self.url + path, timeout=seconds)

    def dev(self, command: str, token: str) -> urllib3.BaseHTTPResponse:
        """A request of the dev server's wire."""
        return self.get("/_ah/channel/dev", command=command, channel=token)

    def stream(self, socket: str, after: int = 0, offers: Sequence[Extension] = ()) -> ClientStream:
        """A stream of a socket. Raises `StreamRefused` and `EmulatorAway`."""
        return ClientStream(self.url, socket, after, offers)

    def json(self, path: str, **query: object) -> Any:
        """The JSON at `path`, or None when there is none."""
        answer = self.get(path, **query)
        try:
            return json.loads(answer.data) if answer.status == 200 else None
        except ValueError:
            return None

    def _call(self, method: bytes, request: Any) -> tuple[Outcome, bytes | None]:
        call = messages.Request(service_name=b"channel", method=method, request=request.SerializeToString())
        headers = {"Content-Type": "application/octet-stream"}
        answer = self._request("POST", self._api, body=call.SerializeToString(), headers=headers)
        if answer.status != 200:
            raise NotServed(f"{self._api} answered {answer.status}, not an RPC; name the API server with --api URL")
        try:
            response = messages.parse(messages.Response, answer.data)
        except messages.Malformed as error:
            raise NotServed(f"{self._api} answered no RPC: {error}") from None
        if response.HasField("application_error"):
            return Outcome(response.application_error.code), None
        if response.HasField("exception") or response.HasField("rpc_error"):
            return Outcome(-1, failure=response.exception[:200].decode("ascii", "replace")), None
        return Outcome(0), response.response

    def _request(self, method: str, url: str, **options: Any) -> urllib3.BaseHTTPResponse:
        try:
            return self._http.request(method, url, **options)
        except urllib3.exceptions.HTTPError as error:
            raise NotServed(f"{url.partition('?')[0]} does not answer: {why_no_answer(error)}") from None
