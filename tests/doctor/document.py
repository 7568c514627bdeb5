"""The tables of docs/doctor.md, made of what doctor says: `python -m tests.doctor.document`."""

from __future__ import annotations

import re
from pathlib import Path

from appengine_channel_emu.doctor.services import SERVICES
from appengine_channel_emu.doctor.topics import APP_YAML, GROUPS, TOPICS
from appengine_channel_emu.doctor.topics import SERVICES as GROUP_OF_SERVICES

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "doctor.md"

_FINDINGS = "| finding | level | here | in production | to do |\n| --- | --- | --- | --- | --- |\n"
_SERVICES = "| service | modules of google.appengine | with the SDK | under Python 3 |\n| --- | --- | --- | --- |\n"
_TABLE = re.compile(r"(?m)^\| (?:finding|service) \|.*\n(?:\|.*(?:\n|\Z))+")


def tables() -> dict[str, str]:
    """Each table by the heading above it."""
    made = {}
    for group in GROUPS:
        heading = group if group == APP_YAML else group[:1].upper() + group[1:]
        if group == GROUP_OF_SERVICES:
            rows = [[each.name, ", ".join(each.modules), each.sdk, each.python3] for each in SERVICES]
            made[heading] = _SERVICES + "".join(map(_row, rows))
        else:
            found = [(name, each) for name, each in TOPICS.items() if each.group == group]
            made[heading] = _FINDINGS + "".join(
                _row([f"`{name}`: {each.what}", each.level, each.here, each.production, each.advice])
                for name, each in found
            )
    return made


def with_tables(text: str) -> str:
    """`text`, the document, with each table made anew."""
    for heading, table in tables().items():
        before, found, after = text.partition(f"### {heading}\n")
        assert found, f"no heading {heading!r}"
        text = before + found + _TABLE.sub(lambda match, table=table: table, after, count=1)  # type: ignore[misc]
    return text


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("<", "&lt;") for cell in cells) + " |\n"


if __name__ == "__main__":
    DOCUMENT.write_text(with_tables(DOCUMENT.read_text("utf-8")), "utf-8")
