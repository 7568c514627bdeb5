"""Faults on their way in: the part of the front that lets requests go wrong when it was asked to."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from appengine_channel_emu.broker.contract import Broker
from appengine_channel_emu.broker.turn import Signal
from appengine_channel_emu.faults import (
    ACTIONS,
    TOKEN_ERRORS,
    BadFault,
    Fault,
    parse_fault_of_one_request,
)
from appengine_channel_emu.host.login import is_same_site
from appengine_channel_emu.web.errors import PLAIN
from appengine_channel_emu.web.fault_stages import Door, Staged, query, read_again, stage_request
from appengine_channel_emu.web.guard import is_loopback
from appengine_channel_emu.web.waiting import Waiting
from appengine_channel_emu.web.wsgi import Answer, ConnectionCut, close, send

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

HEADER = "HTTP_X_CHANNEL_EMU_FAULT"
"""`X-Channel-Emu-Fault: STAGE ACTION …`, for this one request."""

LARGEST_NUMBER_OF_REPEATS = 1000
"""Answers to polls that are kept to be given twice."""

# What the Channel API itself refuses or loses is the broker's part, whoever asks it.
_HERE = {"create": ("delay", "drop", "cut"), "send": ("delay", "cut")}


class FaultGate:
    """Decides for each request whether a fault happens to it, and makes it happen.

    `pause` is how a delay lasts its seconds, where they are not those of the machine's own time.
    """

    def __init__(self, broker: Broker, pause: Callable[[float], None] | None = None) -> None:
        self._broker = broker
        self._faults = broker.faults
        self._pause = pause
        self._repeated: dict[str, Answer] = {}

    def clear(self) -> None:
        """Forget every fault."""
        self._faults.clear()
        self._repeated.clear()

    def call(
        self, app: WSGIApplication, environ: WSGIEnvironment, start_response: StartResponse, door: Door
    ) -> Iterable[bytes]:
        """Call `app`, well or badly."""
        try:
            asked = _of_header(environ) if HEADER in environ else None
        except BadFault as error:
            return send(Answer("400 Bad Request", [("Content-Type", PLAIN)], f"{error}\n".encode()), start_response)
        if asked is None and not self._faults and not self._repeated:
            return app(environ, start_response)
        request = stage_request(environ, door, self._broker)
        # A request of another stage takes no notice: a browser can be told to send the header with all of a page's.
        if asked is None or asked.stage not in request.stages:
            return self._call(app, environ, start_response, door, request)
        with self._faults.asked(asked):
            return self._call(app, environ, start_response, door, request)

    def _call(
        self,
        app: WSGIApplication,
        environ: WSGIEnvironment,
        start_response: StartResponse,
        door: Door,
        request: Staged,
    ) -> Iterable[bytes]:
        answer = self._repeated.pop(_poller(environ), None) if "poll" in request.stages else None
        if answer is not None:
            return send(answer, start_response)
        for stage in request.stages:
            fault = self._faults.pick(stage, request.target, _HERE.get(stage, ACTIONS))
            if fault is not None:
                return self._do(fault, app, environ, start_response, door)
        return app(environ, start_response)

    def _do(
        self, fault: Fault, app: WSGIApplication, environ: WSGIEnvironment, start_response: StartResponse, door: Door
    ) -> Iterable[bytes]:
        if fault.seconds is not None:
            return self._delayed(fault.seconds, app, environ, start_response, door)
        if fault.error is not None:
            return send(_refusal(fault.error), start_response)
        if fault.action == "drop":
            raise ConnectionCut
        if fault.action == "cut":
            return _changed(app, environ, start_response, _cut)
        if fault.stage == "poll":
            poller = _poller(environ)
            return _changed(app, environ, start_response, lambda answer: self._repeat(poller, answer))
        return _twice(app, environ, start_response)

    def _delayed(
        self,
        seconds: float,
        app: WSGIApplication,
        environ: WSGIEnvironment,
        start_response: StartResponse,
        door: Door,
    ) -> Iterable[bytes]:
        if self._pause is not None or door == "app":
            # For the app on one of its own threads, which is what a slow app would hold too.
            (self._pause or time.sleep)(seconds)
            return app(environ, start_response)
        waiting = Waiting(Signal(), seconds, lambda: _answer_at_once(app, environ))
        waiting.begin(start_response, [])
        return waiting

    def _repeat(self, poller: str, answer: Answer) -> Answer:
        while len(self._repeated) >= LARGEST_NUMBER_OF_REPEATS:
            self._repeated.pop(next(iter(self._repeated)))
        self._repeated[poller] = answer
        return answer


def _of_header(environ: WSGIEnvironment) -> Fault:
    text = environ.pop(HEADER)
    if not (is_loopback(environ.get("REMOTE_ADDR", "127.0.0.1")) and is_same_site(environ)):
        raise BadFault("X-Channel-Emu-Fault: only this machine's own programs and pages may ask for a fault.")
    try:
        return parse_fault_of_one_request(str(text))
    except BadFault as error:
        raise BadFault(f"X-Channel-Emu-Fault: {error}.") from None


def _poller(environ: WSGIEnvironment) -> str:
    """Whose poll it is: a socket, or a token on the old wire."""
    return query(environ, "socket") or query(environ, "channel")


def _refusal(error: str) -> Answer:
    if error in TOKEN_ERRORS:
        headers = [("Content-Type", PLAIN), ("Access-Control-Allow-Origin", "*")]
        return Answer(f"401 {error}", headers, error.encode())
    return Answer(f"{error} A fault on request", [("Content-Type", PLAIN)], b"A fault on request.\n")


def _cut(answer: Answer) -> Answer:
    raise ConnectionCut


def _changed(
    app: WSGIApplication, environ: WSGIEnvironment, start_response: StartResponse, change: Callable[[Answer], Answer]
) -> Iterable[bytes]:
    """What `app` answers, changed once it is there."""
    held: list[Any] = []
    waits = False

    def start(status: str, headers: list[tuple[str, str]], exc_info: object = None) -> Any:
        if waits:
            return start_response(status, headers)
        held[:] = [status, headers]
        return lambda data: None

    body = app(environ, start)
    if isinstance(body, Waiting):
        waits = True
        body.change(change)
        return body
    return send(change(_read(body, held)), start_response)


def _answer_at_once(app: WSGIApplication, environ: WSGIEnvironment) -> Answer:
    """The whole answer of `app`; what it would wait for is not waited for."""
    started: list[Any] = []

    def start(status: str, headers: list[tuple[str, str]], exc_info: object = None) -> Any:
        started[:] = [status, headers]

    body = app(environ, start)
    if isinstance(body, Waiting):
        body.expire()
    return _read(body, started)


def _read(body: Iterable[bytes], started: list[Any]) -> Answer:
    try:
        data = b"".join(body)
    finally:
        close(body)
    status, headers = started
    return Answer(status, [(name, value) for name, value in headers if name.lower() != "content-length"], data)


def _twice(app: WSGIApplication, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """As when something in between sends a request again; the second answer counts."""
    body = read_again(environ)
    _answer_at_once(app, environ | {"wsgi.input": io.BytesIO(body)})
    return app(environ | {"wsgi.input": io.BytesIO(body)}, start_response)
