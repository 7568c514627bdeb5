"""Faults on their way in: the part of the front that lets requests go wrong when it was asked to."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from appengine_channel_emu.broker.broker import Broker
from appengine_channel_emu.broker.signal import Signal
from appengine_channel_emu.faults import ACTIONS, CHANNEL_ERRORS, TOKEN_ERRORS, BadFault, Fault, Faults, parse_fault
from appengine_channel_emu.web.errors import PLAIN
from appengine_channel_emu.web.guard import is_loopback, is_same_site
from appengine_channel_emu.web.waiting import Answer, ConnectionCut, Waiting

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

HEADER = "HTTP_X_CHANNEL_EMU_FAULT"
"""`X-Channel-Emu-Fault: STAGE ACTION …`, for this one request."""

LARGEST_BODY = 1024 * 1024
"""Bytes of a request that can be done twice, or whose client id is looked for."""

_STAGES = {
    ("POST", "/_emu/channels"): "create",
    ("POST", "/_emu/messages"): "send",
    ("GET", "/_ah/channel/open"): "open",
    ("GET", "/_ah/channel/poll"): "poll",
    ("POST", "/rpc_http"): "rpc",
    ("POST", "/_ah/remote_api"): "rpc",
}

_HERE = {"create": ("delay", "drop", "cut"), "send": ("delay", "cut")}


class FaultGate:
    """Decides for each request whether a fault happens to it, and makes it happen."""

    def __init__(self, broker: Broker, faults: Faults) -> None:
        self._broker = broker
        self._faults = faults
        self._repeated: dict[str, Answer] = {}

    def call(
        self, app: WSGIApplication, environ: WSGIEnvironment, start_response: StartResponse, ours: bool
    ) -> Iterable[bytes]:
        """Call `app`, which is the emulator itself (`ours`) or the app behind it, well or badly."""
        if not self._faults and not self._repeated and HEADER not in environ:
            return app(environ, start_response)
        stage = _stage(environ) if ours else "app"
        if stage is None:
            return app(environ, start_response)
        answer = self._repeated.pop(_query(environ, "socket"), None) if stage == "poll" else None
        if answer is not None:
            return _whole(answer, start_response)
        try:
            fault = self._of_header(environ, stage) or self._picked(environ, stage)
        except BadFault as error:
            return _whole(Answer("400 Bad Request", [("Content-Type", PLAIN)], f"{error}\n".encode()), start_response)
        return self._do(fault, app, environ, start_response) if fault else app(environ, start_response)

    def _of_header(self, environ: WSGIEnvironment, stage: str) -> Fault | None:
        text = environ.pop(HEADER, None)
        if text is None:
            return None
        if not (is_loopback(environ.get("REMOTE_ADDR", "127.0.0.1")) and is_same_site(environ)):
            raise BadFault("X-Channel-Emu-Fault: only this machine's own programs and pages may ask for a fault.")
        fault = parse_fault(str(text))
        if fault.stage != stage:
            return None
        self._faults.happened(fault, self._client_id(environ, stage))
        return fault

    def _picked(self, environ: WSGIEnvironment, stage: str) -> Fault | None:
        # What the Channel API itself refuses or loses is the broker's part, whoever asks it.
        actions = _HERE.get(stage, ACTIONS)
        return self._faults.pick(stage, lambda: self._client_id(environ, stage), actions)

    def _client_id(self, environ: WSGIEnvironment, stage: str) -> str | None:
        if stage == "open":
            return self._broker.client_id_of(_query(environ, "channel"))
        if stage == "poll":
            return self._broker.client_id_of_socket(_query(environ, "socket"))
        if stage in ("create", "send"):
            try:
                return str(json.loads(_body(environ)).get("client_id"))
            except (ValueError, AttributeError):
                return None
        return None

    def _do(
        self, fault: Fault, app: WSGIApplication, environ: WSGIEnvironment, start_response: StartResponse
    ) -> Iterable[bytes]:
        if fault.action == "delay":
            return _delayed(fault, app, environ, start_response)
        if fault.action == "error":
            return _whole(_refusal(fault), start_response)
        if fault.action == "drop":
            raise ConnectionCut
        if fault.action == "cut":
            return _changed(app(environ, start_response), _cut)
        if fault.stage == "poll":
            socket = _query(environ, "socket")
            return _changed(app(environ, start_response), lambda answer: self._repeat(socket, answer))
        return _twice(app, environ, start_response)

    def _repeat(self, socket: str, answer: Answer) -> Answer:
        self._repeated.clear()
        self._repeated[socket] = answer
        return answer


def _stage(environ: WSGIEnvironment) -> str | None:
    path = environ.get("PATH_INFO", "")
    if path == "/_ah/channel/dev":
        return {"connect": "open", "poll": "poll"}.get(_query(environ, "command"))
    return _STAGES.get((environ.get("REQUEST_METHOD", ""), path))


def _query(environ: WSGIEnvironment, name: str) -> str:
    return str(parse_qs(environ.get("QUERY_STRING", "")).get(name, [""])[0])


def _body(environ: WSGIEnvironment) -> bytes:
    """The request's body, which can be read again afterwards."""
    length = int(environ.get("CONTENT_LENGTH") or 0)
    if length > LARGEST_BODY:
        raise BadFault(f"A request of more than {LARGEST_BODY} bytes cannot be done twice.")
    body: bytes = environ["wsgi.input"].read(length)
    environ["wsgi.input"] = io.BytesIO(body)
    return body


