"""Calls of scripts by this node: what a script did besides what it was asked for is taken care of in one place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from appengine_channel_emu.broker.channel import TokenRecord
from appengine_channel_emu.broker.contract import BrokerOptions
from appengine_channel_emu.broker.redis.connection import CALL_SECONDS, RedisConnection
from appengine_channel_emu.broker.redis.happened import record_happened
from appengine_channel_emu.broker.redis.presence import SharedPresence
from appengine_channel_emu.broker.redis.scripts import Argument
from appengine_channel_emu.broker.turn import Pending, Turn

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
        self.presence: SharedPresence

    def ask(
        self,
        script: str,
        *arguments: Argument,
        told: Told = lambda found: None,
        again: Callable[[], bool] = lambda: True,
    ) -> None:
        """Ask for what nobody waits for: it is asked for however long Redis is away."""

        def then(reply: Any) -> None:
            with self._turn:
                self._take(reply, None)
                told(reply[0])

        self.connection.ask(script, *arguments, then=then, again=again)

    def ask_and_wait(
        self,
        script: str,
        *arguments: Argument,
        told: Told,
        pending: Pending | None = None,
        token: TokenRecord | None = None,
    ) -> Pending:
        """Ask for what somebody waits for; what `told` gives or raises is the answer of the `Pending` that is returned.

        It fails with `BrokerAway` in a few seconds.
        """
        answer = pending or Pending()

        def then(reply: Any) -> None:
            try:
                with self._turn:
                    self._take(reply, token)
                    value = told(reply[0])
            except Exception as error:
                answer.fail(error)
            else:
                if value is not LATER:
                    answer.answer(value)

        self.connection.ask(script, *arguments, then=then, failed=answer.fail, seconds=CALL_SECONDS)
        return answer

    def _take(self, reply: Any, token: TokenRecord | None) -> None:
        _, happened, posts = reply
        if happened:
            record_happened(self._turn, self._options, happened, token)
        if posts:
            self.presence.make(posts)
