"""The Channel API (facts.md 1.1), spoken to the emulator."""

from google.appengine.api.channel.channel import (
    MAXIMUM_CLIENT_ID_LENGTH,
    MAXIMUM_MESSAGE_LENGTH,
    MAXIMUM_TOKEN_DURATION_MINUTES,
    AppIdAliasRequired,
    Error,
    InvalidChannelClientIdError,
    InvalidChannelTokenDurationError,
    InvalidMessageError,
    create_channel,
    send_message,
)

__all__ = [
    "MAXIMUM_CLIENT_ID_LENGTH",
    "MAXIMUM_MESSAGE_LENGTH",
    "MAXIMUM_TOKEN_DURATION_MINUTES",
    "AppIdAliasRequired",
    "Error",
    "InvalidChannelClientIdError",
    "InvalidChannelTokenDurationError",
    "InvalidMessageError",
    "create_channel",
    "send_message",
]
