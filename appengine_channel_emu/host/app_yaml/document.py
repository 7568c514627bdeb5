"""YAML files as trees of values that know their line, each kind of value with the error for what is not one.

Values are typed and made text as App Engine's own reader did it (`python2`): `version: 010` is 8. As that reader, this
one takes no anchors and aliases; nothing is constructed from a file but plain values, lists and mappings.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import yaml

from appengine_channel_emu.hints import nearest

from . import python2

LARGEST_FILE = 256 * 1024
"""Bytes; a hundred handlers, the most that App Engine took, fit in a tenth of it."""

DEEPEST = 16
"""Levels of lists and mappings; app.yaml needs four."""

LONGEST_DURATION = 100 * 365 * 86400
"""Seconds; a longer one counts as this."""

_LONGEST_TEXT = 400
_FALSE = ("false", "no", "off", "n", "f", "0")
_TRUE = ("true", "yes", "on", "y", "t", "1", "")
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"\s*([0-9]+[DdHhMmSs]?)(\s+[0-9]+[DdHhMmSs]?)*\s*", re.ASCII)
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
        return self.is_plain and self.node.tag == python2.NULL

    @property
    def written(self) -> str:
        """The plain value as it was written, which is what names of fields are taken as."""
        return str(self.node.value)

    def find(self, name: str) -> Value | None:
        """The first value of a field, whatever else is wrong here; None where there is no such field, or no mapping."""
        entries = self.node.value if isinstance(self.node, yaml.MappingNode) else []
        return next((Value(value, self.file) for key, value in entries if key.value == name), None)

    def typed(self, name: str) -> python2.Typed:
        """The plain value, typed by YAML 1.1; what its type cannot have stays text. `name` is what errors call it."""
        if not self.is_plain:
            raise self.error(f"{name} must be a plain value, not a {'list' if self.is_list else 'mapping'}")
        try:
            return python2.typed(self.written, self.node.tag)
        except ValueError:
            return self.written
        except KeyError:
            raise self.error(f"App Engine reads no tag {self.node.tag!r}: write the value without it") from None

    def text(self, name: str) -> str:
        """The text of the plain value, once it is typed."""
        value = self.typed(name)
        if value is None:
            raise self.error(f"{name} has no value; leave the line out, or write '' for an empty text")
        return python2.as_text(value)

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

    def word(self, name: str, words: Sequence[str]) -> str:
        """One of `words`."""
        text = self.text(name)
        if text not in words:
            raise self.error(f"{name} cannot be {text!r}{nearest(text, words)}; it is one of {', '.join(words)}")
        return text

    def switch(self, name: str, warnings: Warnings) -> bool:
        """Yes or no, as App Engine's reader has it: every text is yes, a quoted "false" too, which is warned of."""
        if self.is_list:
            warnings.mistake(self, f"{name} is a list, which counts as false; write true or false")
            return False
        given = self.typed(name)
        if isinstance(given, str) and given.lower() not in _TRUE:
            hint = "leave the quotes out" if given.lower() in _FALSE else "write true or false"
            warnings.mistake(self, f"{name} is the text {given!r}, which counts as true; {hint}")
        return bool(given)

    def is_on(self, name: str) -> bool:
        """Yes or no, where only a word for no is no."""
        return self.text(name).lower() not in _FALSE

    def whole(self, name: str) -> int:
        """A whole number above 0."""
        text = self.text(name)
        if not re.fullmatch(r"[1-9][0-9]*", text):
            raise self.error(f"{name} must be a whole number above 0, not {text!r}")
        return int(text) if len(text) < 10 else 10**9

    def duration(self, name: str) -> int:
        """Seconds: a sum of days, hours, minutes and seconds such as "4d 5h" (facts.md 9.1)."""
        text = self.text(name)
        if not _DURATION.fullmatch(text):
            raise self.error(f"{name} must be a duration such as '4d 5h' or '10m', not {text!r}")
        parts = [(part.rstrip("DdHhMmSs").lstrip("0"), part.lstrip("0123456789").lower()) for part in text.split()]
        return min(sum(int(number[:12] or 0) * _UNITS[unit] for number, unit in parts), LONGEST_DURATION)

    def regex(self, name: str, text: str | None = None) -> re.Pattern[str]:
        """A regular expression of Python 2. `text` is it as it is compiled, if that is not the value itself."""
        text = self.text(name) if text is None else text
        try:
            return python2.regex(text)
        except (re.error, RecursionError, OverflowError) as error:
            raise self.error(f"{name} is not a regular expression: {error} in {text!r}") from None

    def header_text(self, name: str) -> str:
        """A text that can stand in a header."""
        text = self.text(name)
        if not re.fullmatch(r"[\x20-\x7e]*", text):
            raise self.error(f"{name} must be printable ASCII on one line")
        return text

    def mime_type(self, warnings: Warnings) -> str:
        """A MIME type, sent as it is: browsers make do with odd ones, which are warned of."""
        text = self.header_text("mime_type")
        if not re.fullmatch(r"[\w.+-]+/[\w.+-]+(\s*;.*)?", text, re.ASCII):
            warnings.mistake(self, f"mime_type is a type such as text/css; {text!r} is sent as it is")
        return text


class Placed(Protocol):
    """What stands somewhere in a file; `place` is the file and the line."""

    @property
    def place(self) -> str: ...


class Warnings:
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

    def items(self, name: str) -> list[Value]:
        """The values of a list; none when the field is not given."""
        value = self.get(name)
        return value.items(name) if value else []

    def entries(self, name: str) -> Iterator[tuple[Value, Value]]:
        """Key and value of each entry of a mapping; none when the field is not given."""
        value = self.get(name)
        return value.entries(name) if value else iter(())

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
            return python2.tag_of(value, self.yaml_version) if implicit[0] else python2.STR
        return str(super().resolve(kind, value, implicit))  # type: ignore[no-untyped-call]


def parse(text: str, name: str) -> Value | None:
    """The one document of a YAML file, None for an empty file. Raises `BadAppYaml`, which calls the file `name`."""
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
        raise BadAppYaml(f"{where}: is not YAML: {', '.join(filter(None, (error.context, error.problem)))}") from None
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
