"""The gate that requests pass once it is known what they are about: here faults on request happen (behaviour.md 10)."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Collection
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from appengine_channel_emu.broker.contract import Broker
from appengine_channel_emu.broker.turn import Signal
from appengine_channel_emu.faults.faults import (
    ACTIONS,
    TOKEN_ERRORS,
    BadFault,
    Fault,
    Target,
    parse_fault_of_one_request,
)
from appengine_channel_emu.host.backend import AppAnswer
from appengine_channel_emu.host.login import is_same_site
from appengine_channel_emu.host.visitors import is_loopback
from appengine_channel_emu.web.later import Later, known, patient
from appengine_channel_emu.web.resources import answered
from appengine_channel_emu.web.upgrade import Upgrade, Upgraded
from appengine_channel_emu.web.waiting import OwnAnswer, Waiting
from appengine_channel_emu.web.wsgi import PLAIN, Answer, ConnectionCut, content_length, plain_answer

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

T = TypeVar("T")

HEADER = "HTTP_X_CHANNEL_EMU_FAULT"
"""`X-Channel-Emu-Fault: STAGE ACTION …`, for this one request."""

LARGEST_NUMBER_OF_REPEATS = 1000
"""Answers to polls that are kept to be given twice."""

# What the Channel API itself refuses or loses is the broker's part, whoever asks it.
_HERE = {"create": ("delay", "drop", "cut"), "send": ("delay", "cut")}

_by_header: ContextVar[Fault | None] = ContextVar("fault_by_header", default=None)
"""What the header of the request that this thread serves asks for."""


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
        patient(self._broker).faults.clear()
        self._repeated.clear()

    def read_header(self, environ: WSGIEnvironment, serve: Callable[[WSGIEnvironment], T]) -> T | Answer:
        """What `serve` answers, during which the fault that the request's header asks for can happen to it."""
        # In process an app that serves one request may make another, which has a header of its own or none.
        if HEADER not in environ and _by_header.get() is None:
            return serve(environ)
        try:
            before = _by_header.set(_fault_of(environ) if HEADER in environ else None)
        except BadFault as error:
            return plain_answer("400 Bad Request", str(error))
        try:
            return serve(environ)
        finally:
            _by_header.reset(before)

    def meet(
        self,
        stages: tuple[str, ...],
        do: Callable[[], OwnAnswer],
        names: Collection[str] = (),
        socket: str | None = None,
    ) -> OwnAnswer:
        """What `do` answers to a request of ours at `stages`, the outermost first, well or badly.

        `names` are the client ids, or tokens of theirs, that the request is about; or `socket` is the id of one.
        """
        # As `quiet`, for thousands of requests in a second.
        if not self._repeated and _by_header.get() is None and not self._faults:
            return do()
        client_ids = [known(partial(self._broker.client_id_of, name), name) for name in names]
        if socket is not None:
            client_ids += self._client_ids_of(socket)
        poller = (socket or next(iter(names), None)) if "poll" in stages else None
        repeated = self._repeated.pop(poller, None) if poller is not None else None
        if repeated is not None:
            return repeated
        with self._faults.asked(_if_at(stages)):
            fault = self._fault(stages, Target(client_ids))
            return do() if fault is None else self._do_badly(fault, partial(answered, do), poller)

    def meet_delivery(self, socket: str) -> Fault | None:
        """The fault that is to happen to messages on their way to the page of `socket` over a stream, if one is."""
        if not self._faults:
            return None
        return self._fault(("poll",), Target(self._client_ids_of(socket)))

    def meet_app(
        self,
        environ: WSGIEnvironment,
        ask: Callable[[WSGIEnvironment], AppAnswer],
        stages: tuple[str, ...] = (),
        names: Collection[str] = (),
    ) -> Answer | AppAnswer:
        """What `ask` has from the app, well or badly; `stages` and `names` are those of a call that may be ours."""
        if self.quiet:
            return ask(environ)
        stages += ("app",)
        client_ids = [known(partial(self._broker.client_id_of, name), name) for name in names]
        with self._faults.asked(_if_at(stages)):
            fault = self._fault(stages, Target(client_ids, environ.get("PATH_INFO", "")))
            if fault is None:
                return ask(environ)
            if fault.seconds is not None:
                # On one of the app's own threads, which is what a slow app would hold too.
                (self._pause or time.sleep)(fault.seconds)
                return ask(environ)
            if fault.error is not None:
                return refusal_by_fault(fault.error)
            if fault.action == "drop":
                raise ConnectionCut
            # As when something in between sends a request again: the second answer counts.
            body = environ["wsgi.input"].read(content_length(environ))
            ask(environ | {"wsgi.input": io.BytesIO(body)}).read()
            if fault.action == "cut":
                raise ConnectionCut
            return ask(environ | {"wsgi.input": io.BytesIO(body)})

    @property
    def quiet(self) -> bool:
        """Whether nothing happens to a request, unless its own header asks for it."""
        return not self._repeated and _by_header.get() is None and not self._faults

    def _client_ids_of(self, socket: str) -> list[str]:
        client_id = self._broker.client_id_of_socket(socket)
        return [] if client_id is None else [client_id]

    def _fault(self, stages: tuple[str, ...], target: Target) -> Fault | None:
        for stage in stages:
            fault = self._faults.pick(stage, target, _HERE.get(stage, ACTIONS))
            if fault is not None:
                return fault
        return None

    def _do_badly(self, fault: Fault, do: Callable[[], OwnAnswer], poller: str | None) -> OwnAnswer:
        if fault.seconds is not None:
            return self._delayed(fault.seconds, do)
        if fault.error is not None:
            return refusal_by_fault(fault.error)
        if fault.action == "drop":
            raise ConnectionCut
        if fault.action == "cut":
            return _changed(do(), _cut)
        if poller is not None:
            return _changed(do(), partial(self._repeat, poller))
        first = do()
        if isinstance(first, Upgrade | Later):
            # What is asked elsewhere has been asked.
            first.close()
        else:
            _at_once(first)
        return do()

    def _delayed(self, seconds: float, do: Callable[[], OwnAnswer]) -> OwnAnswer:
        if self._pause is not None:
            self._pause(seconds)
            return do()
        return Later(Signal(), seconds, lambda: _soon(do()))

    def _repeat(self, poller: str, answer: Answer) -> Answer:
        while len(self._repeated) >= LARGEST_NUMBER_OF_REPEATS:
            self._repeated.pop(next(iter(self._repeated)))
        self._repeated[poller] = answer
        return answer


