"""Answers of a broker that asks another machine first (`Pending`): waited for without a thread, or on one that may.

Pages and apps come by thousands, so what they ask is parked like a poll: `when_known`. People and tests come one by
one, and what they ask is read straight on, on a thread that may wait: `patient`. The embedded broker never has either.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar, cast

from appengine_channel_emu.broker.contract import Broker
from appengine_channel_emu.broker.errors import BrokerAway
from appengine_channel_emu.broker.turn import Pending, Signal
from appengine_channel_emu.web.resources import answered
from appengine_channel_emu.web.upgrade import Upgrade, Upgraded
from appengine_channel_emu.web.waiting import OwnAnswer, Waiting
from appengine_channel_emu.web.wsgi import Answer

AWAY_SECONDS = 5.0
"""For how long a broker may be asked for an answer (behaviour.md 13)."""

T = TypeVar("T")
Refused = Callable[[Exception], OwnAnswer | None]
"""Told of an error; None leaves it to who answers errors."""


class Later(Waiting):
    """Becomes what `go_on` gives once `signal` is set or `seconds` have passed: an answer, or one to be waited for."""

    __slots__ = ("_became", "_go_on")

    def __init__(self, signal: Signal, seconds: float, go_on: Callable[[], OwnAnswer]) -> None:
        super().__init__(signal, seconds)
        self._go_on = go_on
        self._became: OwnAnswer | None = None

    def following(self) -> Waiting:
        """See `Waiting`."""
        became = self._became = self._became or self._go_on()
        if not isinstance(became, Waiting):
            return self
        became.extra_headers = self.extra_headers
        if self._change is not None:
            became.change(self._change)
        return became

    def _make(self) -> Answer:
        self.following()
        became = self._became
        if isinstance(became, Upgrade):
            raise Upgraded(became)
        assert isinstance(became, Answer)
        return became


def when_known(
    ask: Callable[[], T], answer: Callable[[T], OwnAnswer], refused: Refused = lambda error: None
) -> OwnAnswer:
    """What `answer` makes of what `ask` gives, at once or later; an error is `refused`."""
    try:
        found = ask()
    except Pending as pending:
        make = partial(_made, partial(_result, pending), answer, refused)
        return Later(pending.ready, AWAY_SECONDS, partial(answered, make))
    except Exception as error:
        return _refusal(error, refused)
    return answer(found)


def awaited(answer: OwnAnswer) -> Answer:
    """The answer that is there, or comes; for a thread that may wait for it."""
    if isinstance(answer, Answer):
        return answer
    assert isinstance(answer, Later)
    answer.wait(AWAY_SECONDS)
    return answer.at_once()


def _made(result: Callable[[], T], answer: Callable[[T], OwnAnswer], refused: Refused) -> OwnAnswer:
    try:
        found = result()
    except Exception as error:
        return _refusal(error, refused)
    return answer(found)


def _refusal(error: Exception, refused: Refused) -> OwnAnswer:
    made = refused(error)
    if made is None:
        raise error
    return made


def _result(pending: Pending) -> Any:
    if not pending.ready.is_set:
        raise BrokerAway("What keeps the channels does not answer.")
    return pending.result()


def known(ask: Callable[[], T], otherwise: T) -> T:
    """What `ask` gives, if that is known at once."""
    try:
        return ask()
    except Pending:
        return otherwise


def waited(ask: Callable[[], T]) -> T:
    """What `ask` gives, at once or later; only for threads that may wait. Raises `BrokerAway` in time."""
    try:
        return ask()
    except Pending as pending:
        try:
            found: T = pending.wait(AWAY_SECONDS)
        except TimeoutError:
            raise BrokerAway("What keeps the channels does not answer.") from None
        return found


def patient(broker: Broker) -> Broker:
    """`broker`, whose calls wait for their answer; only for threads that may."""
    return broker if broker.immediate else cast(Broker, _Patient(broker))


class _Patient:
    """Has all that `wrapped` has, and waits for what is pending. Raises `BrokerAway` where that takes too long."""

    def __init__(self, wrapped: Any) -> None:
        self._wrapped = wrapped

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._wrapped, name)
        if name in ("control", "clock", "faults"):
            return _Patient(found)
        if not callable(found):
            return found

        return lambda *args, **options: waited(partial(found, *args, **options))
