"""What a way in which a message does not arrive is made of: how it is played, and what is then said of it, and where.

Texts are those of docs/messages-do-not-arrive.md, word for word; `…` stands for what differs each time.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from appengine_channel_emu.testing import ChannelClient
from tests.ways.stage import Stage

View = Literal["Messages", "Clients", "Faults", "Clock"]
"""A tab of the console."""

Play = Callable[[Stage], ChannelClient]
"""Lets it happen; the page that waits in vain."""

SILENT = "nothing"
"""What the log says where there is nothing to say of it."""


@dataclass(frozen=True, kw_only=True)
class Way:
    """One of them.

    title:    what has happened, for the document.
    log:      one line of the log, with its level; or `SILENT`.
    console:  what `view` of the console shows; `/` parts texts that are not beside each other.
    says:     what `page.explain()` and `NoMessage` say.
    settings: those of the emulator, as in `ChannelServer`.
    """

    name: str
    title: str
    play: Play
    log: str
    view: View
    console: str
    says: str
    settings: dict[str, Any] = field(default_factory=dict)


def way(
    title: str, *, says: str, log: str = "", console: str = "", view: View = "Messages", **settings: Any
) -> Callable[[Play], Way]:
    """Make a `Way` of the function that plays it. The log and the console say what a test says, unless told."""

    def made(play: Play) -> Way:
        return Way(
            name=play.__name__,
            title=title,
            play=play,
            log=log or f"WARNING {says}",
            view=view,
            console=console or says,
            says=says,
            settings=settings,
        )

    return made


def pattern(expected: str) -> re.Pattern[str]:
    """What finds `expected`, whatever stands in place of each `…`, and however its white space falls."""
    parts = [r"\s+".join(re.escape(word) for word in re.split(r"\s+", part)) for part in expected.split("…")]
    return re.compile(r"[^\n]*?".join(parts))


def is_in(expected: str, text: str) -> bool:
    """Whether `text` holds it, within one line of `text` but for its white space."""
    return pattern(expected).search(text) is not None
