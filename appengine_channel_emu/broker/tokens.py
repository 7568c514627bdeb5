"""Tokens: opaque, unforgeable, 52 characters of `[A-Za-z0-9_-]` whatever the client id (behaviour.md 2).

A token is base64 of a random 128-bit name, its expiry, and a keyed digest of both. The digest tells a token
of ours whose time is up from a forged one without keeping a record of every token that ever was; the client id
of a live one is in the broker's table, because 256 bytes of it would not fit.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import math
import re
import secrets
from collections import deque
from collections.abc import Iterable
from operator import attrgetter

from appengine_channel_emu.broker.channel import TokenRecord
from appengine_channel_emu.broker.drops import Names
from appengine_channel_emu.broker.errors import InvalidToken, TokenTimedOut, TooManyTokens
from appengine_channel_emu.broker.saving import DirtySet, SavedToken
from appengine_channel_emu.broker.sockets import Sockets
from appengine_channel_emu.broker.turn import Turn

_NAME_BYTES = 16
_EXPIRY_BYTES = 6
_DIGEST_BYTES = 17
_SHAPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{51}\Z")

KEY_BYTES = 32

SHOWN_CHARACTERS = 8
"""Of a token, that a log and an event may have (behaviour.md 11)."""

_MOST_TIMED_OUT = 1_000
"""Tokens of which it is known whose they were, so that a page that comes with one can be told of."""


def new_key() -> bytes:
    """A key for a `TokenMint`."""
    return secrets.token_bytes(KEY_BYTES)


def written_expiry(token: str) -> float:
    """When a token of ours times out by what is written in it, in seconds of the clock."""
    return _expiry(base64.b64decode(token, altchars=b"-_"))


def _expiry(body: bytes) -> float:
    return int.from_bytes(body[_NAME_BYTES : _NAME_BYTES + _EXPIRY_BYTES], "big") / 1000


def is_like_token(text: str) -> bool:
    """Whether `text` looks like a token of an emulator, this one or another."""
    return bool(_SHAPE.match(text))


def too_many_tokens(most: int) -> TooManyTokens:
    """Why there can be no further token; `most` is --max-tokens."""
    return TooManyTokens(
        f"There are {most} valid tokens, and --max-tokens allows no more: keep one for each page, "
        "or ask for a shorter duration_minutes."
    )


class TokenMint:
    """Makes tokens with a key, and knows its own again."""

    def __init__(self, key: bytes) -> None:
        self.key = key
        # A copy of it costs half of what a new one does.
        self._keyed = hmac.new(key, digestmod="sha256")

    def make(self, expires: float) -> tuple[str, float]:
        """A new token and its expiry, in seconds of the clock, rounded up to a millisecond."""
        milliseconds = math.ceil(expires * 1000)
        while True:
            body = secrets.token_bytes(_NAME_BYTES) + milliseconds.to_bytes(_EXPIRY_BYTES, "big")
            token = base64.urlsafe_b64encode(body + self._digest(body)).decode("ascii")
            if token[0] not in "-_":
                return token, milliseconds / 1000

    def check(self, token: str, now: float) -> None:
        """Raise `InvalidToken` unless this mint made `token`, `TokenTimedOut` if its time is up at `now`."""
        if not self.made(token):
            raise InvalidToken
        if written_expiry(token) <= now:
            raise TokenTimedOut

    def made(self, token: str) -> bool:
        """Whether this mint made `token`, be its time up or not."""
        if not _SHAPE.match(token):
            return False
        try:
            raw = base64.b64decode(token, altchars=b"-_", validate=True)
        except binascii.Error:
            return False
        body, digest = raw[:-_DIGEST_BYTES], raw[-_DIGEST_BYTES:]
        return hmac.compare_digest(digest, self._digest(body))

    def _digest(self, body: bytes) -> bytes:
        digest = self._keyed.copy()
        digest.update(body)
        return digest.digest()[:_DIGEST_BYTES]


class Tokens:
    """Every token that has not timed out; all calls come inside the broker's turn."""

    def __init__(self, turn: Turn, sockets: Sockets, dirty: DirtySet, key: bytes, most: int) -> None:
        self._turn = turn
        self._most = most
        self._full = False
        self._sockets = sockets
        self._dirty = dirty
        self._mint = TokenMint(key)
        self._records: dict[str, TokenRecord] = {}
        # Timed out by hand, before the time that is written in them. They are kept, and saved, until then.
        self._timed_out_early: dict[str, TokenRecord] = {}
        self.by_client_id: dict[str, int] = {}
        """How many valid tokens a client id has; only those that have any."""
        self._names = Names()
        self._timed_out: dict[str, str] = {}
        """Whose the latest ones were, by their first characters."""
        self._lines: dict[int, deque[TokenRecord]] = {}
        """By their minutes, 0 for those of a former process: those of one line time out in the order in which they were
        made, so that one timer is enough for it."""

    def create(self, client_id: str, minutes: int, opened_by: str | None = None) -> TokenRecord:
        """A new token. Raises `TooManyTokens`."""
        if len(self._records) >= self._most:
            raise self._too_many()
        self._full = False
        token, expires = self._mint.make(self._turn.now() + minutes * 60)
        record = self._add(TokenRecord(token, client_id, expires, opened_by), minutes)
        self._dirty.token(record)
        return record

    def restore(self, saved: Iterable[SavedToken]) -> dict[str, TokenRecord]:
        """Take up those that a former process saved; of one that timed out meanwhile its timer says so."""
        in_order = sorted(saved, key=attrgetter("expires"))
        return {each.token: self._add(TokenRecord(each.token, each.client_id, each.expires), 0) for each in in_order}

    def valid(self, token: str) -> TokenRecord:
        """The record of `token`; raises `InvalidToken` or `TokenTimedOut`."""
        now = self._turn.now()
        # A token in the table is one of ours: found by a keyed hash of the whole, which cannot be guessed in parts.
        record = self._records.get(token)
        if record is not None and record.expires > now:
            return record
        try:
            self._mint.check(token, now)
            if record is None and token not in self._timed_out_early:
                raise InvalidToken
            raise TokenTimedOut
        except TokenTimedOut as error:
            error.client_id = self._timed_out.get(token[:SHOWN_CHARACTERS])
            raise

    def client_id_of(self, target: str) -> str:
        """The client id of a valid token; anything else is taken for a client id itself."""
        # A token in the table is one of ours: this is `valid` without an exception for what is a client id.
        record = self._records.get(target)
        return target if record is None or record.expires <= self._turn.now() else record.client_id

    def expire(self, record: TokenRecord) -> None:
        """Its time is up, by the clock or by hand: so is that of its sockets."""
        if self._records.get(record.token) is not record:
            return
        self._forget(record)
        self._note_timeout(record)
        written = written_expiry(record.token)
        if written > self._turn.now():
            # No moment of this clock: after a restart it may be earlier, if it was advanced.
            record.expires = 0.0
            self._timed_out_early[record.token] = record
            self._dirty.token(record)
            self._turn.timers.set(written, self._forget_early, record)
        else:
            self._dirty.token_gone(record)
        self._sockets.end_with(record)
        if record.client_id not in self.by_client_id and not self._sockets.is_open(record.client_id):
            self._sockets.ended.left(record.client_id, "expired")

    def forget_all(self) -> None:
        """No token is valid any more."""
        for record in list(self._records.values()):
            self._forget(record)
            self._dirty.token_gone(record)
        for record in list(self._timed_out_early.values()):
            self._forget_early(record)
        self._timed_out.clear()
        for line in self._lines.values():
            line.clear()

    def made(self, text: str) -> bool:
        """Whether `text` is a token that this emulator made, be its time up or not."""
        return self._mint.made(text)

    def shown(self, name: str) -> str:
        """`name`, a client id or what stands in its place, as events may have it: of a token its first characters."""
        return f"{name[:SHOWN_CHARACTERS]}…" if is_like_token(name) and not self._is_known(name) else name[:256]

    def alike(self, client_id: str) -> list[str]:
        """Client ids with a valid token that are easily mistaken for `client_id`; some, if there are many."""
        return self._names.alike(client_id, self.by_client_id)

    def save_all(self) -> None:
        """The store has none of them any more."""
        for record in (*self._records.values(), *self._timed_out_early.values()):
            self._dirty.token(record)

    def _is_known(self, client_id: str) -> bool:
        sockets = self._sockets
        had_page = client_id in sockets.channels or sockets.ended.departures.get(client_id) is not None
        return had_page or client_id in self.by_client_id

    def _add(self, record: TokenRecord, line: int) -> TokenRecord:
        """Put it into the table, and let it time out behind the others of its line."""
        self._records[record.token] = record
        tokens = self.by_client_id.get(record.client_id, 0)
        self.by_client_id[record.client_id] = tokens + 1
        if not tokens:
            self._names.add(record.client_id)
        waiting = self._lines.setdefault(line, deque())
        waiting.append(record)
        if len(waiting) == 1:
            self._turn.timers.set(record.expires, self._first_is_due, waiting)
        return record

    def _first_is_due(self, line: deque[TokenRecord]) -> None:
        """The timer of `line` ran; the next token of it that is still valid is the next to time out."""
        if line:
            self.expire(line.popleft())
        while line and self._records.get(line[0].token) is not line[0]:
            line.popleft()
        if line:
            self._turn.timers.set(line[0].expires, self._first_is_due, line)

    def _note_timeout(self, record: TokenRecord) -> None:
        if len(self._timed_out) >= _MOST_TIMED_OUT:
            del self._timed_out[next(iter(self._timed_out))]
        self._timed_out[record.token[:SHOWN_CHARACTERS]] = record.client_id

    def _forget_early(self, record: TokenRecord) -> None:
        if self._timed_out_early.pop(record.token, None) is not None:
            self._dirty.token_gone(record)

    def _too_many(self) -> TooManyTokens:
        error = too_many_tokens(self._most)
        if not self._full:
            self._full = True
            self._turn.event("tokens_full", str(error))
        return error

    def _forget(self, record: TokenRecord) -> None:
        del self._records[record.token]
        self.by_client_id[record.client_id] -= 1
        if not self.by_client_id[record.client_id]:
            del self.by_client_id[record.client_id]
            self._names.remove(record.client_id)
