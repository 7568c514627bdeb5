"""The kinds of value a setting can have: how each is read from text, and what is wrong with a bad one.

Every source of settings (flag, environment, YAML) gives text, so that a value means the same wherever it
is written. A reader raises ValueError with a text that completes "--port: ".
"""

from __future__ import annotations

import ipaddress
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar, get_args
from urllib.parse import urlsplit

from appengine_channel_emu.environment import path_of
from appengine_channel_emu.faults import parse_fault

T = TypeVar("T")

KIB = 1024
MIB = 1024 * KIB
_SIZES = {"": 1, "b": 1, "k": KIB, "kib": KIB, "m": MIB, "mib": MIB, "g": 1024 * MIB, "gib": 1024 * MIB}
_ON = ("on", "true", "yes", "1")
_OFF = ("off", "false", "no", "0")
_LONGEST = 1e8
_HOST_NAME = re.compile(r"(?!-)[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\.?")


@dataclass(frozen=True)
class Kind(Generic[T]):
    """How a setting's value is written.

    `read` takes the text and the folder that a relative path starts from. `many` settings are a tuple:
    their flag can be repeated. A `switch` has a flag without a value.
    """

    metavar: str
    read: Callable[[str, Path], T]
    many: bool = False
    switch: bool = False


def kind(metavar: str, switch: bool = False) -> Callable[[Callable[[str, Path], T]], Kind[T]]:
    """Make a function that reads values into the kind of them."""
    return lambda read: Kind(metavar, read, switch=switch)


@kind("APP")
def text(value: str, _folder: Path) -> str:
    """Any text but none at all."""
    if not value.strip():
        raise ValueError("is empty; leave it out to get the default")
    return value


def whole(metavar: str, low: int, high: int | None = None) -> Kind[int]:
    """A whole number from `low` to `high`, both included."""
    bounds = f"from {low} to {high}" if high is not None else f"of {low} or more"

    def read(value: str, _folder: Path) -> int:
        # int() alone takes "1_000" and digits of other scripts.
        if not re.fullmatch(r"-?[0-9]{1,18}", value.strip()):
            raise ValueError(f"{value!r} is not a whole number; give one {bounds}")
        number = int(value)
        if number < low or (high is not None and number > high):
            raise ValueError(f"{value} is out of range; give a whole number {bounds}")
        return number

    return Kind(metavar, read)


def seconds(*, above_zero: bool = False) -> Kind[float]:
    """A plain number of seconds."""

    def read(value: str, _folder: Path) -> float:
        return _seconds(value, above_zero)

    return Kind("SECONDS", read)


@kind("SECONDS|off")
def seconds_or_off(value: str, _folder: Path) -> float | None:
    """A plain number of seconds above zero, or None for `off`."""
    if value.strip().lower() == "off":
        return None
    return _seconds(value, above_zero=True, other=", or off")


def _seconds(value: str, above_zero: bool, other: str = "") -> float:
    bounds = "above 0" if above_zero else "of 0 or more"
    wanted = f"give a number of seconds {bounds}, such as 30 or 0.5{other}"
    if not re.fullmatch(r"-?[0-9]+(\.[0-9]*)?|-?\.[0-9]+", value.strip()):
        raise ValueError(f"{value!r} is not a number of seconds; {wanted}")
    number = float(value)
    if number < 0 or (above_zero and number == 0) or number > _LONGEST:
        raise ValueError(f"{value} is out of range; {wanted}")
    return number


def size(low: int) -> Kind[int]:
    """A number of bytes of `low` or more; KiB, MiB or GiB may follow it."""

    def read(value: str, _folder: Path) -> int:
        match = re.fullmatch(r"([0-9]{1,18})\s*([A-Za-z]*)", value.strip())
        factor = _SIZES.get(match[2].lower()) if match else None
        if not match or factor is None:
            raise ValueError(f"{value!r} is not a size; give a number of bytes, or one such as 8MiB")
        number = int(match[1]) * factor
        if number < low:
            raise ValueError(f"{value} is too small; give at least {low} bytes")
        return number

    return Kind("BYTES", read)


@kind("on|off", switch=True)
def switch(value: str, _folder: Path) -> bool:
    """On or off; a flag without a value."""
    word = value.strip().lower()
    if word not in _ON + _OFF:
        raise ValueError(f"{value!r} is neither on nor off; give on or off")
    return word in _ON


