"""Plain values of a YAML file as App Engine's reader types them, and the text that it makes of them.

It types a value by YAML 1.1 before a field takes it as text: `version: 010` is version 8, `DEBUG: yes` is `True`
(facts.md 9.1). The text is that of Python 2, in which the reader was written.
"""

from __future__ import annotations

import base64
import binascii
import datetime
import re
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
