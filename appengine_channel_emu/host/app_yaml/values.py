"""Kinds of value that app.yaml has, each with the error for what is not one."""

from __future__ import annotations

import re
from collections.abc import Sequence

from appengine_channel_emu.hints import nearest

from . import python2_re
from .document import Notes, Value

_FALSE = ("false", "no", "off", "n", "f", "0")
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"\s*([0-9]+[DdHhMmSs]?)(\s+[0-9]+[DdHhMmSs]?)*\s*", re.ASCII)
LONGEST_DURATION = 100 * 365 * 86400
"""Seconds; a longer one counts as this."""


def word(value: Value, name: str, words: Sequence[str]) -> str:
    """One of `words`."""
    text = value.text(name)
    if text not in words:
        raise value.error(f"{name} cannot be {text!r}{nearest(text, words)}; it is one of {', '.join(words)}")
    return text


def switch(value: Value, name: str, notes: Notes) -> bool:
    """Yes or no, as App Engine's reader has it: every text is yes, a quoted "false" too, which is warned of."""
    if value.is_list:
        notes.mistake(value, f"{name} is a list, which counts as false; write true or false")
        return False
    given = value.typed(name)
    if isinstance(given, str) and given.lower() not in ("true", "yes", "on", "y", "t", "1", ""):
        hint = "leave the quotes out" if given.lower() in _FALSE else "write true or false"
        notes.mistake(value, f"{name} is the text {given!r}, which counts as true; {hint}")
    return bool(given)


def is_on(value: Value) -> bool:
    """Whether a builtin is switched on."""
    return value.text("a builtin").lower() not in _FALSE


def whole(value: Value, name: str) -> int:
    """A whole number above 0."""
    text = value.text(name)
    if not re.fullmatch(r"[1-9][0-9]*", text):
        raise value.error(f"{name} must be a whole number above 0, not {text!r}")
    return int(text) if len(text) < 10 else 10**9


def duration(value: Value, name: str) -> int:
    """Seconds: a sum of days, hours, minutes and seconds such as "4d 5h" (facts.md 9.1)."""
    text = value.text(name)
    if not _DURATION.fullmatch(text):
        raise value.error(f"{name} must be a duration such as '4d 5h' or '10m', not {text!r}")
    parts = [(part.rstrip("DdHhMmSs").lstrip("0"), part.lstrip("0123456789").lower()) for part in text.split()]
    return min(sum(int(number[:12] or 0) * _UNITS[unit] for number, unit in parts), LONGEST_DURATION)


def regex(value: Value, name: str, text: str | None = None) -> re.Pattern[str]:
    """A regular expression of Python 2. `text` is it as it is compiled, if that is not the value itself."""
    text = value.text(name) if text is None else text
    try:
        return python2_re.compile(text)
    except (re.error, RecursionError, OverflowError) as error:
        raise value.error(f"{name} is not a regular expression: {error} in {text!r}") from None


def header_text(value: Value, name: str) -> str:
    """A text that can stand in a header."""
    text = value.text(name)
    if not re.fullmatch(r"[\x20-\x7e]*", text):
        raise value.error(f"{name} must be printable ASCII on one line")
    return text


def mime_type(value: Value, notes: Notes) -> str:
    """A MIME type, sent as it is: browsers make do with odd ones, which are warned of."""
    text = header_text(value, "mime_type")
    if not re.fullmatch(r"[\w.+-]+/[\w.+-]+(\s*;.*)?", text, re.ASCII):
        notes.mistake(value, f"mime_type is a type such as text/css; {text!r} is sent as it is")
    return text
