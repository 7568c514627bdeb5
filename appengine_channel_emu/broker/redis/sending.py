"""Messages that apps send: asked of Redis, recorded, and for those that reach nobody, why."""

from __future__ import annotations

import itertools
import secrets
from typing import Any

from appengine_channel_emu.broker.contract import BrokerOptions, Sent
from appengine_channel_emu.broker.drops import (
    BY_FAULT,
    EMPTY,
    FOREIGN_TOKEN,
    MOST_NEAR,
    NO_CHANNEL,
    NO_VALUE,
    NO_VALUES,
    NOT_OPENED,
    OVERFLOW,
    TOKEN_TIMED_OUT,
    Departure,
    Drop,
    fold,
    near_text,
)
from appengine_channel_emu.broker.figures import BrokerFigures
from appengine_channel_emu.broker.journal import SentMessage
from appengine_channel_emu.broker.redis.asking import LATER, Asking
from appengine_channel_emu.broker.redis.connection import CALL_SECONDS
from appengine_channel_emu.broker.redis.holds import SharedAppRequests
from appengine_channel_emu.broker.redis.node import Node
from appengine_channel_emu.broker.redis.record import SharedJournal
from appengine_channel_emu.broker.tokens import SHOWN_CHARACTERS, is_like_token
from appengine_channel_emu.broker.turn import Pending, Turn

LATE_SECONDS = CALL_SECONDS - 0.1
"""A send that reaches Redis later than this is not made: its sender has been told, or is about to be, that it failed."""

_MISTAKEN = ("empty", "no_channel", "not_opened", "expired")
"""Why a message may have been meant for somebody else."""


class Sending:
    """Sends of this node; `nonce` tells its process from every other, so that no two sends have one name."""

    def __init__(
        self,
        turn: Turn,
        options: BrokerOptions,
        figures: BrokerFigures,
        asking: Asking,
        journal: SharedJournal,
        requests: SharedAppRequests,
        node: Node,
    ) -> None:
        self._turn = turn
        self._options = options
        self._figures = figures
        self._asking = asking
        self._journal = journal
        self._requests = requests
        self._node = node
        self._nonce = secrets.token_hex(8)
        self._count = itertools.count(1)

    def name(self) -> str:
        """A name for one call, which a retry of it keeps."""
        return f"{self._nonce}.{next(self._count)}"

    def send(self, target: str, text: str, request_id: str | None, fault: str | None) -> Pending:
        """Send `text` to a client id, or to whom a token belongs; the answer is a `Sent`."""
        answer = Pending()
        if fault == "drop":
            with self._turn:
                self._ask_near(target, text, BY_FAULT, answer)
            return answer
        if fault == "duplicate":
            self._send(target, text, request_id, Pending())
        self._send(target, text, request_id, answer)
        return answer

    def _send(self, target: str, text: str, request_id: str | None, answer: Pending) -> None:
        options, hold = self._options, ""
        if request_id is not None:
            with self._turn:
                hold = self._requests.hold_of(request_id)

        def told(found: Any) -> Any:
            to, offset, client_id = int(found[0]), int(found[1]), found[2].decode()
            if not to:
                self._ask_near(client_id, text, self._why_nobody(client_id, *found[3:]), answer)
                return LATER
            self._record(client_id, text, to, offset, hold)
            return Sent(to)

        self._asking.ask_and_wait(
            "send",
            target,
            text,
            self.name(),
            int((self._node.redis_time() + LATE_SECONDS) * 1000),
            hold,
            options.backlog_messages,
            options.backlog_bytes,
            options.backlog_total,
            int(is_like_token(target)),
            told=told,
            pending=answer,
        )

    def _record(self, client_id: str, text: str, to: int, offset: int, hold: str) -> None:
        now, size = self._turn.now(), _size(text)
        self._figures.sent += 1
        number = self._journal.add_at(SentMessage(0, now, client_id, text, size, to), offset)
        detail = {"message": number, "bytes": size, "sockets": to}
        what = "A message was sent."
        if hold:
            what = (
                "A message was sent; the browser whose request sent it gets it after the answer (--push-after-answer)."
            )
        self._turn.event("message_sent", what, client_id=client_id, detail=detail)

    def _why_nobody(self, client_id: str, why: bytes, tokens: int, told: int, left: bytes) -> Drop:
        if why == b"overflow":
            return OVERFLOW
        if not client_id:
            return EMPTY
        if left:
            at, _, reason = left.decode().partition("|")
            reason = "overflow" if reason == "all_full" else reason
            departure = Departure(int(at) / 1000, reason)  # type: ignore[arg-type]
            return departure.drop(self._turn.now(), app_knows=not told)
        if tokens > 0:
            return NOT_OPENED
        return NO_VALUE if client_id in NO_VALUES else NO_CHANNEL

    def _ask_near(self, client_id: str, text: str, drop: Drop, answer: Pending) -> None:
        """Find out which client ids come near, and note that the message goes to nobody."""
        if self._node.mint.made(client_id):
            client_id, drop = f"{client_id[:SHOWN_CHARACTERS]}…", TOKEN_TIMED_OUT
        elif drop is NO_CHANNEL and is_like_token(client_id):
            client_id, drop = f"{client_id[:SHOWN_CHARACTERS]}…", FOREIGN_TOKEN
        shown = client_id[:256]

        def told(found: Any) -> Sent:
            near = {each.decode(): bool(is_open) for each, is_open in found}
            return self._drop(shown, text, drop, near)

        others = int(drop.why in _MISTAKEN)
        self._asking.ask_and_wait("near", shown, fold(shown), others, MOST_NEAR, told=told, pending=answer)

    def _drop(self, client_id: str, text: str, drop: Drop, near: dict[str, bool]) -> Sent:
        size = _size(text)
        self._figures.dropped[drop.why] += 1
        sent = SentMessage(0, self._turn.now(), client_id, text, size, 0, drop.reason, drop.why, tuple(near))
        number = self._journal.add_at(sent, 0)
        self._turn.event(
            "message_dropped",
            f"{drop.reason}{near_text(near, near.__getitem__)}",
            client_id=client_id,
            detail={"message": number, "why": drop.why, "near": list(near), "bytes": size},
        )
        return Sent(0, drop.reason, tuple(near))


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8"))
