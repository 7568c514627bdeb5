"""Everything that the files of one app have to say."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from appengine_channel_emu.doctor.diagnosis import Place, Sighting
from appengine_channel_emu.doctor.names import AppModules
from appengine_channel_emu.doctor.python_source import NotPython, PythonTree, parse_python
from appengine_channel_emu.doctor.python_uses import calls_in_text, top_level, uses
from appengine_channel_emu.doctor.sources import SourceFile, SourceTree
from appengine_channel_emu.doctor.text_uses import text_uses

_LINE = re.compile(r"line (\d+): ")


@dataclass(slots=True)
class Look:
    """What was found below a folder: sightings, how many files there are, and which apps and languages."""

    sightings: list[Sighting] = field(default_factory=list)
    files: int = 0
    app_yamls: list[str] = field(default_factory=list)
    names: set[str] = field(default_factory=set)
    languages: set[str] = field(default_factory=set)

    def places(self, *topics: str) -> tuple[Place, ...]:
        """Where those topics were seen, in the order of the files."""
        return tuple(sorted({each.place for each in self.sightings if each.topic in topics}))

    def has(self, *topics: str) -> bool:
        """Whether one of them was seen."""
        return any(each.topic in topics for each in self.sightings)


def look(folder: Path, deadline: float) -> Look:
    """Read the files below `folder`; `deadline` of a request is in seconds. Raises nothing for what it finds there."""
    tree = SourceTree(folder)
    found = Look()
    modules = AppModules()
    first: list[tuple[SourceFile, PythonTree]] = []
    others: list[SourceFile] = []
    for file in tree:
        if file.ending != "py":
            found.sightings += text_uses(file)
        elif "channel" not in file.text:
            others.append(file)
        # What may import the API comes first, for what others import from it.
        elif (source := _parsed(file, found)) is not None:
            with contextlib.suppress(RecursionError):
                top_level(file, source, modules)
            first.append((file, source))
    for file, source in first:
        _collect(file, source, modules, deadline, found)
    first.clear()
    for file in others:
        # Not all at once: trees are large.
        if (source := _parsed(file, found)) is not None:
            _collect(file, source, modules, deadline, found)
    found.sightings += tree.passed_over
    found.files, found.app_yamls, found.names = tree.files, tree.app_yamls, tree.names
    found.languages = {topic for topic in ("go_call", "java_call", "php_call") if found.has(topic)}
    return found


def _parsed(file: SourceFile, found: Look) -> PythonTree | None:
    try:
        return parse_python(file.text)
    except NotPython as error:
        found.sightings += _not_python(file, str(error))
        return None


def _collect(file: SourceFile, source: PythonTree, modules: AppModules, deadline: float, found: Look) -> None:
    try:
        found.sightings += list(uses(file, source, modules, deadline))
    except RecursionError:
        found.sightings += _not_python(file, "an expression is nested too deeply")
    if source.python2 and not source.unread and not file.vendored:
        found.sightings.append(_python2(file, source.python2))


def _not_python(file: SourceFile, why: str) -> Iterable[Sighting]:
    yield Sighting("not_python", Place(file.name, _line_of(why), why))
    yield from calls_in_text(file)


def _python2(file: SourceFile, why: str) -> Sighting:
    return Sighting("python2_source", Place(file.name, _line_of(why), _LINE.sub("", why)))


def _line_of(why: str) -> int:
    match = _LINE.match(why)
    return int(match[1]) if match else 0
