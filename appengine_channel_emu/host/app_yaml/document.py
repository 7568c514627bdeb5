"""YAML files as trees of values that know their line.

Values are typed and made text as App Engine's own reader did it (`yaml11`): `version: 010` is 8. As that reader, this
one takes no anchors and aliases; nothing is constructed from a file but plain values, lists and mappings.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import yaml

from appengine_channel_emu.hints import nearest

from . import yaml11

LARGEST_FILE = 256 * 1024
"""Bytes; a hundred handlers, the most that App Engine took, fit in a tenth of it."""

DEEPEST = 16
"""Levels of lists and mappings; app.yaml needs four."""

_LONGEST_TEXT = 400
_BYTE_ORDER_MARKS = ((codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


class BadAppYaml(ValueError):
    """A file that cannot be used; the text names file and line, and says what is wrong and what to do."""


@dataclass(frozen=True)
class Value:
    """One value of a file: plain, a list or a mapping. `file` is its name for error texts."""

    node: yaml.Node
    file: str

    @property
    def line(self) -> int:
        """Where the value begins, counted from 1."""
        return int(self.node.start_mark.line) + 1

    @property
    def place(self) -> str:
        """File and line, as texts begin with them."""
        return f"{self.file}, line {self.line}"

    def error(self, text: str) -> BadAppYaml:
        """The error that says `text` of this value, shortened where it quotes a very long one."""
        return BadAppYaml(f"{self.place}: {_shortened(text)}")

    @property
    def is_plain(self) -> bool:
        """Whether the value is neither a list nor a mapping."""
        return isinstance(self.node, yaml.ScalarNode)

    @property
    def is_list(self) -> bool:
        return isinstance(self.node, yaml.SequenceNode)

    @property
    def is_empty(self) -> bool:
        """Whether nothing stands there: `handlers:` alone."""
        return self.is_plain and self.node.tag == yaml11.NULL

    @property
    def written(self) -> str:
        """The plain value as it was written, which is what names of fields are taken as."""
        return str(self.node.value)

    def typed(self, name: str) -> yaml11.Typed:
        """The plain value, typed by YAML 1.1; what its type cannot have stays text. `name` is what errors call it."""
        if not self.is_plain:
            raise self.error(f"{name} must be a plain value, not a {'list' if self.is_list else 'mapping'}")
        try:
            return yaml11.typed(self.written, self.node.tag)
        except ValueError:
            return self.written
        except KeyError:
            raise self.error(f"App Engine reads no tag {self.node.tag!r}: write the value without it") from None

    def text(self, name: str) -> str:
        """The text of the plain value, once it is typed."""
        value = self.typed(name)
        if value is None:
            raise self.error(f"{name} has no value; leave the line out, or write '' for an empty text")
        return yaml11.as_text(value)

    def items(self, name: str) -> list[Value]:
        """The values of a list; an empty value is an empty list."""
        if self.is_empty:
            return []
        if not self.is_list:
            raise self.error(f"{name} must be a list: a line '- …' for each of its parts")
        return [Value(node, self.file) for node in self.node.value]

    def entries(self, name: str) -> Iterator[tuple[Value, Value]]:
        """Key and value of each entry of a mapping, every key once; an empty value is an empty mapping."""
        if self.is_empty:
            return
        if not isinstance(self.node, yaml.MappingNode):
            raise self.error(f"{name} must be a mapping: lines of 'field: value'")
        seen: dict[str, int] = {}
        for key_node, value_node in self.node.value:
            key = Value(key_node, self.file)
            if not key.is_plain:
                raise key.error(f"a field of {name} must be a plain value, not a list or mapping")
            text = key.written
            if text in seen:
                raise key.error(f"{text} stands here a second time; the first is in line {seen[text]}")
            seen[text] = key.line
            yield key, Value(value_node, self.file)


class Placed(Protocol):
    """What stands somewhere in a file; `place` is the file and the line."""

    @property
    def place(self) -> str: ...


class Notes:
    """Lines for the user about what was read, in its order.

    all:      every line.
    mistakes: those for what has another effect than its author may think, wherever the app runs. The others are for
              what App Engine had and this server has not.
    """

    def __init__(self) -> None:
        self.all: list[str] = []
        self.mistakes: list[str] = []

    def mistake(self, at: Placed, text: str) -> None:
        """Something that has another effect than its author may think."""
        self.unserved(at, text)
        self.mistakes.append(self.all[-1])

    def unserved(self, at: Placed, text: str) -> None:
        """Something that App Engine had and this server has not."""
        self.all.append(f"{at.place}: {_shortened(text)}")


class Fields:
    """The fields of a mapping of which every name is known.

    name:    what errors call the mapping.
    known:   names of fields that are served.
    ignored: names of fields that exist but are not served here.
    """

    def __init__(self, value: Value, name: str, known: Iterable[str], ignored: Iterable[str] = ()) -> None:
        self.value = value
        self.name = name
        self._given: dict[str, Value] = {}
        self.ignored: list[Value] = []
        known, ignored = set(known), set(ignored)
        for key, field in value.entries(name):
            text = key.written
            if text in known:
                self._given[text] = field
            elif text in ignored:
                self.ignored.append(key)
            else:
                raise key.error(f"{name} has no field {text!r}{nearest(text, sorted(known | ignored))}")

    def get(self, name: str) -> Value | None:
        """The value of a field; None when it is not given, or nothing stands after its colon."""
        value = self._given.get(name)
        return None if value is None or value.is_empty else value

    def __contains__(self, name: str) -> bool:
        return name in self._given

    def need(self, name: str, why: str) -> Value:
        """The value of a field that must be there; `why` completes the error text."""
        value = self.get(name)
        if value is None:
            raise self._given.get(name, self.value).error(f"{self.name} needs a field {name}: {why}")
        return value


class _Loader(yaml.SafeLoader):
    """Composes nodes, of bounded depth, without anchors; plain values get the tag that App Engine's reader saw."""

    file = ""
    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        place = f"{self.file}, line {event.start_mark.line + 1}"
        if getattr(event, "anchor", None) is not None:
            raise BadAppYaml(f"{place}: App Engine reads no anchors (&) and aliases (*): write the value out")
        if self.depth >= DEEPEST:
            raise BadAppYaml(f"{place}: more than {DEEPEST} levels of lists and mappings, one in the other")
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def resolve(self, kind: type[yaml.Node], value: str | None, implicit: tuple[bool, bool] | bool) -> str:
        if kind is yaml.ScalarNode and isinstance(implicit, tuple) and value is not None:
            return yaml11.tag_of(value, self.yaml_version) if implicit[0] else yaml11.STR
        return str(super().resolve(kind, value, implicit))  # type: ignore[no-untyped-call]


