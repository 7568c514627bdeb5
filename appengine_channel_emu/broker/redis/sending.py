"""Messages that apps send: asked of Redis, recorded, and for those that reach nobody, why."""

from __future__ import annotations

from typing import Any, NamedTuple

from appengine_channel_emu.broker.contract import BrokerOptions
from appengine_channel_emu.broker.delivery import DROPS_TOLD, HELD, MISTAKEN, SENT
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
from appengine_channel_emu.broker.errors import size_of
from appengine_channel_emu.broker.figures import BrokerFigures
from appengine_channel_emu.broker.journal import SentMessage
from appengine_channel_emu.broker.redis.asking import LATER, Asking, all_of, then
from appengine_channel_emu.broker.redis.connection import CALL_SECONDS
from appengine_channel_emu.broker.redis.holds import SharedAppRequests
from appengine_channel_emu.broker.redis.node import Node
from appengine_channel_emu.broker.redis.record import SharedJournal
from appengine_channel_emu.broker.results import Sent
from appengine_channel_emu.broker.tokens import SHOWN_CHARACTERS, is_like_token
from appengine_channel_emu.broker.turn import Pending, Turn

LATE_SECONDS = CALL_SECONDS - 0.1
"""A send that reaches Redis later than this is not made: its sender has been told, or is about to be, that it
failed."""


HURRY_SECONDS = 0.05
"""For nodes to tell what their pages have."""

MOST_FULL = 3
"""How often room is made for one message, which others may take."""


class SendOutcome(NamedTuple):
    """What became of a send: to how many sockets of whom it went, where it is in the log, and why it went to none."""

    client_id: str
    to: int
    offset: int
    drop: Drop | None


