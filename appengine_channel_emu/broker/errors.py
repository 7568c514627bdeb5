"""What can be wrong, each with its wire code and text; and the Channel API's limits, checked for every way in.

HTTP statuses are given in one place, `web.resources`. The Go client checks nothing itself, so the server must
(facts.md 1.3); the limits are those of facts.md 1.0.

EmulatorError
├── BrokerAway                      503: channels are kept elsewhere, and that is away; to be tried again
├── ChannelServiceError             refused by the Channel API itself (facts.md 1.5)
│   ├── InternalError               1
│   │   └── TooManyTokens           1, 429: more than `--max-tokens`
│   ├── InvalidChannelKey           2
│   ├── BadMessage                  3
│   ├── InvalidChannelTokenDuration 4
│   └── ApplicationAliasRequired    5
└── PageError
    ├── TokenError                  401: the texts are those of the real server (facts.md 3.1)
    │   ├── InvalidToken            Invalid+token.
    │   └── TokenTimedOut           Token+timed+out.
    ├── TooManySockets              429: more than `--max-sockets` for one client id
    └── SocketError                 410: this socket answers no poll any more
        ├── SocketGone              Socket+gone.
        ├── BacklogExceeded         Backlog+exceeded.
        ├── ClosedByHand            Closed+by+the+server.
        └── Replaced                Replaced+by+a+newer+socket.
"""

from __future__ import annotations

from appengine_channel_emu.faults import Faults, Target

MAXIMUM_CLIENT_ID_LENGTH = 256
"""Bytes of UTF-8."""

MAXIMUM_MESSAGE_LENGTH = 32767
"""Bytes of UTF-8."""

MINIMUM_DURATION_MINUTES = 1
MAXIMUM_DURATION_MINUTES = 1440
DEFAULT_DURATION_MINUTES = 120


class EmulatorError(Exception):
    """The base of all errors that the broker raises on purpose."""


class BrokerAway(EmulatorError):
    """What keeps the channels is away: nothing was done, or it is not known. The text says why."""

    retry_after = 1
    """Seconds after which it may be tried again."""


class ChannelServiceError(EmulatorError):
    """A call that the Channel API refuses; `code` and `name` are those of its enum (facts.md 1.5)."""

    code = 1
    name = "INTERNAL_ERROR"
    by_fault = False
    """Whether a fault on request is why."""


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


class TooManyTokens(InternalError):
    """There are as many valid tokens as the settings allow."""


class ApplicationAliasRequired(ChannelServiceError):
    """Never of our own accord: a fault can be this."""

    code = 5
    name = "APPID_ALIAS_REQUIRED"


def channel_service_error(name: str, text: str) -> ChannelServiceError:
    """The Channel API's error of that name, for a fault on request; raises KeyError when there is none."""
    error = {each.name: each for each in ChannelServiceError.__subclasses__()}[name](text)
    error.by_fault = True
    return error


def fault_of_call(faults: Faults, stage: str, client_id: str) -> str | None:
    """Refuse a call if a fault on request says so; else the fault's action, if there is one: drop or duplicate."""
    actions = ("error", "drop", "duplicate") if stage == "send" else ("error", "duplicate")
    fault = faults.pick(stage, Target((client_id,)), actions)
    if fault is not None and fault.error is not None:
        raise channel_service_error(fault.error, "A fault on request.")
    return fault.action if fault else None


class PageError(EmulatorError):
    """What a page is refused; `text` is what pages compare with, to the letter."""

    text = ""

    def __init__(self) -> None:
        super().__init__(self.text)
        self.client_id: str | None = None
        """Who is refused, where that is known."""


class TokenError(PageError):
    """A token that opens nothing."""


class InvalidToken(TokenError):
    """Not a token of this server."""

    text = "Invalid+token."


class TokenTimedOut(TokenError):
    """A token whose time is up."""

    text = "Token+timed+out."


class TooManySockets(PageError):
    """A client id has as many sockets as the settings allow."""

    text = "Too+many+sockets."


class SocketError(PageError):
    """A socket that answers no poll any more."""


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


def check_client_id(client_id: str) -> str:
    """Return `client_id` when a channel can have it, else raise `InvalidChannelKey`."""
    length = _size(client_id, "The client id holds a lone surrogate.", InvalidChannelKey)
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
    if isinstance(message, str):
        size = _size(message, "The message holds a lone surrogate.", BadMessage)
    else:
        size = len(message)
    if not 1 <= size <= MAXIMUM_MESSAGE_LENGTH:
        raise BadMessage(f"A message has 1 to {MAXIMUM_MESSAGE_LENGTH} bytes of UTF-8; this one has {size}.")
    if isinstance(message, str):
        return message, False
    try:
        return message.decode("utf-8"), False
    except UnicodeDecodeError:
        return message.decode("utf-8", "replace"), True


def _size(text: str, problem: str, refusal: type[ChannelServiceError]) -> int:
    """Bytes of UTF-8; raises `refusal` with `problem` where a lone surrogate makes that impossible."""
    try:
        return size_of(text)
    except UnicodeEncodeError:
        raise refusal(problem) from None


def size_of(text: str) -> int:
    """Bytes of UTF-8."""
    # Of nearly all texts it is known without encoding them.
    return len(text) if text.isascii() else len(text.encode("utf-8"))