def choice(literal: object) -> Kind[Any]:
    """One of the words of a typing.Literal."""
    words: tuple[str, ...] = get_args(literal)

    def read(value: str, _folder: Path) -> str:
        if value.strip() not in words:
            raise ValueError(f"{value!r} is not one of {', '.join(words)}")
        return value.strip()

    return Kind("|".join(words), read)


@kind("FOLDER")
def folder(value: str, base: Path) -> Path:
    """A folder that exists."""
    path = path_of(value, base)
    if not path.is_dir():
        raise ValueError(f"there is no folder {value!r}")
    if not os.access(path, os.X_OK):
        raise ValueError(f"{value!r} may not be entered by this user")
    return path


@kind("FOLDER|none")
def state_folder(value: str, base: Path) -> Path | Literal["auto", "none"]:
    """A folder, which need not exist yet; or one of the words `auto` and `none`."""
    if value == "auto" or value == "none":
        return value  # type: ignore[return-value]  # mypy widens a compared string
    path = path_of(value, base)
    if path.exists() and not path.is_dir():
        raise ValueError(f"{value!r} is a file; give a folder, or none")
    return path


@kind("PYTHON")
def interpreter(value: str, base: Path) -> str:
    """The path of a Python interpreter; a bare name is looked up on PATH."""
    wanted = str(path_of(value, base)) if "/" in value else value
    found = shutil.which(wanted)
    if not found:
        raise ValueError(f"there is no program {value!r} here; give the path of a Python interpreter")
    return found


@kind("HOST")
def host(value: str, _folder: Path) -> str:
    """A host name or an IP address, without a port."""
    name = value.strip().removeprefix("[").removesuffix("]")
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        pass
    if re.fullmatch(r"[^:/]+:[0-9]+", name):
        raise ValueError(f"{value!r} has a port; give the name alone, and the port with --port")
    if not _HOST_NAME.fullmatch(name):
        raise ValueError(f"{value!r} is not a host name; give one such as localhost, or an IP address")
    return name.lower().rstrip(".")


@kind("ADDRESS")
def address_or_any(value: str, _folder: Path) -> str:
    """An IP address, or `*` for every one."""
    if value.strip() == "*":
        return "*"
    try:
        return str(ipaddress.ip_address(value.strip()))
    except ValueError:
        raise ValueError(f"{value!r} is not an IP address; give one such as 127.0.0.1, or *") from None


@kind("ORIGIN")
def origin(value: str, _folder: Path) -> str:
    """A web origin as browsers send it: scheme, host and a port that is not the scheme's own."""
    try:
        parts = urlsplit(value.strip().lower())
        port = parts.port
    except ValueError:
        raise ValueError(f"{value!r} is not an origin; give one such as http://localhost:3000") from None
    extra = parts.path.strip("/") or parts.query or parts.fragment or parts.username
    if parts.scheme not in ("http", "https") or not parts.hostname or extra:
        raise ValueError(f"{value!r} is not an origin; give one such as http://localhost:3000")
    name = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    if port in (None, {"http": 80, "https": 443}[parts.scheme]):
        return f"{parts.scheme}://{name}"
    return f"{parts.scheme}://{name}:{port}"


@kind("URL")
def redis_url(value: str, _folder: Path) -> str:
    """The address of a Redis, without a password."""
    # Who has no Redis needs nothing of it.
    from appengine_channel_emu.broker.redis.target import RedisTarget

    RedisTarget.parse(value.strip())
    return value.strip()


@kind("NAME")
def short_name(value: str, _folder: Path) -> str:
    """A name that may be part of a key: letters, digits and a few signs."""
    name = value.strip()
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._:~-]{0,99}", name):
        raise ValueError(f"{value!r} is not a name; give up to 100 of A-Z, a-z, 0-9 and . _ : ~ -")
    return name


@kind("FILE")
def existing_file(value: str, base: Path) -> Path:
    """A file that exists."""
    path = path_of(value, base)
    if not path.is_file():
        raise ValueError(f"there is no file {value!r}")
    return path


@kind("FAULT")
def fault(value: str, _folder: Path) -> str:
    """A fault, as text that was checked (`appengine_channel_emu.faults`)."""
    parse_fault(value)
    return value


def many(kind: Kind[T]) -> Kind[tuple[T, ...]]:
    """Any number of values of another kind; in the environment, separated by commas."""

    def read(value: str, base: Path) -> tuple[T, ...]:
        return tuple(kind.read(part, base) for part in value.split(",") if part.strip())

    return Kind(kind.metavar, read, many=True)
