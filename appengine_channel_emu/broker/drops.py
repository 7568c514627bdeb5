"""Why a message reaches nobody, and which client ids come near the one that it was sent to."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Container, Iterable
from itertools import islice
from typing import Literal, NamedTuple

from appengine_channel_emu.hints import quoted

Why = Literal["empty", "no_channel", "not_opened", "expired", "page_left", "grace", "overflow", "fault", "not_utf8"]
"""Of a message that was dropped: the client id is empty; nobody made a channel of that name; its token was never used;
its token timed out; its page left; so it did, and the app does not know yet; its sockets had too much unread; a fault
on request; a client id of bytes that are no text."""

NO_VALUES = ("None", "undefined", "null", "NaN", "[object Object]")
"""What is written where there is no value."""

MOST_NEAR = 5
"""Client ids that are named beside the one that was meant."""

LOOKED_AT = 50
"""Client ids that are looked at to find `MOST_NEAR`: a drop costs the same with thousands of them."""

MOST_DEPARTURES = 10_000
"""Client ids of which it is known when their last page left."""


LONGEST_FOLDED = 4 * 256
"""Characters of what may still be meant for a client id, which has 256 bytes. To fold a MiB takes milliseconds."""


def fold(client_id: str) -> str:
    """`client_id` without what is easily mistaken: case, white space, the normal form of Unicode."""
    if client_id.isascii():
        return " ".join(client_id.lower().split())
    folded = unicodedata.normalize("NFKC", client_id).casefold()
    return " ".join(unicodedata.normalize("NFKC", folded).split())


def ago(seconds: float) -> str:
    """How long before now, in words."""
    for size, unit in ((86_400, "days"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit} ago"
    return f"{seconds:.0f} s ago" if seconds >= 1 else "a moment ago"


class Drop(NamedTuple):
    """Why a message reaches nobody: a name, and a sentence."""

    why: Why
    reason: str


EMPTY = Drop("empty", "The client id is empty.")
NO_CHANNEL = Drop("no_channel", "No channel of that name.")
NO_VALUE = Drop("no_channel", "No channel of that name, which looks like a value that the app does not have.")
FOREIGN_TOKEN = Drop("no_channel", "No channel of that name: it looks like a token that is not of this emulator.")
NOT_OPENED = Drop("not_opened", "No page has opened this channel yet.")
OVERFLOW = Drop("overflow", "A socket had more unread messages than the backlog allows.")
TOKEN_TIMED_OUT = Drop("expired", "This token has timed out.")
BY_FAULT = Drop("fault", "A fault on request (send drop).")
NOT_UTF8 = Drop("not_utf8", "The client id is not UTF-8, so no channel can have it.")


WhyLeft = Literal["page_left", "away", "expired", "overflow", "by_hand", "replaced", "reset", "stale"]
"""Why a socket ended: its page closed it or was left; was not heard of; its token timed out; it had too much unread; it
was closed by hand; a newer one came (--tabs=single); a reset; a saved state that is not the last one."""

_LEFT: dict[WhyLeft, tuple[Why, str]] = {
    "expired": ("expired", "Its token timed out"),
    "overflow": ("overflow", "Its socket was closed, with more unread messages than --backlog allows"),
    "by_hand": ("page_left", "Its socket was closed by hand"),
    "away": ("page_left", "The page was not heard of within --resume-window, and its socket ended"),
}


class Departure(NamedTuple):
    """When the last socket of a client id ended, or its last token timed out, and why."""

    time: float
    why: WhyLeft

    def drop(self, now: float, app_knows: bool) -> Drop:
        """What is dropped since; `app_knows`: the app was told that nobody is there."""
        why, text = _LEFT.get(self.why, ("page_left", "The page left"))
        text += f", {ago(now - self.time)}."
        if self.why == "page_left" and not app_knows:
            return Drop("grace", f"{text} The app is told of it later (--disconnect-after).")
        return Drop(why, text)


class Departures:
    """The latest departures, by client id; all calls come inside the broker's turn."""

    def __init__(self) -> None:
        self._latest: dict[str, Departure] = {}

    def left(self, client_id: str, departure: Departure) -> None:
        """Nobody is there any more."""
        self._latest.pop(client_id, None)
        if len(self._latest) >= MOST_DEPARTURES:
            del self._latest[next(iter(self._latest))]
        self._latest[client_id] = departure

    def back(self, client_id: str) -> None:
        """A socket was opened."""
        self._latest.pop(client_id, None)

    def get(self, client_id: str) -> Departure | None:
        """What is known of the last one, while nobody is there."""
        return self._latest.get(client_id)

    def clear(self) -> None:
        """Forget them."""
        self._latest.clear()


class Names:
    """Finds the client ids that fold alike. Those that are what they fold to, nearly all, take no memory here."""

    def __init__(self) -> None:
        self._odd: dict[str, dict[str, None]] = {}

    def add(self, client_id: str) -> None:
        """It has a token from here on."""
        folded = fold(client_id)
        if folded != client_id:
            self._odd.setdefault(folded, {})[client_id] = None

    def remove(self, client_id: str) -> None:
        """It has none any more."""
        folded = fold(client_id)
        if folded != client_id:
            odd = self._odd[folded]
            del odd[client_id]
            if not odd:
                del self._odd[folded]

    def alike(self, client_id: str, known: Container[str]) -> list[str]:
        """Those of `known` that fold as `client_id` does, without itself; some of them, if there are many."""
        if len(client_id) > LONGEST_FOLDED:
            return []
        folded = fold(client_id)
        candidates = islice((folded, *self._odd.get(folded, ())), LOOKED_AT)
        return [each for each in candidates if each != client_id and each in known]


def near_text(near: Iterable[str], is_open: Callable[[str], bool]) -> str:
    """A clause that names them, those with an open socket as such; empty if there are none."""
    there: list[str] = []
    made: list[str] = []
    for each in near:
        (there if is_open(each) else made).append(quoted(each))
    parts = [f"{what}: {', '.join(names)}" for what, names in (("Open", there), ("Not open", made)) if names]
    return f" {'. '.join(parts)}" if parts else ""
