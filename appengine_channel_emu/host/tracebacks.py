"""A traceback of the app's, taken apart for people: which frames are the app's own, and which are of libraries."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

from appengine_channel_emu.host.runner.report import OwnFiles

# Those of a group of exceptions stand behind bars.
_FRAME = re.compile(r'(?P<lead>[ |]*)  File "(?P<file>.*?)", line \d+')
_RAISED = re.compile(r"[^\W\d][\w.]*(?:: .*)?")

_LONGEST_LINE = 500


@dataclass(frozen=True, slots=True)
class TracebackPart:
    """Lines that belong together: frames of the app's own, frames of libraries, or what stands between frames."""

    kind: Literal["own", "library", "words"]
    text: str
    frames: int = 0


@dataclass(frozen=True, slots=True)
class Traceback:
    """What Python printed; `folder` is the app's."""

    text: str
    folder: str

    @property
    def raised(self) -> str:
        """The line that names the exception which came last; "" where there is none."""
        lines = self.text.splitlines()
        # Of what it says there may be more lines, which may look the same.
        last = max((number for number, line in enumerate(lines) if line.startswith("Traceback (")), default=0)
        return next((line for line in lines[last:] if _RAISED.fullmatch(line)), "")[:_LONGEST_LINE]

    def parts(self) -> list[TracebackPart]:
        """All of it, in order."""
        parts = []
        for kind, group in groupby(self._pieces(), key=lambda piece: piece.kind):
            pieces = list(group)
            frames = sum(piece.frames for piece in pieces)
            parts.append(TracebackPart(kind, "\n".join(piece.text for piece in pieces), frames))
        return parts

    def _pieces(self) -> Iterator[TracebackPart]:
        """Each frame, and each other line."""
        own = OwnFiles(self.folder)
        lines = self.text.rstrip().splitlines()
        at = 0
        while at < len(lines):
            end, frame = at + 1, _FRAME.match(lines[at])
            if frame is None:
                yield TracebackPart("words", lines[at])
            else:
                inside = frame["lead"] + "  "
                while end < len(lines) and lines[end].startswith(inside) and not _FRAME.match(lines[end]):
                    end += 1
                # What the interpreter has in itself is called "<frozen …>".
                mine = not frame["file"].startswith("<") and own.find(frame["file"]) is not None
                yield TracebackPart("own" if mine else "library", "\n".join(lines[at:end]), 1)
            at = end
