"""Kinds of value that app.yaml has, each with the error for what is not one."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from pathlib import PurePosixPath

from appengine_channel_emu.hints import nearest

from .document import Value

_TRUE = ("true", "yes", "on", "y", "1")
_FALSE = ("false", "no", "off", "n", "0")
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"\s*([0-9]{1,9}[DdHhMmSs]?)(\s+[0-9]{1,9}[DdHhMmSs]?)*\s*")


def word(value: Value, name: str, words: Sequence[str]) -> str:
    """One of `words`."""
    text = value.text(name)
    if text not in words:
        raise value.error(f"{name} cannot be {text!r}{nearest(text, words)}; it is one of {', '.join(words)}")
    return text


def switch(value: Value, name: str) -> bool:
    """Yes or no, in any of YAML's words."""
    text = value.text(name).lower()
    if text not in _TRUE + _FALSE:
        raise value.error(f"{name} must be true or false, not {value.text(name)!r}")
    return text in _TRUE


def whole(value: Value, name: str, low: int, high: int) -> int:
    """A whole number between the bounds, both included."""
    text = value.text(name)
    if not re.fullmatch(r"[0-9]{1,9}", text) or not low <= int(text) <= high:
        raise value.error(f"{name} must be a whole number from {low} to {high}, not {text!r}")
    return int(text)


def duration(value: Value, name: str) -> int:
    """Seconds: a sum of days, hours, minutes and seconds such as "4d 5h" (facts.md 9.1)."""
    text = value.text(name)
    if not _DURATION.fullmatch(text):
        raise value.error(f"{name} must be a duration such as '4d 5h' or '10m', not {text!r}")
    return sum(int(part.rstrip("DdHhMmSs")) * _UNITS[part.lstrip("0123456789").lower()] for part in text.split())


def regex(value: Value, name: str, text: str | None = None) -> re.Pattern[str]:
    """A regular expression. `text` is it as it is compiled, if that is not the value itself."""
    text = value.text(name) if text is None else text
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return re.compile(text)
    except (re.error, RecursionError, OverflowError) as error:
        raise value.error(f"{name} is not a regular expression: {error} in {value.text(name)!r}") from None


def path_inside(value: Value, name: str, text: str | None = None) -> str:
    """A path, with slashes, that does not lead out of the app's folder."""
    text = value.text(name) if text is None else text
    parts = PurePosixPath(text).parts
    if not text.strip() or "\0" in text:
        raise value.error(f"{name} is not a path")
    if text.startswith("/") or "\\" in re.sub(r"\\[1-9]", "", text) or ".." in parts:
        raise value.error(f"{name} must be a path below the app's folder, such as 'static', not {text!r}")
    return text


def is_slow(pattern: re.Pattern[str]) -> bool:
    """Whether matching may take time exponential in the length of the path: an endless repeat within another.

    App Engine's own engine has no such trouble, so an app that is deployed may well have such a pattern.
    """
    try:
        from re import _parser as parser  # type: ignore[attr-defined]
    except ImportError:  # Python 3.10
        import sre_parse as parser
    return _repeats_within_repeat(parser.parse(pattern.pattern), parser.MAXREPEAT, False)


def _repeats_within_repeat(part: object, endless: object, within: bool) -> bool:
    if isinstance(part, tuple) and len(part) == 3 and part[1] is endless:
        return within or _repeats_within_repeat(part[2], endless, True)
    # Parsed expressions are sequences without being iterable by type.
    if isinstance(part, (str, bytes)) or not hasattr(part, "__getitem__"):
        return False
    return any(_repeats_within_repeat(each, endless, within) for each in part)  # type: ignore[attr-defined]
