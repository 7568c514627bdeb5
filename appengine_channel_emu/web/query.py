"""Query parameters of the admin API, checked: known ones only, each once, of the right kind."""

from __future__ import annotations

import math

import falcon

from appengine_channel_emu.web.errors import BadRequest

LONGEST_WAIT = 25.0
"""Seconds that an answer may be waited for, as for polls (behaviour.md 5)."""


class Query:
    """The parameters of one request; any that is not in `known` is refused."""

    def __init__(self, req: falcon.Request, *known: str) -> None:
        self._values = req.params
        for name, value in self._values.items():
            if name not in known:
                there_are = f"there are {', '.join(known)}" if known else "there are none"
                raise BadRequest(f"The parameter {name[:80]!r} is not known; {there_are}.")
            if not isinstance(value, str):
                raise BadRequest(f"The parameter '{name}' is given more than once.")

    def text(self, name: str) -> str | None:
        """The parameter, or None."""
        value = self._values.get(name)
        assert value is None or isinstance(value, str)
        return value

    def required(self, name: str) -> str:
        """The parameter, which must be there."""
        value = self.text(name)
        if value is None:
            raise BadRequest(f"The parameter '{name}' is missing.")
        return value

    def number(self, name: str, default: int, low: int = 0, high: int = 10**15) -> int:
        """A whole number from `low` to `high`."""
        text = self.text(name)
        if text is None:
            return default
        if text.isascii() and text.isdigit() and len(text) <= 16 and low <= int(text) <= high:
            return int(text)
        raise BadRequest(f"The parameter '{name}' is a whole number from {low} to {high}.")

    def seconds(self, name: str) -> float:
        """How long to wait: 0 if it is not given, `LONGEST_WAIT` at most."""
        try:
            text = self.text(name)
            seconds = 0.0 if text is None else float(text)
        except ValueError:
            seconds = math.nan
        if not 0 <= seconds < math.inf:
            raise BadRequest(f"The parameter '{name}' is a number of seconds from 0 on.")
        return min(seconds, LONGEST_WAIT)
