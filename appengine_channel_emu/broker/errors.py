"""What can be wrong, each with its wire code and text; HTTP statuses are given in one place, `web.errors`.

EmulatorError
├── ChannelServiceError             refused by the Channel API itself (facts.md 1.5)
│   ├── InternalError               1
│   │   └── TooManyTokens           1, 429: more than `--max-tokens`
│   ├── InvalidChannelKey           2
│   ├── BadMessage                  3
│   ├── InvalidChannelTokenDuration 4
│   └── AppIdAliasRequired          5
├── TokenError                      401: the texts are those of the real server (facts.md 3.1)
│   ├── InvalidToken                Invalid+token.
│   └── TokenTimedOut               Token+timed+out.
├── TooManySockets                  429: more than `--max-sockets` for one client id
└── SocketError                     410: this socket will answer no more polls
    ├── SocketGone                  Socket+gone.
    ├── BacklogExceeded             Backlog+exceeded.
    ├── ClosedByHand                Closed+by+the+server.
    └── Replaced                    Replaced+by+a+newer+socket.
"""

from __future__ import annotations


class EmulatorError(Exception):
    """The base of all errors that the broker raises on purpose."""


class ChannelServiceError(EmulatorError):
    """A call that the Channel API refuses; `code` and `name` are those of its enum (facts.md 1.5)."""

    code = 1
    name = "INTERNAL_ERROR"


class InvalidChannelKey(ChannelServiceError):
    """The client id is empty or too long."""

    code = 2
    name = "INVALID_CHANNEL_KEY"


class BadMessage(ChannelServiceError):
    """The message is empty or too long."""

    code = 3
    name = "BAD_MESSAGE"


class InvalidChannelTokenDuration(ChannelServiceError):
    """The duration is not 1 to 1440 minutes."""

    code = 4
    name = "INVALID_CHANNEL_TOKEN_DURATION"


class InternalError(ChannelServiceError):
    """Never of our own accord: a fault can be this."""

    code = 1
    name = "INTERNAL_ERROR"


class TooManyTokens(InternalError):
    """There are as many valid tokens as the settings allow."""


class AppIdAliasRequired(ChannelServiceError):
    """Never of our own accord: a fault can be this."""

    code = 5
    name = "APPID_ALIAS_REQUIRED"


def channel_service_error(name: str, text: str) -> ChannelServiceError:
    """The Channel API's error of that name; raises KeyError when there is none."""
    return {each.name: each for each in ChannelServiceError.__subclasses__()}[name](text)


class TokenError(EmulatorError):
    """A token that opens nothing; `text` is what pages compare with, to the letter."""

    text = ""

    def __init__(self) -> None:
        super().__init__(self.text)


class InvalidToken(TokenError):
    """Not a token of this server."""

    text = "Invalid+token."


class TokenTimedOut(TokenError):
    """A token whose time is up."""

    text = "Token+timed+out."


class TooManySockets(EmulatorError):
    """A client id has as many sockets as the settings allow."""

    text = "Too+many+sockets."

    def __init__(self) -> None:
        super().__init__(self.text)


class SocketError(EmulatorError):
    """A socket that answers no more polls; `text` says why."""

    text = ""

    def __init__(self) -> None:
        super().__init__(self.text)


class SocketGone(SocketError):
    """Unknown, closed, or detached for longer than the resume window."""

    text = "Socket+gone."


class BacklogExceeded(SocketError):
    """More unread messages than the backlog allows."""

    text = "Backlog+exceeded."


class ClosedByHand(SocketError):
    """Closed on the console or over the admin API: the page gets onclose alone."""

    text = "Closed+by+the+server."


class Replaced(SocketError):
    """With `--tabs=single`: a newer socket of the client id was opened."""

    text = "Replaced+by+a+newer+socket."