def read_document(path: Path, name: str) -> Value | None:
    """The one document of a YAML file, None for an empty file. Raises `BadAppYaml`, which calls the file `name`."""
    text = read_text(path, name)
    try:
        loader = _Loader(text)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise BadAppYaml(f"{name}, line {line}: is not YAML: it holds a control character") from None
    loader.file = name
    try:
        node = loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{name}, line {mark.line + 1}" if mark else name
        raise BadAppYaml(f"{where}: is not YAML: {_joined(error.context, error.problem)}") from None
    except yaml.YAMLError as error:
        raise BadAppYaml(f"{name}: is not YAML: {error}") from None
    finally:
        loader.dispose()
    return None if node is None else Value(node, name)


def read_text(path: Path, name: str) -> str:
    """The text of a YAML file, in whichever encoding. Raises `BadAppYaml`."""
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST_FILE + 1)
    except OSError as error:
        raise BadAppYaml(f"{path}: cannot be read: {error.strerror}") from None
    if len(data) > LARGEST_FILE:
        raise BadAppYaml(f"{name}: is larger than {LARGEST_FILE // 1024} KiB, too large for an app.yaml")
    try:
        text = data.decode(next((name for mark, name in _BYTE_ORDER_MARKS if data.startswith(mark)), "utf-8-sig"))
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise BadAppYaml(f"{name}, line {line}: is not UTF-8 text: save it in that encoding") from None
    for number, line_text in enumerate(text.splitlines(), 1):
        if yaml.reader.Reader.NON_PRINTABLE.search(line_text):
            raise BadAppYaml(f"{name}, line {number}: has a control character")
    return text


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]}…"


def _joined(context: str | None, problem: str | None) -> str:
    return ", ".join(part for part in (context, problem) if part)
