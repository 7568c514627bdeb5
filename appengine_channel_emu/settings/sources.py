"""Where settings come from: flags, ``CHANNEL_EMU_*`` variables, ``channel-emu.yaml``, in that precedence."""

from __future__ import annotations

import argparse
import dataclasses
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import yaml

from appengine_channel_emu.environment import REDIS_PASSWORD, path_of
from appengine_channel_emu.hints import nearest, reason
from appengine_channel_emu.settings.kinds import MIB, Kind
from appengine_channel_emu.settings.table import GROUPS, TABLE, Settings

CONFIG_FILE = "channel-emu.yaml"
VARIABLE_PREFIX = "CHANNEL_EMU_"
# Variables with our prefix that are no settings: the file of settings, the cache of downloads, and what no command line
# may have.
OTHER_VARIABLES = ("CHANNEL_EMU_CONFIG", "CHANNEL_EMU_CACHE", REDIS_PASSWORD)

# What Kubernetes and Docker's links put into every container beside a service called channel-emu, or channel-emu-more.
_INJECTED = re.compile(
    r"CHANNEL_EMU_(\w+_)?"
    r"(SERVICE_(HOST|PORT(_\w+)?)|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|ADDR|PORT|START|END|PORT_START|PORT_END))?)"
    r"|CHANNEL_EMU_(NAME|ENV_\w+)"
)
_INJECTED_PORT = re.compile(r"(tcp|udp|sctp)://\S+")


class BadSetting(ValueError):
    """A setting that is unknown or has a bad value; the text says where it stands and what to do."""


def add_flags(
    parser: argparse.ArgumentParser, without: Collection[str] = (), own: Mapping[str, str] | None = None
) -> None:
    """Give `parser` a flag for each setting, and ``--config``. Values stay text; :func:`load` reads them.

    `without` are names of settings (as in `TABLE`) that get none; `own` are defaults of the command's own, which its
    help names: there a flag alone changes the setting.
    """
    own = own or {}
    config_help = f"file of settings (default: {CONFIG_FILE} in the current folder, if there is one)"
    parser.add_argument("--config", metavar="FILE", default=argparse.SUPPRESS, help=config_help)
    for title in GROUPS:
        named = {
            name: field for name, field in TABLE.items() if field.metadata["group"] == title and name not in without
        }
        if named:
            group = parser.add_argument_group(title)
            for name, field in named.items():
                _add_flag(group, name, field, own.get(name))


def _add_flag(group: argparse._ArgumentGroup, name: str, field: dataclasses.Field[Any], own: str | None) -> None:
    facts = field.metadata
    kind: Kind[Any] = facts["kind"]
    options: dict[str, Any] = {"default": argparse.SUPPRESS, "help": _help(field, own)}
    if facts["positional"]:
        group.add_argument(name, nargs="?", metavar=kind.metavar, **options)
        return
    if kind.switch:
        # A second "no" would be refused by argparse.
        negated = name.startswith("no-")
        options["action"] = "store_true" if negated else argparse.BooleanOptionalAction
    else:
        options["metavar"] = kind.metavar
    if kind.many:
        options["action"] = "append"
    short, stands_for = facts["short"], facts["short_for"]
    group.add_argument(*([short] if short and not stands_for else []), f"--{name}", **options)
    if stands_for:
        text = f"the same as --{name} {stands_for}"
        constant = {"action": "store_const", "const": stands_for, "default": argparse.SUPPRESS}
        group.add_argument(short, dest=field.name, help=text, **constant)


def load(flags: Mapping[str, Any], environ: Mapping[str, str], folder: Path, without: Collection[str] = ()) -> Settings:
    """The settings of one run: `flags` over `environ` over the YAML file over the defaults.

    `flags` maps attribute names to what :func:`add_flags` parsed (and ``config``); relative paths start
    from `folder`, those in a YAML file from the file's own. A value that another source overrides is not looked at,
    nor is that of a setting in `without`, which has its default. Raises :class:`BadSetting`.
    """
    given = dict(flags)
    config = given.pop("config", None) or environ.get("CHANNEL_EMU_CONFIG", "").strip()
    values: dict[str, Any] = {}
    for attribute, value in given.items():
        name = attribute.replace("_", "-")
        where = "APP" if TABLE[name].metadata["positional"] else f"--{name}"
        values[attribute] = _read(name, value, where, folder)
    unread = {TABLE[name].name for name in without}
    values |= _from_environment(environ, folder, unread | values.keys())
    values |= _from_file(_config_path(config, folder), unread | values.keys())
    settings = Settings(**values)
    _check_together(settings)
    return settings


def _check_together(settings: Settings) -> None:
    """Refuse values that are good each by itself. Raises :class:`BadSetting`."""
    if settings.redis is None:
        alone = ("redis_name", "redis_password_file", "node_name")
        named = [name for name in alone if getattr(settings, name) is not None]
        if named:
            raise BadSetting(f"--{named[0].replace('_', '-')}: says something only with --redis URL")
        return
    if settings.tabs == "split":
        raise BadSetting("--tabs: split is not possible with --redis; give fanout or single")