def _whole(answer: Answer, start_response: StartResponse) -> Iterable[bytes]:
    start_response(answer.status, [*answer.headers, ("Content-Length", str(len(answer.body)))])
    return [answer.body]


def _refusal(fault: Fault) -> Answer:
    if fault.error in TOKEN_ERRORS:
        headers = [("Content-Type", PLAIN), ("Access-Control-Allow-Origin", "*")]
        return Answer(f"401 {fault.error}", headers, fault.error.encode())
    if fault.error in CHANNEL_ERRORS:
        error = {"code": CHANNEL_ERRORS[fault.error], "name": fault.error, "text": "A fault on request."}
        return Answer("400 Bad Request", [("Content-Type", "application/json")], json.dumps({"error": error}).encode())
    return Answer(f"{fault.error} A fault on request", [("Content-Type", PLAIN)], b"A fault on request.\n")


def _cut(answer: Answer) -> Answer:
    raise ConnectionCut


def _changed(body: Iterable[bytes], change: Callable[[Answer], Answer]) -> Iterable[bytes]:
    """`body` with its answer changed, once there is one."""
    if isinstance(body, Waiting):
        body.change(change)
        return body
    for _ in body:
        pass
    _close(body)
    change(Answer("200 OK", []))
    return body


def _delayed(
    fault: Fault, app: WSGIApplication, environ: WSGIEnvironment, start_response: StartResponse
) -> Iterable[bytes]:
    if fault.stage == "app":
        # On one of the app's own threads, which is what a slow app would hold too.
        time.sleep(fault.seconds)
        return app(environ, start_response)
    waiting = Waiting(Signal(), fault.seconds, lambda: _answer_at_once(app, environ))
    waiting.begin(start_response, [])
    return waiting


def _answer_at_once(app: WSGIApplication, environ: WSGIEnvironment) -> Answer:
    """The whole answer of `app`; what it would wait for is not waited for."""
    started: list[Any] = []

    def start(status: str, headers: list[tuple[str, str]], exc_info: object = None) -> Any:
        started[:] = [status, headers]

    body = app(environ, start)
    if isinstance(body, Waiting):
        body.expire()
    try:
        data = b"".join(body)
    finally:
        _close(body)
    status, headers = started
    return Answer(status, [(name, value) for name, value in headers if name.lower() != "content-length"], data)


def _twice(app: WSGIApplication, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """As when something in between sends a request again; the second answer counts."""
    body = _body(environ)
    _answer_at_once(app, environ | {"wsgi.input": io.BytesIO(body)})
    return app(environ | {"wsgi.input": io.BytesIO(body)}, start_response)


def _close(body: Iterable[bytes]) -> None:
    close = getattr(body, "close", None)
    if close is not None:
        close()
