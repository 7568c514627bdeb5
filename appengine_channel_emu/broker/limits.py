"""The Channel API's limits (facts.md 1.0), checked here for every way in.

The Go client checks nothing itself, so the server must (facts.md 1.3).
"""

from __future__ import annotations

from appengine_channel_emu.broker.errors import BadMessage, InvalidChannelKey, InvalidChannelTokenDuration

MAXIMUM_CLIENT_ID_LENGTH = 256
"""Bytes of UTF-8."""

MAXIMUM_MESSAGE_LENGTH = 32767
"""Bytes of UTF-8."""

MINIMUM_DURATION_MINUTES = 1
MAXIMUM_DURATION_MINUTES = 1440
DEFAULT_DURATION_MINUTES = 120


def check_client_id(client_id: str) -> str:
    """Return `client_id` when a channel can have it, else raise `InvalidChannelKey`."""
    length = len(encode(client_id, InvalidChannelKey("The client id holds a lone surrogate.")))
    if not 1 <= length <= MAXIMUM_CLIENT_ID_LENGTH:
        raise InvalidChannelKey(
            f"A client id has 1 to {MAXIMUM_CLIENT_ID_LENGTH} bytes of UTF-8; this one has {length}."
        )
    return client_id


def check_duration(minutes: int | None) -> int:
    """Return the token's duration in minutes, else raise `InvalidChannelTokenDuration`."""
    if minutes is None:
        return DEFAULT_DURATION_MINUTES
    if not MINIMUM_DURATION_MINUTES <= minutes <= MAXIMUM_DURATION_MINUTES:
        raise InvalidChannelTokenDuration(
            f"A token lasts {MINIMUM_DURATION_MINUTES} to {MAXIMUM_DURATION_MINUTES} minutes, not {minutes}."
        )
    return minutes


def check_message(message: str | bytes) -> tuple[str, bool]:
    """Return the text of `message`, and whether bad bytes in it became U+FFFD; raise `BadMessage`.

    Python 2 apps can send bytes that are not UTF-8; the length counts what the app sent.
    """
    sent = message if isinstance(message, bytes) else encode(message, BadMessage("The message holds a lone surrogate."))
    if not 1 <= len(sent) <= MAXIMUM_MESSAGE_LENGTH:
        raise BadMessage(f"A message has 1 to {MAXIMUM_MESSAGE_LENGTH} bytes of UTF-8; this one has {len(sent)}.")
    if isinstance(message, str):
        return message, False
    try:
        return sent.decode("utf-8"), False
    except UnicodeDecodeError:
        return sent.decode("utf-8", "replace"), True


def encode(text: str, refusal: Exception) -> bytes:
    """UTF-8 of `text`; raises `refusal` where a lone surrogate makes that impossible."""
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        raise refusal from None
