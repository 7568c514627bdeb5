"""Calls of scripts by this node: what a script did besides what it was asked for is taken care of in one place."""

from __future__ import annotations

import itertools
import logging
import secrets
from collections.abc import Callable
from threading import Lock
from typing import Any, TypeVar

from appengine_channel_emu.broker.contract import BrokerOptions
from appengine_channel_emu.broker.redis.connection import CALL_SECONDS, RedisConnection
from appengine_channel_emu.broker.redis.happened import record_happened
from appengine_channel_emu.broker.redis.presence import SharedPresence
from appengine_channel_emu.broker.redis.scripts import Argument
from appengine_channel_emu.broker.turn import Pending, Turn

log = logging.getLogger("channel_emu.redis")

LATER = object()
"""What `told` gives if it has asked for more, of which the answer is to come."""


Told = Callable[[Any], Any]
"""What is done with what a script found, inside the turn; what it gives or raises is the answer of who asked."""


class Asking:
    """Asks Redis. Each answer is taken in a turn of the broker's, on the connection's thread."""

    connection: RedisConnection

    def __init__(self, turn: Turn, options: BrokerOptions) -> None:
        self._turn = turn
        self._options = options
        self._nonce = secrets.token_hex(8)
        self._count = itertools.count(1)
        self.presence: SharedPresence

    def name(self) -> str:
        """A name for one call, which a retry of it keeps, and no other call of whatever process has."""
        return f"{self._nonce}.{next(self._count)}"

    def ask(
        self,
        script: str,
        *arguments: Argument,
        told: Told = lambda found: None,
        refused: Callable[[], None] = lambda: None,
        again: Callable[[], bool] = lambda: True,
    ) -> None:
        """Ask for what nobody waits for: it is asked for however long Redis is away.

        `refused` is called, inside the turn, where Redis has an error for an answer.
        """

        def take(reply: Any) -> None:
            try:
                with self._turn:
                    self._take(reply)
                    told(reply[0])
            except Exception:
                # A defect of ours: the connection, and what others have asked, is to go on.
                log.exception("What Redis answered to %s could not be used.", script)

        def fail(error: Exception) -> None:
            with self._turn:
                refused()

        self.connection.ask(script, *arguments, then=take, failed=fail, again=again)

    def ask_and_wait(
        self,
        script: str,
        *arguments: Argument,
        told: Told,
        pending: Pending | None = None,
    ) -> Pending:
        """Ask for what somebody waits for; what `told` gives or raises is the answer of the `Pending` that is returned.

        It fails with `BrokerAway` in a few seconds.
        """
        answer = pending or Pending()

        def take(reply: Any) -> None:
            try:
                with self._turn:
                    self._take(reply)
                    value = told(reply[0])
            except Exception as error:
                answer.fail(error)
            else:
                if value is not LATER:
                    answer.answer(value)

        self.connection.ask(script, *arguments, then=take, failed=answer.fail, seconds=CALL_SECONDS)
        return answer

    def _take(self, reply: Any) -> None:
        _, happened, posts = reply
        if happened:
            record_happened(self._turn, self._options, happened)
        if posts:
            self.presence.make(posts)


Key = TypeVar("Key")


def all_of(answers: dict[Key, Pending]) -> Pending:
    """The answers of all, once all are there; one that failed fails all."""
    whole = Pending()
    left, lock = len(answers), Lock()

    def one_more() -> None:
        nonlocal left
        with lock:
            left -= 1
            last = not left
        if last:
            try:
                whole.answer({name: each.result() for name, each in answers.items()})
            except Exception as error:
                whole.fail(error)

    if not answers:
        whole.answer({})
    for each in answers.values():
        each.ready.when_set(one_more)
    return whole


def then(first: Pending, go_on: Callable[[Any], Pending], whole: Pending) -> None:
    """Let `whole` have the answer of what `go_on` asks for, given that of `first`; or the first failure."""

    def answered() -> None:
        try:
            second = go_on(first.result())
        except Exception as error:
            whole.fail(error)
            return
        second.ready.when_set(lambda: finish(second))

    def finish(second: Pending) -> None:
        try:
            whole.answer(second.result())
        except Exception as error:
            whole.fail(error)

    first.ready.when_set(answered)
