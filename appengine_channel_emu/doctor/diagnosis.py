"""What doctor says: a level, what it is, what happens here and happened in production, what to do, and where."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "note", "warning", "problem"]
LEVELS: tuple[Level, ...] = ("ok", "note", "warning", "problem")
"""From what is as it should be to what keeps something from running."""

LONGEST_LINE = 100
"""Characters of a line of the app's that are shown."""


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A line of the app's: `file` from the app's folder, `line` 0 for the file as a whole, `text` what stands there."""

    file: str
    line: int = 0
    text: str = ""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


@dataclass(frozen=True, slots=True, order=True)
class Sighting:
    """That something of `topic`, a key of `TOPICS`, is at one place."""

    topic: str
    place: Place


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """One finding. `topic` names its kind, for programs; `here`, `production` and `advice` may be "" for nothing."""

    topic: str
    level: Level
    what: str
    here: str = ""
    production: str = ""
    advice: str = ""
    places: tuple[Place, ...] = ()


def printable(text: str) -> str:
    """`text` on one line, without what a terminal would take for a command."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def shown(line: str) -> str:
    """A line of the app's, as a report shows it: without its indent, control characters, and what is too much."""
    text = printable(line.strip()[: LONGEST_LINE + 1])
    return text if len(text) <= LONGEST_LINE else f"{text[: LONGEST_LINE - 1]}…"
