"""Tokens from the side of somebody who would like to have one."""

from __future__ import annotations

import base64
import hmac

import pytest

from appengine_channel_emu.broker import tokens
from appengine_channel_emu.broker.errors import InvalidToken, TokenTimedOut
from appengine_channel_emu.broker.tokens import TokenMint, new_key

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def test_a_token_with_any_character_changed_is_invalid():
    mint = TokenMint(new_key())
    made, _ = mint.make(1000.0)
    mint.check(made, 0.0)
    for place, character in enumerate(made):
        other = ALPHABET[(ALPHABET.index(character) + 1) % len(ALPHABET)]
        with pytest.raises(InvalidToken):
            mint.check(made[:place] + other + made[place + 1 :], 0.0)


def test_a_later_expiry_needs_the_key():
    mine, theirs = TokenMint(new_key()), TokenMint(new_key())
    made, _ = mine.make(1000.0)
    with pytest.raises(TokenTimedOut):
        mine.check(made, 1000.0)
    raw = bytearray(base64.urlsafe_b64decode(made))
    raw[16:22] = (2**47).to_bytes(6, "big")
    for forged in (base64.urlsafe_b64encode(raw).decode(), theirs.make(9999.0)[0]):
        with pytest.raises(InvalidToken):
            mine.check(forged, 1000.0)


def test_digests_are_compared_in_constant_time(monkeypatch):
    compared = []

    def compare(one, other):
        compared.append((one, other))
        return hmac.compare_digest(one, other)

    class Hmac:
        new = staticmethod(hmac.new)
        compare_digest = staticmethod(compare)

    monkeypatch.setattr(tokens, "hmac", Hmac)
    mint = TokenMint(new_key())
    made, _ = mint.make(1000.0)
    mint.check(made, 0.0)
    assert len(compared) == 1
