"""A progress bar on standard error, where that is a terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TextIO

WIDTH = 30
REDRAW_SECONDS = 0.1


class Progress:
    """The bar; `parts` are what is to be done, each with its share of the time. Silent where nobody looks."""

    def __init__(self, parts: dict[str, float], stream: TextIO = sys.stderr) -> None:
        self._stream = stream
        self._shown = stream.isatty()
        self._parts = parts
        self._total = sum(parts.values())
        self._drawn = 0.0

    def part(self, name: str) -> Callable[[float], None]:
        """What is begun; call what this returns with the share of it that is done, from 0 to 1."""
        names = list(self._parts)
        before = sum(self._parts[each] for each in names[: names.index(name)])

        def tell(share: float) -> None:
            now = time.monotonic()
            if self._shown and now - self._drawn >= REDRAW_SECONDS:
                self._drawn = now
                self._draw((before + share * self._parts[name]) / self._total, name)

        self._drawn = 0.0
        tell(0.0)
        return tell

    def end(self) -> None:
        """Leave the line empty."""
        if self._shown:
            self._stream.write("\r\x1b[K")
            self._stream.flush()

    def _draw(self, share: float, name: str) -> None:
        full = round(share * WIDTH)
        self._stream.write(f"\r\x1b[K[{'#' * full}{'.' * (WIDTH - full)}] {share:4.0%}  {name}")
        self._stream.flush()
