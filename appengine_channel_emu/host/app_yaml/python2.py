"""What Python 2.7 read in its own way: it is what App Engine's own reader and dev server were written in.

Regular expressions; and plain values, which that reader types by YAML 1.1 before a field takes them as text:
`version: 010` is version 8, `DEBUG: yes` is `True` (facts.md 9.1).
"""

from __future__ import annotations

import base64
import binascii
import datetime
import functools
import re
import warnings
from collections.abc import Callable

import yaml

Typed = None | bool | int | float | str | datetime.date
"""What a plain value is."""

_NAMESPACE = "tag:yaml.org,2002:"
STR = _NAMESPACE + "str"
NULL = _NAMESPACE + "null"

# The types of YAML 1.1 (https://yaml.org/type/), with what Google's reader adds: an exponent makes a number with or
# without a point. The first that fits counts.
_PLAIN = tuple(
    (_NAMESPACE + name, re.compile(pattern, re.ASCII))
    for name, pattern in (
        ("bool", r"y|Y|n|N|yes|Yes|YES|no|No|NO|true|True|TRUE|false|False|FALSE|on|On|ON|off|Off|OFF"),
        (
            "float",
            r"[-+]?[0-9][0-9_]*(?:\.[0-9_]*(?:[eE][-+]?[0-9]+)?|[eE][-+]?[0-9]+)|\.[0-9_]+(?:[eE][-+][0-9]+)?"
            r"|[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+\.[0-9_]*|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        ),
        (
            "int",
            r"(?![_])[-+]?(?:0b[01_]+|0x[0-9a-fA-F_]+|0?[0-7_]+|0|[1-9][0-9_]*|[1-9][0-9_]*(?::[0-5]?[0-9])+)",
        ),
        ("null", r"~|null|Null|NULL|"),
        (
            "timestamp",
            r"\d{4}-\d\d-\d\d|\d{4}-\d\d?-\d\d?(?:[Tt]|[ \t]+)\d\d?:\d\d:\d\d(?:\.\d*)?"
            r"(?:[ \t]*(?:Z|[-+]\d\d?(?::\d\d)?))?",
        ),
    )
)
_TIME = re.compile(
    r"(\d{4})-(\d\d?)-(\d\d?)(?:(?:[Tt]|[ \t]+)(\d\d?):(\d\d):(\d\d)(?:\.(\d*))?"
    r"(?:[ \t]*(?:Z|([-+])(\d\d?)(?::(\d\d))?))?)?",
    re.ASCII,
)
_INT_OF_12 = re.compile(r"(?!_)[-+]?(?:0b[01_]+|0x[0-9a-fA-F_]+|0o[0-7_]+|[0-9_]+)", re.ASCII)
_DECIMAL = _NAMESPACE + "int of YAML 1.2"
_CONSTRUCTOR = yaml.constructor.SafeConstructor()
_TRUE = ("y", "yes", "true", "on")
_FALSE = ("n", "no", "false", "off")

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
def regex(text: str) -> re.Pattern[str]:
    """A regular expression as Python 2.7's `re` reads it.

    Python 3's refuses some of them: flags in the middle, `\\F` and other escapes without a meaning. And it takes `\\w`
    for the letters of every script. Raises `re.error`, RecursionError or OverflowError for what Python 3 cannot have.
    """
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


def tag_of(plain: str, version: tuple[int, int] | None = None) -> str:
    """The tag of a value that is written without quotes. `version` is that of a %YAML directive."""
    if version == (1, 2):
        return _tag_of_12(plain)
    return next((tag for tag, pattern in _PLAIN if pattern.fullmatch(plain)), STR)


def _tag_of_12(plain: str) -> str:
    """YAML 1.2 has fewer words for yes and no, no base 60, and its octal numbers begin with 0o or are none."""
    if _INT_OF_12.fullmatch(plain):
        return _DECIMAL if plain.lstrip("-+").replace("_", "").isdigit() else _NAMESPACE + "int"
    tag = STR if ":" in plain and not _TIME.fullmatch(plain) else tag_of(plain)
    return STR if tag == _NAMESPACE + "bool" and plain.lower() not in ("true", "false") else tag


def typed(text: str, tag: str) -> Typed:
    """The value of `text` under `tag`. Raises ValueError for one that the tag cannot have, KeyError for no such tag."""
    try:
        return _TYPES[tag](text)
    except (OverflowError, IndexError) as error:
        raise ValueError(text) from error


def as_text(value: Typed) -> str:
    """The text that Python 2 makes of a value."""
    if isinstance(value, float):
        text = format(value, ".12g")
        return text if re.search("[.en]", text) else f"{text}.0"
    return str(value)


def _bool(text: str) -> bool:
    if text.lower() not in _TRUE + _FALSE:
        raise ValueError(text)
    return text.lower() in _TRUE


def _int(text: str) -> int:
    return int(_CONSTRUCTOR.construct_yaml_int(yaml.ScalarNode("", text)))


def _float(text: str) -> float:
    return float(_CONSTRUCTOR.construct_yaml_float(yaml.ScalarNode("", text)))


def _timestamp(text: str) -> datetime.date:
    match = _TIME.fullmatch(text)
    if match is None:
        raise ValueError(text)
    year, month, day = (int(part) for part in match.group(1, 2, 3))
    if match[4] is None:
        return datetime.date(year, month, day)
    hour, minute, second = (int(part) for part in match.group(4, 5, 6))
    digits = match[7] or ""
    micro = int(digits[:6].ljust(6, "0")) + (digits[6:7] >= "5")
    # UTC, and without a word of it, as the reader has it.
    time = datetime.datetime(year, month, day, hour, minute, second, micro)
    if match[8]:
        away = datetime.timedelta(hours=int(match[9]), minutes=int(match[10] or 0))
        time -= away if match[8] == "+" else -away
    return time


def _binary(text: str) -> str:
    try:
        return base64.b64decode(text).decode("utf-8", "surrogateescape")
    except (binascii.Error, UnicodeError) as error:
        raise ValueError(text) from error


_TYPES: dict[str, Callable[[str], Typed]] = {
    STR: str,
    NULL: lambda _: None,
    _NAMESPACE + "bool": _bool,
    _NAMESPACE + "int": _int,
    _DECIMAL: lambda text: int(text.replace("_", "")),
    _NAMESPACE + "float": _float,
    _NAMESPACE + "timestamp": _timestamp,
    _NAMESPACE + "binary": _binary,
}
