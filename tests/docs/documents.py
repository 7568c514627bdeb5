"""README.md and docs/: which documents there are, and the blocks of code in each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt

from tests.support.parts import ROOT

MARKDOWN = MarkdownIt("commonmark").enable("table")


@dataclass(frozen=True)
class Block:
    """One block of code, fenced or indented. `line` counts from 1, `heading` is the nearest one above."""

    document: str
    line: int
    heading: str
    language: str
    code: str

    @property
    def first_line(self) -> str:
        """By which a block is known in its document."""
        return self.code.splitlines()[0].strip() if self.code.strip() else ""


def documents() -> list[str]:
    """The paths of all documents that show code to users or contributors, from the root of the source tree."""
    there = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *(ROOT / "docs").rglob("*.md")]
    return sorted(str(path.relative_to(ROOT)) for path in there)


def text_of(document: str) -> str:
    """What stands in it."""
    return (ROOT / document).read_text("utf-8")


def blocks_of(document: str) -> list[Block]:
    """All its blocks of code, in order."""
    found, heading, in_heading = [], "", False
    for token in MARKDOWN.parse(text_of(document)):
        if token.type == "inline" and in_heading:
            heading = token.content
        in_heading = token.type == "heading_open"
        if token.type in ("fence", "code_block") and token.map:
            found.append(Block(document, token.map[0] + 1, heading, token.info.strip(), token.content))
    return found


def block(document: str, first_line: str) -> Block:
    """The one block of `document` that begins so."""
    (found,) = [each for each in blocks_of(document) if each.first_line == first_line]
    return found


def folder_of(document: str) -> Path:
    """The folder that its links start from."""
    return (ROOT / document).parent
