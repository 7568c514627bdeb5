"""The tables of docs/messages-do-not-arrive.md, made of the ways that are tested: `python -m tests.ways.document`."""

from __future__ import annotations

import re
from pathlib import Path

from appengine_channel_emu.environment import importable
from tests.ways.way import SILENT, Way

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "messages-do-not-arrive.md"

SAME = "the same"

_HEAD = "| what happened | the log | the console | a test |\n| --- | --- | --- | --- |\n"
_TABLE = re.compile(r"(?m)^\| what happened .*\n(?:\|.*(?:\n|\Z))+")


def table(ways: tuple[Way, ...]) -> str:
    """One table of Markdown."""
    return _HEAD + "".join(_row(way) for way in ways)


def with_tables(text: str, tables: dict[str, tuple[Way, ...]]) -> str:
    """`text`, the document, with the table below each heading made anew."""
    for heading, ways in tables.items():
        before, found, after = text.partition(f"## {heading}\n")
        assert found, f"no heading {heading!r}"
        text = before + found + _TABLE.sub(lambda match, ways=ways: table(ways), after, count=1)  # type: ignore[misc]
    return text


def _row(way: Way) -> str:
    log = way.log if way.log == SILENT else _code(way.log)
    console = f"*{way.view}*: {SAME if way.log.endswith(way.console) else _code(way.console)}"
    says = SAME if way.says == way.console else _code(way.says)
    return "| " + " | ".join([way.title, log, console, says]) + " |\n"


def _code(text: str) -> str:
    return f"`{text}`".replace("|", "\\|")


def main() -> None:
    """Write the document's tables anew."""
    with importable():
        from tests.ways.table import TABLES

    DOCUMENT.write_text(with_tables(DOCUMENT.read_text("utf-8"), TABLES), "utf-8")


if __name__ == "__main__":
    main()