class Sending:
    """Sends of this node."""

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

    def client_id_of(self, token: str) -> Pending:
        """Whose a token of ours is; itself where it is valid no longer."""
        return self._asking.ask_and_wait(
            "client_id", token, told=lambda found: token if found is None else found.decode()
        )

    def send(self, target: str, text: str, request_id: str | None, fault: str | None) -> Pending:
        """Send `text` to a client id, or to whom a token belongs; the answer is a `Sent`."""
        hold, whole = self._hold_of(request_id), Pending()

        def finish(outcome: SendOutcome) -> Pending:
            if outcome.drop is not None:
                return self._drop_near(outcome.client_id, text, outcome.drop, told_of=True)
            with self._turn:
                number = self._record(outcome, text)
                detail = {"message": number, "bytes": size_of(text), "sockets": outcome.to}
                self._turn.event("message_sent", _what(hold), outcome.client_id, None, detail)
            return _answered(Sent(outcome.to))

        then(self._send(target, text, hold, fault), finish, whole)
        return whole

    def send_many(self, faults: dict[str, str | None], text: str, request_id: str | None) -> Pending:
        """Send `text` to each of the names in `faults`, once to each client id; the answer has a `Sent` for each
        name."""
        hold, whole = self._hold_of(request_id), Pending()
        tokens = all_of({name: self.client_id_of(name) for name in faults if self._node.mint.made(name)})

        def resolved(client_ids: dict[str, str]) -> Pending:
            whose = {name: client_ids.get(name, name) for name in faults}
            # A fault of one name is that of its client id.
            each = {client_id: faults[name] for name, client_id in whose.items()}
            outcomes = all_of({name: self._send(name, text, hold, fault) for name, fault in each.items()})
            sent = Pending()
            then(outcomes, lambda found: self._sent_to_many(found, text, hold), sent)
            named = Pending()
            then(sent, lambda found: _answered({name: found[whose[name]] for name in faults}), named)
            return named

        then(tokens, resolved, whole)
        return whole

    def _sent_to_many(self, outcomes: dict[str, SendOutcome], text: str, hold: str) -> Pending:
        reached = [each for each in outcomes.values() if each.drop is None]
        with self._turn:
            numbers = [self._record(each, text) for each in reached]
            if reached:
                detail = {"message": numbers[0], "bytes": size_of(text), "sockets": sum(each.to for each in reached)}
                detail["client_ids"] = len(reached)
                self._turn.event("message_sent", _what(hold), None, None, detail)
        found: dict[str, Pending] = {}
        told = 0
        for client_id, outcome in outcomes.items():
            if outcome.drop is None:
                found[client_id] = _answered(Sent(outcome.to))
            else:
                told += 1
                found[client_id] = self._drop_near(client_id, text, outcome.drop, told <= DROPS_TOLD)
        return all_of(found)

    def _hold_of(self, request_id: str | None) -> str:
        if request_id is None:
            return ""
        with self._turn:
            return self._requests.hold_of(request_id)

    def _send(self, target: str, text: str, hold: str, fault: str | None) -> Pending:
        """Ask for a send; the answer is an `SendOutcome`."""
        if fault == "drop":
            return _answered(SendOutcome(target, 0, 0, BY_FAULT))
        if fault == "duplicate":
            self._send(target, text, hold, None)
        options = self._options

        limits = options.backlog_messages, options.backlog_bytes, options.backlog_total
        late = int((self._node.redis_time() + LATE_SECONDS) * 1000)
        arguments = (target, text, self._asking.name(), late, hold, *limits, int(is_like_token(target)))
        answer = Pending()
        full = 0
        closed = 0

        def told(found: Any) -> Any:
            nonlocal full
            to, offset, client_id = int(found[0]), int(found[1]), found[2].decode()
            if to:
                return SendOutcome(client_id, to, offset, None)
            if found[3] != b"full":
                drop = OVERFLOW if closed else self._why_nobody(client_id, *found[4:])
                return SendOutcome(client_id, 0, 0, drop)
            full += 1
            if full == 1:
                # Pages may have more than Redis knows: what nobody needs is to close no socket.
                self._asking.ask("hurry", client_id)
                self._node.later(HURRY_SECONDS, ask)
            else:
                self._asking.ask_and_wait("make_room", client_id, size_of(text), *limits, told=made, pending=answer)
            return LATER

        def made(found: Any) -> Any:
            nonlocal closed
            closed += int(found)
            if full > MOST_FULL:
                return SendOutcome(target, 0, 0, OVERFLOW)
            ask()
            return LATER

        def ask() -> None:
            self._asking.ask_and_wait("send", *arguments, told=told, pending=answer)

        ask()
        return answer

    def _record(self, outcome: SendOutcome, text: str) -> Any:
        """Note in the journal what reached a client id; what stands for its number. Inside the turn."""
        self._figures.sent += 1
        sent = SentMessage(0, self._turn.now(), outcome.client_id, text, size_of(text), outcome.to)
        return self._journal.add_at(sent, outcome.offset)

    def _why_nobody(self, client_id: str, tokens: int, told: int, left: bytes) -> Drop:
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

    def _drop_near(self, client_id: str, text: str, drop: Drop, told_of: bool) -> Pending:
        """Note that `text` goes to nobody, and, if it is to be an event, which client ids come near."""
        if self._node.mint.made(client_id):
            client_id, drop = f"{client_id[:SHOWN_CHARACTERS]}…", TOKEN_TIMED_OUT
        elif drop is NO_CHANNEL and is_like_token(client_id):
            client_id, drop = f"{client_id[:SHOWN_CHARACTERS]}…", FOREIGN_TOKEN
        shown = client_id[:256]
        if not told_of:
            with self._turn:
                return _answered(self._drop(shown, text, drop, {}, told_of))

        def told(found: Any) -> Sent:
            near = {each.decode(): bool(is_open) for each, is_open in found}
            return self._drop(shown, text, drop, near, told_of)

        others = int(drop.why in MISTAKEN)
        return self._asking.ask_and_wait("near", shown, fold(shown), others, MOST_NEAR, told=told)

    def _drop(self, client_id: str, text: str, drop: Drop, near: dict[str, bool], told_of: bool) -> Sent:
        size = size_of(text)
        self._figures.dropped[drop.why] += 1
        sent = SentMessage(0, self._turn.now(), client_id, text, size, 0, drop.reason, drop.why, tuple(near))
        number = self._journal.add_at(sent, 0)
        if told_of:
            detail = {"message": number, "why": drop.why, "near": list(near), "bytes": size}
            reason = f"{drop.reason}{near_text(near, near.__getitem__)}"
            self._turn.event("message_dropped", reason, client_id, None, detail)
        return Sent(0, drop.reason, tuple(near))


def _what(hold: str) -> str:
    return HELD if hold else SENT


def _answered(value: Any) -> Pending:
    answer = Pending()
    answer.answer(value)
    return answer
