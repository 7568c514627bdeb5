"""The stream: our own client's channel over a WebSocket (behaviour.md 5 and 7).

The page opens its socket as ever, and goes on by socket and number. Each frame to it is what a poll would be answered;
the page says which number it has, as decimal text. What breaks a stream costs nothing: the page goes on with a poll.
"""

from __future__ import annotations

import base64
import functools
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import falcon

from appengine_channel_emu.broker.clock import Scheduler
from appengine_channel_emu.broker.contract import Broker
from appengine_channel_emu.broker.errors import EmulatorError
from appengine_channel_emu.broker.receiver import PollAnswer, Stream
from appengine_channel_emu.faults.gate import FaultGate, refusal_by_fault
from appengine_channel_emu.host.visitors import server_hints
from appengine_channel_emu.web.channel.wires import error_json, messages_json
from appengine_channel_emu.web.resources import BadRequest, Query, answer_to, respond
from appengine_channel_emu.web.upgrade import VERSION, Closing, FrameCut, Upgrade, no_upgrade
from appengine_channel_emu.web.wsgi import ConnectionCut, browser_of, members

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

LONGEST_NUMBER = 16
"""Digits of a message's number."""

DONE, NO_NUMBER = 1000, 1008
"""Codes of close frames: normal closure, and a message that does not keep the rules (RFC 6455, section 7.4.1)."""

_NOT_HERE = "This server cannot make a connection a WebSocket; poll: GET /_ah/channel/poll."
_NOT_ASKED = (
    "Ask for a WebSocket here, over HTTP/1.1 with Upgrade: websocket and Connection: Upgrade (RFC 6455), or poll: "
    "GET /_ah/channel/poll. A proxy in between has to pass these two headers on."
)
_OTHER_VERSION = f"The version of WebSocket that is spoken here is {VERSION} (Sec-WebSocket-Version)."
_BAD_KEY = "Sec-WebSocket-Key is 16 bytes in base64 (RFC 6455, section 4.1)."


class StreamSocket:
    """`GET stream?socket=ID&after=N`, `Upgrade: websocket`.

    Without `scheduler`, as in a test in process, no connection becomes a WebSocket.
    """

    only_get = True

    def __init__(self, broker: Broker, faults: FaultGate, scheduler: Scheduler | None) -> None:
        self._broker = broker
        self._faults = faults
        self._scheduler = scheduler

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Check the handshake, take the place of the socket's poll, and have the connection made a WebSocket."""
        problem = _NOT_HERE if self._scheduler is None else _problem_of(req.env)
        if problem is not None:
            respond(resp, no_upgrade(problem))
            return
        key = _key_of(req.env)
        query = Query(req, strict=False)
        socket_id, after = query.required("socket"), query.number("after")
        do = functools.partial(self._upgrade, key, socket_id, after, browser_of(req.env))
        respond(resp, self._faults.meet(("stream",), do, socket=socket_id))

    def _upgrade(self, key: str, socket_id: str, after: int, browser: str | None) -> Upgrade:
        assert self._scheduler is not None
        return Upgrade(key, PageStream(self._broker, self._faults, self._scheduler, socket_id, after, browser))


def _problem_of(environ: WSGIEnvironment) -> str | None:
    """Why this is no request for a WebSocket that can be met, if it is not (RFC 6455, section 4.2.1)."""
    if not server_hints(environ).upgrades:
        return _NOT_HERE
    asked = "upgrade" in members(environ.get("HTTP_CONNECTION", "")) and environ["SERVER_PROTOCOL"] == "HTTP/1.1"
    if not asked or "websocket" not in members(environ.get("HTTP_UPGRADE", "")):
        return _NOT_ASKED
    return None if environ.get("HTTP_SEC_WEBSOCKET_VERSION") == VERSION else _OTHER_VERSION


def _key_of(environ: WSGIEnvironment) -> str:
    key: str = environ.get("HTTP_SEC_WEBSOCKET_KEY", "")
    try:
        if len(base64.b64decode(key, validate=True)) == 16:
            return key
    except ValueError:
        pass
    raise BadRequest(_BAD_KEY)