def redis_password(settings: Settings, environ: Mapping[str, str]) -> str | None:
    """The password of the Redis, from a file or the environment; no setting, because those are shown.

    Raises :class:`BadSetting`.
    """
    variable = environ.get(REDIS_PASSWORD) or None
    path = settings.redis_password_file
    if path is None:
        return variable
    if variable is not None:
        raise BadSetting(f"--redis-password-file: {REDIS_PASSWORD} is set, too; leave one of both out")
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise BadSetting(f"--redis-password-file: {path} cannot be read: {why}") from None
    if not lines or not lines[0]:
        raise BadSetting(f"--redis-password-file: the first line of {path} is empty; write the password there")
    return lines[0]


def _config_path(config: str | None, folder: Path) -> Path | None:
    if not config:
        path = folder / CONFIG_FILE
        return path if path.exists() else None
    try:
        return path_of(config, folder)
    except ValueError as error:
        raise BadSetting(f"--config or CHANNEL_EMU_CONFIG: {error}") from None


def _from_environment(environ: Mapping[str, str], folder: Path, unread: Collection[str]) -> dict[str, Any]:
    names = {VARIABLE_PREFIX + field.name.upper(): name for name, field in TABLE.items()}
    values: dict[str, Any] = {}
    for variable in sorted(environ):
        if not _is_for_us(variable, environ[variable]):
            continue
        if variable not in names:
            hint = nearest(variable, [*names, *OTHER_VARIABLES])
            raise BadSetting(f"environment: there is no setting {variable}{hint}")
        name = names[variable]
        if TABLE[name].name not in unread:
            values[TABLE[name].name] = _read(name, environ[variable], variable, folder)
    return values


def _is_for_us(variable: str, value: str) -> bool:
    """Whether a variable is meant as a setting: it has our prefix, has a value, and no orchestrator has made it."""
    if not variable.startswith(VARIABLE_PREFIX) or variable in OTHER_VARIABLES or not value.strip():
        return False
    if variable.endswith("_PORT") and _INJECTED_PORT.fullmatch(value):
        return False
    return _INJECTED.fullmatch(variable) is None


def _from_file(path: Path | None, unread: Collection[str]) -> dict[str, Any]:
    if path is None:
        return {}
    values: dict[str, Any] = {}
    seen: set[str] = set()
    for key, node in _entries(path):
        where = f"{path.name}, line {key.start_mark.line + 1}"
        name = str(key.value)
        if name not in TABLE:
            hint = nearest(name.replace("_", "-"), TABLE)
            raise BadSetting(f"{where}: there is no setting {name!r}{hint}")
        field = TABLE[name]
        if name in seen:
            raise BadSetting(f"{where}: {name} stands here a second time")
        seen.add(name)
        if field.name in unread:
            continue
        where = f"{where}, {name}"
        values[field.name] = _read(name, _text_of(node, where, field.metadata["kind"]), where, path.parent)
    return values


def _entries(path: Path) -> list[tuple[yaml.Node, yaml.Node]]:
    """Keys and values as YAML nodes: they keep the text as written (`off` is not False) and its line."""
    try:
        text = path.read_text("utf-8")
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except OSError as error:
        raise BadSetting(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise BadSetting(f"{path}: is not UTF-8 text (byte {error.start})") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f", line {mark.line + 1}" if mark else ""
        raise BadSetting(f"{path.name}{line}: is not YAML: {error.problem or error.context}") from None
    except yaml.YAMLError as error:
        raise BadSetting(f"{path.name}: is not YAML: {str(error).splitlines()[0]}") from None
    if root is None:
        return []
    if not isinstance(root, yaml.MappingNode):
        raise BadSetting(f"{path.name}: must be lines of 'setting: value', such as 'port: 8081'")
    return list(root.value)


def _text_of(node: yaml.Node, where: str, kind: Kind[Any]) -> str | list[str]:
    if isinstance(node, yaml.SequenceNode) and kind.many:
        if all(isinstance(item, yaml.ScalarNode) for item in node.value):
            return [item.value for item in node.value]
        raise BadSetting(f"{where}: must be a list of plain values")
    if not isinstance(node, yaml.ScalarNode):
        raise BadSetting(f"{where}: must be a plain value" + (" or a list of them" if kind.many else ""))
    if node.tag == "tag:yaml.org,2002:null":
        raise BadSetting(f"{where}: has no value; leave the line out to get the default")
    return str(node.value)


def _read(name: str, value: str | bool | list[str], where: str, folder: Path) -> Any:
    kind: Kind[Any] = TABLE[name].metadata["kind"]
    if isinstance(value, bool):
        return value
    try:
        if isinstance(value, list):
            return tuple(part for item in value for part in kind.read(item, folder))
        return kind.read(value, folder)
    except ValueError as error:
        raise BadSetting(f"{where}: {error}") from None
    except OSError as error:
        raise BadSetting(f"{where}: {value!r} cannot be looked at: {reason(error)}") from None


def _help(field: dataclasses.Field[Any], own: str | None) -> str:
    if own is not None:
        return f"{field.metadata['help']} (default: {own})".replace("%", "%%")
    text = str(field.metadata["help"])
    if "(default:" not in text and field.default not in (None, (), False):
        text += f" (default: {_written(field.default)})"
    return text.replace("%", "%%")


def _written(value: object) -> str:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, int) and value >= MIB and value % MIB == 0:
        return f"{value // MIB}MiB"
    return str(value)