def _fault_of(environ: WSGIEnvironment) -> Fault:
    """What the header asks for, which the app is not to see."""
    text = environ.pop(HEADER)
    if not (is_loopback(environ.get("REMOTE_ADDR", "127.0.0.1")) and is_same_site(environ)):
        raise BadFault("X-Channel-Emu-Fault: only this machine's own programs and pages may ask for a fault.")
    try:
        return parse_fault_of_one_request(str(text))
    except BadFault as error:
        raise BadFault(f"X-Channel-Emu-Fault: {error}.") from None


def _if_at(stages: tuple[str, ...]) -> Fault | None:
    """A request of another stage takes no notice: a browser can be told to send the header with all of a page's."""
    fault = _by_header.get()
    return fault if fault is not None and fault.stage in stages else None


def refusal_by_fault(error: str) -> Answer:
    """What a request is answered that a fault refuses with `error`, see `Fault`."""
    if error in TOKEN_ERRORS:
        return Answer(f"401 {error}", PLAIN, error.encode())
    return plain_answer(f"{error} A fault on request", "A fault on request.")


def _cut(answer: Answer) -> Answer:
    raise ConnectionCut


def _changed(answer: OwnAnswer, change: Callable[[Answer], Answer]) -> OwnAnswer:
    if isinstance(answer, Answer):
        return change(answer)
    answer.change(change)
    return answer


def _soon(answer: OwnAnswer) -> OwnAnswer:
    return answer if isinstance(answer, Later) else _at_once(answer)


def _at_once(answer: OwnAnswer) -> Answer:
    """What it would wait for is not waited for. Raises `Upgraded` where there is nothing to wait for."""
    if isinstance(answer, Upgrade):
        raise Upgraded(answer)
    return answer.at_once() if isinstance(answer, Waiting) else answer
