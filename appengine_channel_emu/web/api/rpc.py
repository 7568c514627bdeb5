"""The server API as apps' own client libraries speak it: `remote_api.Request` in, `remote_api.Response` out.

Three addresses, one protocol (facts.md 2.3 to 2.5): `/rpc_http`, the SDK API server's port, and `/_ah/remote_api`. What
fails in the protocol is answered with status 200: clients take any other for a broken bridge.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import parse_qs

import yaml

from appengine_channel_emu.broker.contract import Broker
from appengine_channel_emu.broker.drops import NOT_UTF8
from appengine_channel_emu.broker.errors import ChannelServiceError, InvalidChannelKey, check_message
from appengine_channel_emu.web.api.messages import (
    CreateChannelRequest,
    CreateChannelResponse,
    Malformed,
    Request,
    Response,
    SendMessageRequest,
    parse,
)
from appengine_channel_emu.web.later import when_known
from appengine_channel_emu.web.refusals import Refusals
from appengine_channel_emu.web.resources import Call
from appengine_channel_emu.web.waiting import OwnAnswer
from appengine_channel_emu.web.wsgi import Answer, content_length, plain_answer

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

T = TypeVar("T")

OCTETS = "application/octet-stream"
HEADERS = [("Cache-Control", "no-cache"), ("X-Frame-Options", "DENY")]
_HEADERS_OF_OCTETS = [("Content-Type", OCTETS), ("X-Content-Type-Options", "nosniff"), *HEADERS]

LARGEST_REQUEST = 1024 * 1024
"""Bytes of one call's own request: the SDK's limit (facts.md 2.5)."""

LARGEST_CALL = 4 * LARGEST_REQUEST
"""Bytes of an encoded call, the envelope included: what is larger is not even read."""

APPLICATION_ID = "dev~channel-emu"

CHANNEL_SERVICES = (b"channel", b"xmpp")
"""Apps call `xmpp` in production and `channel` on the dev server (facts.md 1.0)."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A call that reached no service: the code that Go, Java and Python VMs read, and the pickle that others raise.

    No field is read by all (facts.md 2.3). The pickles are protocol 0 and fixed: nothing of a request is in them.
    """

    code: int
    pickled: bytes


CALL_NOT_FOUND = Failure(
    1,
    b"cgoogle.appengine.runtime.apiproxy_errors\nCallNotFoundError\n"
    b"(S'The Channel API emulator does not serve this call.'\ntR.",
)
PARSE_ERROR = Failure(
    2,
    b"cgoogle.appengine.runtime.apiproxy_errors\nArgumentError\n"
    b"(S'The Channel API emulator cannot read this request.'\ntR.",
)
REQUEST_TOO_LARGE = Failure(
    5,
    b"cgoogle.appengine.runtime.apiproxy_errors\nRequestTooLargeError\n(S'A request has at most 1048576 bytes.'\ntR.",
)

REFUSALS = {
    1: b"cgoogle.appengine.runtime.apiproxy_errors\nApplicationError\n(I1\nS'INTERNAL_ERROR'\ntR.",
    2: b"cgoogle.appengine.runtime.apiproxy_errors\nApplicationError\n(I2\nS'INVALID_CHANNEL_KEY'\ntR.",
    3: b"cgoogle.appengine.runtime.apiproxy_errors\nApplicationError\n(I3\nS'BAD_MESSAGE'\ntR.",
    4: b"cgoogle.appengine.runtime.apiproxy_errors\nApplicationError\n(I4\nS'INVALID_CHANNEL_TOKEN_DURATION'\ntR.",
    5: b"cgoogle.appengine.runtime.apiproxy_errors\nApplicationError\n(I5\nS'APPID_ALIAS_REQUIRED'\ntR.",
}
"""What a refused call is to clients that know the pickle alone, by `ChannelServiceError.code`."""


class ServerApi:
    """The calls that we serve."""

    def __init__(self, broker: Broker, refusals: Refusals) -> None:
        self._broker = broker
        self._refusals = refusals
        self._readers: dict[tuple[bytes, bytes], Callable[[bytes, str], Call]] = {
            # Go waits for it at the end of each of its requests (facts.md 2.3).
            (b"logservice", b"Flush"): lambda data, request_id: Call(("rpc",), (), lambda: _succeeded(b"")),
        }
        for service in CHANNEL_SERVICES:
            self._readers[service, b"CreateChannel"] = self._read_create_channel
            self._readers[service, b"SendChannelMessage"] = self._read_send_message

    def read(self, data: bytes) -> Call:
        """The call that an encoded `Request` makes, whatever that holds."""
        try:
            request = parse(Request, data)
            # Whatever it is, an unknown one is no error (facts.md 2.3, trap 5).
            request_id = request.request_id.decode("latin-1")
            return self._read_call((request.service_name, request.method), request.request, request_id)
        except Malformed as error:
            return _failing(PARSE_ERROR, str(error))

    def _read_call(self, name: tuple[bytes, bytes], data: bytes, request_id: str) -> Call:
        read = self._readers.get(name)
        if read is None:
            return Call(("rpc",), (), lambda: self._not_found(name))
        if len(data) > LARGEST_REQUEST and name[0] in CHANNEL_SERVICES:
            return _failing(REQUEST_TOO_LARGE, f"A request has at most {LARGEST_REQUEST} bytes.")
        return read(data, request_id)

    def _not_found(self, name: tuple[bytes, bytes]) -> Answer:
        text = f"The emulator serves no call {_readable(b'.'.join(name))}."
        self._broker.note("call_not_found", text)
        return _failed(CALL_NOT_FOUND, text)

    def _read_create_channel(self, data: bytes, request_id: str) -> Call:
        request = parse(CreateChannelRequest, data)
        minutes = request.duration_minutes if request.HasField("duration_minutes") else None
        try:
            client_id = request.application_key.decode("utf-8")
        except UnicodeDecodeError:
            error = InvalidChannelKey(NOT_UTF8.reason)
            return Call(("rpc",), (), lambda: self._refused("create_channel", None, error))
        return Call(("rpc", "create"), (client_id,), partial(self._create_channel, client_id, minutes))

    def _create_channel(self, client_id: str, minutes: int | None) -> OwnAnswer:
        return self._answered(
            "create_channel",
            client_id,
            partial(self._broker.create_channel, client_id, minutes),
            lambda made: CreateChannelResponse(token=made.token.encode("ascii")).SerializeToString(),
        )

    def _read_send_message(self, data: bytes, request_id: str) -> Call:
        request = parse(SendMessageRequest, data)
        try:
            client_id = request.application_key.decode("utf-8")
        except UnicodeDecodeError:
            return Call(("rpc",), (), partial(self._send_message, None, request.message, request_id))
        return Call(("rpc", "send"), (client_id,), partial(self._send_message, client_id, request.message, request_id))

    def _send_message(self, client_id: str | None, message: bytes, request_id: str) -> OwnAnswer:
        send: Callable[[], Any] = partial(self._drop, message)
        if client_id is not None:
            send = partial(self._broker.send_message, client_id, message, request_id)
        return self._answered("send_message", client_id, send, lambda sent: b"")

    def _drop(self, message: bytes) -> None:
        """What is sent to bytes that are not UTF-8."""
        check_message(message)
        detail: dict[str, object] = {"why": NOT_UTF8.why, "near": [], "bytes": len(message)}
        self._broker.figures.dropped[NOT_UTF8.why] += 1
        self._broker.note("message_dropped", NOT_UTF8.reason, detail=detail)

    def _answered(
        self, call: str, client_id: str | None, ask: Callable[[], T], encode: Callable[[T], bytes]
    ) -> OwnAnswer:
        """The answer to a call: what `encode` makes of what `ask` gives, or why that was refused."""

        def refused(error: Exception) -> Answer | None:
            return self._refused(call, client_id, error) if isinstance(error, ChannelServiceError) else None

        return when_known(ask, lambda found: _succeeded(encode(found)), refused)

    def _refused(self, call: str, client_id: str | None, error: ChannelServiceError) -> Answer:
        self._refusals.call(call, client_id, error)
        response = Response(exception=REFUSALS[error.code])
        response.application_error.code = error.code
        response.application_error.detail = str(error).encode("utf-8")
        return _encoded(response)


class RpcHttp:
    """The server API as one address, at whatever path: `POST` a call, `GET` the app's id.

    No resource of Falcon's: calls come by the thousand in a second, and its part was a sixth of each one's cost.
    """

    def __init__(self, api: ServerApi, refusals: Refusals) -> None:
        self._api = api
        self._refusals = refusals

    def read(self, environ: WSGIEnvironment) -> Call:
        """What a request asks for; its body is read, and not looked at where it is too large."""
        method = environ["REQUEST_METHOD"]
        if method == "POST":
            return self._read_post(environ)
        if method in ("GET", "HEAD"):
            return Call((), (), lambda: _identity(environ))
        status = "200 OK" if method == "OPTIONS" else "405 Method Not Allowed"
        allow = ("Allow", "GET, HEAD, OPTIONS, POST")
        return Call((), (), lambda: plain_answer(status, "POST a call, or GET the app's id.", *HEADERS, allow))

    def _wrong_type(self, environ: WSGIEnvironment) -> Answer:
        self._refusals.request("content-type", environ, 415)
        return plain_answer("415 Unsupported Media Type", f"Send this as {OCTETS}.", *HEADERS)

    def _read_post(self, environ: WSGIEnvironment) -> Call:
        # Another site's page cannot send this type without asking first (behaviour.md 11).
        if not is_call(environ.get("CONTENT_TYPE", "")):
            return Call(("rpc",), (), lambda: self._wrong_type(environ))
        length = content_length(environ)
        if length > LARGEST_CALL:
            return _failing(REQUEST_TOO_LARGE, f"A call has at most {LARGEST_CALL} bytes.")
        return self._api.read(environ["wsgi.input"].read(length))


class RemoteApi(RpcHttp):
    """`/_ah/remote_api`: the same, for clients that say which version they speak."""

    def _read_post(self, environ: WSGIEnvironment) -> Call:
        if "HTTP_X_APPCFG_API_VERSION" not in environ:
            return _refusing("403 Forbidden", "This needs the header X-appcfg-api-version.")
        return super()._read_post(environ)


def is_call(content_type: str) -> bool:
    """Whether a body of that type is a call."""
    return content_type.partition(";")[0].strip().lower() == OCTETS


def _identity(environ: WSGIEnvironment) -> Answer:
    """What a client asks first: flow style YAML, for it looks at the first character (facts.md 2.4)."""
    token = parse_qs(environ.get("QUERY_STRING", "")).get("rtok", ["0"])[0]
    identity = {"app_id": APPLICATION_ID, "rtok": token}
    text = yaml.safe_dump(identity, default_flow_style=True, width=float("inf"))
    return plain_answer("200 OK", text.removesuffix("\n"), *HEADERS)


def _refusing(status: str, text: str) -> Call:
    return Call(("rpc",), (), lambda: plain_answer(status, text, *HEADERS))


def _failing(failure: Failure, text: str) -> Call:
    return Call(("rpc",), (), lambda: _failed(failure, text))


def _succeeded(response: bytes) -> Answer:
    return _encoded(Response(response=response))


def _failed(failure: Failure, text: str) -> Answer:
    response = Response(exception=failure.pickled)
    response.rpc_error.code = failure.code
    response.rpc_error.detail = text.encode("utf-8")
    return _encoded(response)


def _encoded(response: Any) -> Answer:
    return Answer("200 OK", _HEADERS_OF_OCTETS, response.SerializeToString())


def _readable(name: bytes) -> str:
    return name[:100].decode("utf-8", "backslashreplace").encode("unicode_escape").decode("ascii")
