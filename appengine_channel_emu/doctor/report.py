"""A report as text for people, and as JSON for programs. docs/doctor.md has the shape of the latter."""

from __future__ import annotations

import dataclasses
import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from appengine_channel_emu import __version__
from appengine_channel_emu.doctor.app import AppReport
from appengine_channel_emu.doctor.diagnosis import LEVELS, Diagnosis, Level, Place
from appengine_channel_emu.doctor.topics import APP_YAML, FILES, GROUPS, RUN, SERVICES, TOPICS

MOST_PLACES, FEW_PLACES = 50, 3
"""Places of one finding that the text shows, and of one that says little; JSON has all of them."""

_NARROWEST, _WIDEST = 60, 110
_INDENT = " " * 11


@dataclass(frozen=True, slots=True)
class DoctorReport:
    """What the machine has, and the app, if one was asked for."""

    machine: tuple[Diagnosis, ...]
    app: AppReport | None = None

    @property
    def runs(self) -> bool:
        """Whether nothing keeps from running what was asked about."""
        return not any(each.level == "problem" for each in self._all()) and (self.app is None or self.app.runs)

    def counts(self) -> dict[Level, int]:
        """How many findings there are of each level."""
        found = Counter(each.level for each in self._all())
        return {level: found[level] for level in LEVELS}

    def _all(self) -> Iterator[Diagnosis]:
        yield from self.machine
        if self.app is not None:
            yield from self.app.found


def as_json(report: DoctorReport) -> dict[str, Any]:
    """The report in plain JSON values."""
    app = report.app
    return {
        "version": __version__,
        "runs": report.runs,
        "counts": report.counts(),
        "machine": [_finding(each) for each in report.machine],
        "app": None if app is None else {
            "path": app.path,
            "kind": app.way.kind,
            "runtime": app.way.config.runtime if app.way.config else None,
            "files": app.files,
            "runs": app.runs,
            "commands": app.way.commands,
            "findings": [{"group": TOPICS[each.topic].group} | _finding(each) for each in app.found],
        },
    }  # fmt: skip


def _finding(found: Diagnosis) -> dict[str, Any]:
    return dataclasses.asdict(found)


def as_text(report: DoctorReport, columns: int) -> Iterator[str]:
    """The lines of the report, for a terminal of so many columns."""
    width = max(_NARROWEST, min(_WIDEST, columns))
    yield "This machine"
    for each in report.machine:
        yield from _paragraph(each, width, quiet=each.level == "ok")
    if report.app is not None:
        yield from _app(report.app, width)
    yield ""
    yield _summary(report)


def _app(app: AppReport, width: int) -> Iterator[str]:
    yield ""
    yield f"The app: {app.path} ({app.files} {'file' if app.files == 1 else 'files'})"
    for group in GROUPS:
        found = [each for each in app.found if TOPICS[each.topic].group == group]
        if not found:
            continue
        yield ""
        yield f"  {group if group == APP_YAML else group[:1].upper() + group[1:]}"
        for each in found:
            yield from _paragraph(
                each, width, quiet=False, most=FEW_PLACES if group in (SERVICES, FILES) else MOST_PLACES
            )
        if group == RUN and app.way.commands:
            yield ""
            yield f"{_INDENT}{'Run it with:' if app.runs else 'To run it:'}"
            yield from (f"{_INDENT}  {command}" for command in app.way.commands)


def _paragraph(found: Diagnosis, width: int, *, quiet: bool, most: int = MOST_PLACES) -> Iterator[str]:
    """One finding; `quiet` leaves out what is for the curious."""
    head = textwrap.wrap(found.what, width - len(_INDENT), break_long_words=False, break_on_hyphens=False)
    for at, line in enumerate(head or [""]):
        yield f"  {found.level:<9}{line}" if at == 0 else f"{_INDENT}{line}"
    yield from _places(found.places, width, most)
    said = (("here", found.here), ("in production", found.production), ("to do", found.advice))
    for name, text in said if not quiet else ():
        if text:
            yield from textwrap.wrap(
                f"{name}: {text}", width, initial_indent=_INDENT, subsequent_indent=f"{_INDENT}  ",
                break_long_words=False, break_on_hyphens=False,
            )  # fmt: skip


def _places(places: Sequence[Place], width: int, most: int) -> Iterator[str]:
    shown = places[:most]
    longest = min(max((len(str(each)) for each in shown), default=0), width // 3)
    for each in shown:
        line = f"{_INDENT}  {each!s:<{longest}}  {each.text}".rstrip()
        yield line if len(line) <= width else f"{line[: width - 1]}…"
    if len(places) > most:
        yield f"{_INDENT}  and {len(places) - most} more (--json has all)"


def _summary(report: DoctorReport) -> str:
    counts = report.counts()
    said = _joined(f"{counts[level]} {level}{'' if counts[level] == 1 else 's'}" for level in LEVELS[:0:-1])
    if report.app is None:
        return f"This machine: {said}. With an app: channel-emu doctor APP"
    verdict = f"It runs: {report.app.way.commands[0]}" if report.runs else "It does not run here yet: see the problems"
    return f"{verdict} ({said})"


def _joined(parts: Iterable[str]) -> str:
    return ", ".join(parts)
