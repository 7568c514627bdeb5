"""What is refused, as events: why, and what to do about it, in a measure that no flood exceeds (behaviour.md 11)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, Any

from appengine_channel_emu.broker.contract import Broker
from appengine_channel_emu.broker.drops import NO_VALUES
from appengine_channel_emu.broker.errors import (
    ChannelServiceError,
    PageError,
    SocketGone,
    TokenError,
    TokenTimedOut,
    TooManySockets,
    TooManyTokens,
)
from appengine_channel_emu.broker.tokens import is_like_token
from appengine_channel_emu.hints import quoted
from appengine_channel_emu.web.later import known

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

MINUTE = 60.0
"""Seconds in which those that are alike are one event, and the rest is counted."""

MOST_A_MINUTE = 60
"""Events of all refusals together."""

LARGEST_PART = 10
"""At most one of so many events that are kept is a refusal: what else has happened is not pushed out."""

MOST_KNOWN = 256
"""Kinds of refusals that are told apart."""

SHOWN_OF_TOKEN = 8
SHOWN_OF_CLIENT_ID = 64
SHOWN_OF_PATH = 200
"""Characters."""

IN_PROCESS = "this process"
"""The peer of a request that came over no network."""

_NO_TOKENS = (*NO_VALUES, "", "false")
"""What a page opens its channel with when its script has no token, or an object around it."""

_WHY = {
    "host": "its Host, {host}, is no name of this server. To allow it: --allow-host NAME.",
    "admin-peer": "only programs on this machine may ask this. To allow others: --allow-remote-admin.",
    "site": "a page of another site{origin}, and only pages of this emulator may. --allow-origin lets "
    "others post to /_ah/channel/receive.",
    "presence": "only the emulator tells the app who is present. To post it by hand: --presence-from-visitors.",
    "content-type": "it came as {type}. Send JSON as application/json, and calls of rpc as application/octet-stream.",
}
"""By the rules of the guard (`web/guard.py`), and the type of what is posted."""


@dataclass(slots=True)
class _Alike:
    """Those that are one event: since when, and how many came after it."""

    since: float
    more: int = 0


class Refusals:
    """Makes events of refusals. Callable from any thread; `now` gives the time in seconds.

    The first of its kind is shown. What comes within a minute is counted, and the next event tells how many those were.
    """

    def __init__(self, broker: Broker, now: Callable[[], float]) -> None:
        self._broker = broker
        self._now = now
        self._lock = Lock()
        self._known: dict[tuple[str, ...], _Alike] = {}
        self._times: deque[float] = deque()
        self._numbers: deque[int] = deque()
        self._more = 0

    def clear(self) -> None:
        """Forget them, as the event log has been."""
        with self._lock:
            self._known.clear()
            self._times.clear()
            self._numbers.clear()
            self._more = 0

    def request(self, rule: str, environ: WSGIEnvironment, status: int) -> None:
        """A request was refused by `rule`, one of the guard's or `content-type`."""
        peer: str = environ.get("REMOTE_ADDR", IN_PROCESS)
        before = self._admit(rule, (rule, peer))
        if before is None:
            return
        path = _shown(environ.get("PATH_INFO", ""), SHOWN_OF_PATH)
        why = _why(rule, environ)
        method = _shown(environ.get("REQUEST_METHOD", ""), 20)
        text = f"{method} {path} from {peer} was refused with {status}: {why}"
        self._note("request_refused", text, before, {"rule": rule, "peer": peer, "path": path, "status": status})

    def open(self, token: str, error: PageError, environ: WSGIEnvironment) -> None:
        """`error` has refused a page that came with `token`; one of a socket that is gone is no refusal."""
        if not isinstance(error, TokenError | TooManySockets):
            return
        shown, path = token[:SHOWN_OF_TOKEN], _shown(environ.get("PATH_INFO", ""), SHOWN_OF_PATH)
        peer = environ.get("REMOTE_ADDR", IN_PROCESS)
        before = self._admit("open_refused", ("open_refused", peer, type(error).__name__, shown))
        if before is None:
            return
        why, text = self._why_not_opened(token, error)
        self._note("open_refused", text, before, {"token": shown, "why": why, "path": path}, error.client_id)

    def socket(self, socket_id: str, error: PageError, environ: WSGIEnvironment) -> None:
        """`error` has refused a poll or a stream; it is told of if this emulator has never known that socket."""
        if not isinstance(error, SocketGone):
            return
        shown = socket_id[:SHOWN_OF_TOKEN]
        peer = environ.get("REMOTE_ADDR", IN_PROCESS)
        before = self._admit("socket_gone", ("socket_gone", peer, shown), lambda: self._has_been_here(socket_id))
        if before is None:
            return
        text = (
            "A page goes on with a socket that this emulator does not know: it was opened at another one, or before "
            "the start or the reset of this one. Load the page again. --state-dir keeps sockets over a restart."
        )
        path = _shown(environ.get("PATH_INFO", ""), SHOWN_OF_PATH)
        self._note("open_refused", text, before, {"token": "", "why": "unknown_socket", "path": path})

    def call(self, call: str, name: str | None, error: Exception) -> None:
        """The Channel API has refused `call` for a client id, or a token of it; `name` is None where it is no text."""
        # The second and third have events of their own.
        if not isinstance(error, ChannelServiceError) or error.by_fault or isinstance(error, TooManyTokens):
            return
        client_id = name and known(partial(self._broker.client_id_of, name), name)
        shown = (client_id or "")[: SHOWN_OF_TOKEN if is_like_token(client_id or "") else SHOWN_OF_CLIENT_ID]
        before = self._admit("call_refused", ("call_refused", call, error.name, shown))
        if before is not None:
            text = f"{call} for {quoted(shown)} was refused with {error.name}: {error}"
            detail = {"call": call, "error": error.name, "client_id": shown}
            self._note("call_refused", text, before, detail, shown or None)

    def _has_been_here(self, socket_id: str) -> bool:
        """Whether a socket of that id has ended, as far back as events are kept."""
        return any(event.socket == socket_id for event in self._broker.events.after(0))

    def _why_not_opened(self, token: str, error: PageError) -> tuple[str, str]:
        """A name, and the sentences."""
        shown = quoted(token[:SHOWN_OF_TOKEN] + ("…" if len(token) > SHOWN_OF_TOKEN else ""))
        whose = f" of {quoted(error.client_id)}" if error.client_id else ""
        if isinstance(error, TooManySockets):
            most = self._broker.options.max_sockets
            return "too_many_sockets", (
                f"A page{whose} cannot open a socket: there are {most}, and --max-sockets allows no more. Pages that "
                "are not closed keep theirs."
            )
        if isinstance(error, TokenTimedOut):
            return "expired", (
                f"A page came with {shown}: this token{whose} has timed out. Have it ask the app for a new one when "
                "onerror says 401."
            )
        if token in _NO_TOKENS:
            return "unknown", (
                f"A page came with the text {quoted(token)} instead of a token. Look what its script makes of the "
                "app's answer."
            )
        if known(partial(self._broker.control.channel, token), None) is not None:
            return "unknown", (
                f"A page came with {shown}: this is a client id. It needs the token that create_channel returned."
            )
        return "unknown", (
            f"A page came with {shown}: this token is not of this emulator: it is another app's, another emulator's, "
            "or of one whose state was not kept. Have the page ask the app for a new one."
        )

    def _admit(self, counted_as: str, key: tuple[str, ...], unless: Callable[[], bool] = lambda: False) -> int | None:
        """How many were not shown since the last event of this kind; None if this one is not shown either.

        `unless` is asked last, because it takes long, and what it holds for takes no place.
        """
        now = self._now()
        with self._lock:
            self._broker.figures.refused[counted_as] += 1
            alike = self._known.get(key)
            if alike is not None and now - alike.since < MINUTE:
                alike.more += 1
                return None
            if not self._has_room(now):
                self._more += 1
                return None
            if unless():
                return None
            before, self._more = self._more, 0
            if alike is not None:
                before += self._known.pop(key).more
            elif len(self._known) >= MOST_KNOWN:
                before += self._known.pop(next(iter(self._known))).more
            self._known[key] = _Alike(now)
            self._times.append(now)
            return before

    def _has_room(self, now: float) -> bool:
        """Whether there may be another event, for this minute and among those that are kept."""
        while self._times and now - self._times[0] >= MINUTE:
            self._times.popleft()
        events = self._broker.events
        while self._numbers and self._numbers[0] <= events.last_number - events.length:
            self._numbers.popleft()
        return len(self._times) < MOST_A_MINUTE and len(self._numbers) < max(1, events.length // LARGEST_PART)

    def _note(self, kind: str, text: str, before: int, detail: dict[str, Any], client_id: str | None = None) -> None:
        if before:
            text += f" Refused before it, and not shown: {before}."
        with self._lock:
            self._numbers.append(self._broker.events.last_number + 1)
        self._broker.note(kind, text, client_id, detail | {"before": before})


def _why(rule: str, environ: WSGIEnvironment) -> str:
    if rule == "host" and not environ.get("HTTP_HOST"):
        return "it has no Host header."
    # The browser names no page behind a link.
    origin = f", {_header(environ, 'HTTP_ORIGIN')}, asked for it"
    return _WHY[rule].format(
        host=_header(environ, "HTTP_HOST"),
        origin=origin if environ.get("HTTP_ORIGIN") else " asked for it, or has a link to it",
        type=_header(environ, "CONTENT_TYPE"),
    )


def _header(environ: WSGIEnvironment, name: str) -> str:
    """What a header says, in quotation marks."""
    value = environ.get(name)
    return quoted(value) if value else "none"


def _shown(text: str, most: int) -> str:
    """`text` as one line of ASCII without its end, if that is far."""
    shown = text.encode("unicode_escape").decode("ascii")
    return shown if len(shown) <= most else f"{shown[:most]}…"
