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

from appengine_channel_emu.broker.errors import InvalidToken, TokenTimedOut

_NAME_BYTES = 16
_EXPIRY_BYTES = 6
_DIGEST_BYTES = 17
_SHAPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{51}\Z")

KEY_BYTES = 32


def new_key() -> bytes:
    """A key for a `TokenMint`."""
    return secrets.token_bytes(KEY_BYTES)


def random_id() -> str:
    """128 random bits as 22 characters of `[A-Za-z0-9_-]`, the first a letter or digit (a socket id)."""
    while True:
        # A leading dash would read as an option on a command line.
        name = secrets.token_urlsafe(16)
        if name[0] not in "-_":
            return name


def written_expiry(token: str) -> float:
    """When a token of ours times out by what is written in it, in seconds of the clock."""
    return _expiry(base64.b64decode(token, altchars=b"-_"))


def _expiry(body: bytes) -> float:
    return int.from_bytes(body[_NAME_BYTES : _NAME_BYTES + _EXPIRY_BYTES], "big") / 1000


class TokenMint:
    """Makes tokens with a key, and knows its own again."""

    def __init__(self, key: bytes) -> None:
        self.key = key

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
        return hmac.digest(self.key, body, "sha256")[:_DIGEST_BYTES]
