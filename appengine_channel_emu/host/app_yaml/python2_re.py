"""Regular expressions as Python 2.7's `re` reads them, in which App Engine's own reader and dev server were written.

Python 3's refuses some of them: flags in the middle, `\\F` and other escapes without a meaning. And it takes `\\w` for
the letters of every script.
"""

from __future__ import annotations

import functools
import re
import warnings

_LETTER_ESCAPES = frozenset("AbBdDsSwWZafnrtvx")
_CLASS_ESCAPES = frozenset("bdDsSwWafnrtvx")
_FLAGS = re.compile(r"\(\?([iLmsxtu]+)\)")
_COMMENT = re.compile(r"\(\?#(?:\\.|[^)])*\)", re.DOTALL)
_LINE_COMMENT = re.compile(r"#(?:\\.|[^\n])*", re.DOTALL)
_OCTAL = re.compile(r"\\([0-7]{3})")
_CLASS_OCTAL = re.compile(r"\\([0-7]{1,3})")
_REFERENCE = re.compile(r"\\(?:g<(\w+)>|(0[0-7]{0,2})|([1-7][0-7]{2})|([1-9][0-9]?)|([abfnrtv\\]))", re.ASCII)
_CONTROL = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "\\": "\\"}


@functools.lru_cache
def compile(text: str) -> re.Pattern[str]:
    """The pattern. Raises `re.error`, RecursionError or OverflowError for what Python 3 cannot have."""
    pattern, flags = _translated(text, verbose=False)
    if "x" in flags:
        pattern, flags = _translated(text, verbose=True)
    value = re.RegexFlag(0) if "u" in flags else re.ASCII
    for letter in flags.intersection("imsx"):
        value |= re.RegexFlag[letter.upper()]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return re.compile(pattern, value)


def _translated(text: str, *, verbose: bool) -> tuple[str, set[str]]:
    """The pattern without its flags, and these, which count for all of it wherever they stand."""
    parts: list[str] = []
    flags: set[str] = set()
    at = 0
    class_start: int | None = None
    while at < len(text):
        rest = text[at : at + 2]
        if rest[0] == "\\":
            part, length = _escape(text[at : at + 4], class_start is not None)
        elif class_start is not None:
            part, length = rest[0], 1
            if rest[0] == "]" and at > class_start:
                class_start = None
        elif rest[0] == "[":
            part, length = ("[^", 2) if rest == "[^" else ("[", 1)
            class_start = at + length
        elif rest == "(?" and (match := _FLAGS.match(text, at)):
            flags.update(match[1])
            # A comment keeps what stands before it from what stands behind it, as in "\\1(?i)2".
            part, length = "(?#)", match.end() - at
        elif comment := (_COMMENT.match(text, at) or (verbose and _LINE_COMMENT.match(text, at))):
            part, length = "(?#)", comment.end() - at
        else:
            part, length = rest[0], 1
        parts.append(part)
        at += length
    return "".join(parts), flags


def _escape(text: str, in_class: bool) -> tuple[str, int]:
    """The escape that `text` begins with, and its length as it was written."""
    octal = (_CLASS_OCTAL if in_class else _OCTAL).match(text)
    if octal:
        return f"\\x{int(octal[1], 8) & 0xFF:02x}", octal.end()
    letter = text[1:2]
    if letter.isascii() and letter.isalpha() and letter not in (_CLASS_ESCAPES if in_class else _LETTER_ESCAPES):
        return letter, 2
    return text[:2], len(text[:2])


def expand(template: str, match: re.Match[str]) -> str:
    r"""`match.expand` of Python 2, with `\1`, `\g<name>` and escapes. A group that is missing or unmatched is empty."""

    def replaced(reference: re.Match[str]) -> str:
        name, octal, long_octal, number, letter = reference.groups()
        if letter:
            return _CONTROL[letter]
        if octal or long_octal:
            return chr(int(octal or long_octal, 8) & 0xFF)
        try:
            return match[int(number or name) if (number or name).isdigit() else name] or ""
        except IndexError:
            return ""

    return _REFERENCE.sub(replaced, template)


def groups_in(template: str) -> set[int | str]:
    """The groups, by number or name, that a template refers to."""
    found = {match[1] or match[4] for match in _REFERENCE.finditer(template) if match[1] or match[4]}
    return {int(group) if group.isdigit() else group for group in found}
