"""The server API as apps' own client libraries speak it: `remote_api.Request` in, `remote_api.Response` out.

Three doors, one protocol (facts.md 2.3 to 2.5): `/rpc_http`, the SDK API server's port, and `/_ah/remote_api`. What
fails in the protocol is answered with status 200: clients take any other for a broken bridge.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

import yaml

from appengine_channel_emu.broker.contract import Broker
from appengine_channel_emu.broker.errors import ChannelServiceError, InvalidChannelKey, check_message
from appengine_channel_emu.web.remote_api_messages import (
    CreateChannelRequest,
    CreateChannelResponse,
    Malformed,
    Request,
    Response,
    SendMessageRequest,
    parse,
)
from appengine_channel_emu.web.wsgi import Answer, send

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

OCTETS = "application/octet-stream"
HEADERS = [("X-Content-Type-Options", "nosniff"), ("Cache-Control", "no-cache"), ("X-Frame-Options", "DENY")]

LARGEST_REQUEST = 1024 * 1024
"""Bytes of one call's own request: the SDK's limit (facts.md 2.5)."""

LARGEST_CALL = 4 * LARGEST_REQUEST
"""Bytes of an encoded call, the envelope included: what is larger is not even read."""

APPLICATION_ID = "dev~channel-emu"

CHANNEL_SERVICES = (b"channel", b"xmpp")
"""Apps call `xmpp` in production and `channel` on the dev server (facts.md 1.0)."""

_NOT_UTF8 = "The client id is not UTF-8, so no channel can have it."


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
    """The calls that we serve, from bytes to bytes."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._calls: dict[tuple[bytes, bytes], Callable[[bytes, str], bytes]] = {
            # Go waits for it at the end of each of its requests (facts.md 2.3).
            (b"logservice", b"Flush"): lambda request, request_id: b"",
        }
        for service in CHANNEL_SERVICES:
            self._calls[service, b"CreateChannel"] = self._create_channel
            self._calls[service, b"SendChannelMessage"] = self._send_message

    def answer(self, data: bytes) -> bytes:
        """The encoded `Response` to an encoded `Request`, whatever that holds."""
        try:
            request = parse(Request, data)
            # Whatever it is, an unknown one is no error (facts.md 2.3, trap 5).
            request_id = request.request_id.decode("latin-1")
            return self._answer_call((request.service_name, request.method), request.request, request_id)
        except Malformed as error:
            return _failed(PARSE_ERROR, str(error))

    def _answer_call(self, name: tuple[bytes, bytes], request: bytes, request_id: str) -> bytes:
        call = self._calls.get(name)
        if call is None:
            text = f"The emulator serves no call {_readable(b'.'.join(name))}."
            self._broker.note("call_not_found", text)
            return _failed(CALL_NOT_FOUND, text)
        if len(request) > LARGEST_REQUEST and name[0] in CHANNEL_SERVICES:
            return _failed(REQUEST_TOO_LARGE, f"A request has at most {LARGEST_REQUEST} bytes.")
        try:
            return Response(response=call(request, request_id)).SerializeToString()  # type: ignore[no-any-return]
        except ChannelServiceError as error:
            return _refused(error)

    def _create_channel(self, data: bytes, request_id: str) -> bytes:
        request = parse(CreateChannelRequest, data)
        try:
            client_id = request.application_key.decode("utf-8")
        except UnicodeDecodeError:
            raise InvalidChannelKey(_NOT_UTF8) from None
        minutes = request.duration_minutes if request.HasField("duration_minutes") else None
        made = self._broker.create_channel(client_id, minutes)
        return CreateChannelResponse(token=made.token.encode("ascii")).SerializeToString()  # type: ignore[no-any-return]

    def _send_message(self, data: bytes, request_id: str) -> bytes:
        request = parse(SendMessageRequest, data)
        try:
            client_id = request.application_key.decode("utf-8")
        except UnicodeDecodeError:
            check_message(request.message)
            self._broker.note("message_dropped", _NOT_UTF8)
            return b""
        self._broker.send_message(client_id, request.message, request_id)
        return b""


class RpcHttp:
    """The server API as one address, at whatever path: `POST` a call, `GET` the app's id.

    Plain WSGI: calls come by the thousand in a second, and Falcon's part was a sixth of each one's cost.
    """

    def __init__(self, api: ServerApi) -> None:
        self._api = api
        self._methods = {"POST": self._answer_call, "GET": self._identify, "HEAD": self._identify}

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        return send(self.answer(environ), start_response)

    def answer(self, environ: WSGIEnvironment) -> Answer:
        """The answer to one request."""
        method = self._methods.get(environ["REQUEST_METHOD"])
        if method is not None:
            return method(environ)
        status = "200 OK" if environ["REQUEST_METHOD"] == "OPTIONS" else "405 Method Not Allowed"
        return _text(status, "POST a call, or GET the app's id.\n", ("Allow", "GET, HEAD, OPTIONS, POST"))

    def _answer_call(self, environ: WSGIEnvironment) -> Answer:
        # Another site's page cannot send this type without asking first (behaviour.md 11).
        if environ.get("CONTENT_TYPE", "").partition(";")[0].strip().lower() != OCTETS:
            return _text("415 Unsupported Media Type", f"Send this as {OCTETS}.\n")
        length = int(environ.get("CONTENT_LENGTH") or 0)
        if length > LARGEST_CALL:
            answer = _failed(REQUEST_TOO_LARGE, f"A call has at most {LARGEST_CALL} bytes.")
        else:
            answer = self._api.answer(environ["wsgi.input"].read(length))
        return Answer("200 OK", [("Content-Type", OCTETS), *HEADERS], answer)

    def _identify(self, environ: WSGIEnvironment) -> Answer:
        """What a client asks first: flow style YAML, for it looks at the first character (facts.md 2.4)."""
        token = parse_qs(environ.get("QUERY_STRING", "")).get("rtok", ["0"])[0]
        identity = {"app_id": APPLICATION_ID, "rtok": token}
        return _text("200 OK", yaml.safe_dump(identity, default_flow_style=True, width=float("inf")))


class RemoteApi(RpcHttp):
    """`/_ah/remote_api`: the same, for clients that say which version they speak."""

    def _answer_call(self, environ: WSGIEnvironment) -> Answer:
        if "HTTP_X_APPCFG_API_VERSION" not in environ:
            return _text("403 Forbidden", "This needs the header X-appcfg-api-version.\n")
        return super()._answer_call(environ)


def _text(status: str, text: str, *headers: tuple[str, str]) -> Answer:
    return Answer(status, [("Content-Type", "text/plain; charset=utf-8"), *HEADERS, *headers], text.encode("utf-8"))


def _failed(failure: Failure, text: str) -> bytes:
    response = Response(exception=failure.pickled)
    response.rpc_error.code = failure.code
    response.rpc_error.detail = text.encode("utf-8")
    return response.SerializeToString()  # type: ignore[no-any-return]


def _refused(error: ChannelServiceError) -> bytes:
    response = Response(exception=REFUSALS[error.code])
    response.application_error.code = error.code
    response.application_error.detail = str(error).encode("utf-8")
    return response.SerializeToString()  # type: ignore[no-any-return]


def _readable(name: bytes) -> str:
    return name[:100].decode("utf-8", "backslashreplace").encode("unicode_escape").decode("ascii")