class PageStream:
    """The page of a socket at the other end of a WebSocket; raises what `Broker.stream` does.

    A `WebSocketPage`. The broker and the page's frames may call at once: what they share is `_wake` and `_silent`
    alone, each written in one step.
    """

    __slots__ = (
        "_begun",
        "_broker",
        "_faults",
        "_heard",
        "_late",
        "_refusal",
        "_scheduler",
        "_silent",
        "_stream",
        "_wake",
    )

    def __init__(
        self,
        broker: Broker,
        faults: FaultGate,
        scheduler: Scheduler,
        socket_id: str,
        after: int,
        browser: str | None,
    ) -> None:
        self._broker = broker
        self._faults = faults
        self._scheduler = scheduler
        self._wake: Callable[[], None] | None = None
        self._begun = False
        self._heard: str | None = None
        """What the page said last. It answers each heartbeat with it: of thousands of idle pages nothing else comes."""
        self._silent = False
        """Whether a delay on request is in force."""
        self._late: bytes | None = None
        """The frame that waits for its end."""
        self._refusal: EmulatorError | None = None
        """Why what the page said ends the stream."""
        self._stream: Stream | None = broker.stream(socket_id, after, self._look, browser)

    def opened(self, wake: Callable[[], None]) -> None:
        """See `WebSocketPage`."""
        self._wake = wake

    def outgoing(self) -> Iterator[bytes]:
        """See `WebSocketPage`: what waits, or at first an empty frame, so that the page knows that the stream works."""
        stream = self._stream
        if stream is None:
            return
        if stream.cut:
            raise ConnectionCut
        if stream.superseded:
            raise Closing(DONE)
        if self._silent:
            return
        late, self._late = self._late, None
        if late is not None:
            yield late
        try:
            if self._refusal is not None:
                raise self._refusal
            answer = self._broker.take_next(stream)
        except EmulatorError as error:
            yield error_json(answer_to(error))
            raise Closing(DONE) from None
        if answer.messages:
            yield from self._deliver(messages_json(answer), stream.socket_id)
        elif not self._begun:
            yield messages_json(answer)
        self._begun = True

    def received(self, text: str) -> None:
        """See `WebSocketPage`: the number of the last message that the page has."""
        if text == self._heard:
            return
        if not (text.isascii() and text.isdigit() and len(text) <= LONGEST_NUMBER):
            raise Closing(NO_NUMBER, "Send the number of the last message that you have, in decimal digits.")
        if self._stream is not None:
            try:
                self._broker.acknowledge(self._stream, int(text))
                self._heard = text
            except EmulatorError as error:
                self._refusal = error
                self._look()

    def heartbeat(self) -> bytes | None:
        """See `WebSocketPage`: no messages, and the page's number once it has all that was sent."""
        if self._stream is None or self._silent:
            return None
        return messages_json(PollAnswer([], self._stream.sent))

    def left(self) -> None:
        """See `WebSocketPage`."""
        stream, self._stream, self._wake = self._stream, None, None
        if stream is not None:
            self._broker.release(stream)

    def _look(self) -> None:
        wake = self._wake
        if wake is not None:
            wake()

    def _deliver(self, text: bytes, socket_id: str) -> Iterator[bytes]:
        """Messages on their way, well or badly."""
        fault = self._faults.meet_delivery(socket_id)
        if fault is None:
            yield text
        elif fault.seconds is not None:
            self._silent, self._late = True, text
            self._scheduler.at(self._scheduler.now() + fault.seconds, self._end_delay)
        elif fault.error is not None:
            yield error_json(refusal_by_fault(fault.error))
            raise Closing(DONE)
        elif fault.action == "drop":
            raise ConnectionCut
        elif fault.action == "cut":
            raise FrameCut(text)
        else:
            yield text
            yield text

    def _end_delay(self) -> None:
        self._silent = False
        self._look()
