"""The specification is in the repository, and what cites it names sections that exist."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SPEC = ROOT / "docs" / "spec"

_REFERENCE = re.compile(r"\b(behaviour|facts)\.md,?(?: sections?)? ((?:\d+(?:\.\d+)?(?:, | and | to )?)+)")
_QUOTED = re.compile(r'\b(behaviour|facts|design)\.md(?: [\d.]+)?, "([^"]+)"')
_HEADING = re.compile(r"^#+ (?:(\d+(?:\.\d+)?)\.? )?(.+)$", re.MULTILINE)


def _headings(name: str) -> tuple[set[str], set[str]]:
    found = _HEADING.findall((SPEC / f"{name}.md").read_text(encoding="utf-8"))
    return {number for number, _ in found if number}, {title for _, title in found}


def _texts():
    files = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    for name in files:
        if name.endswith((".py", ".js", ".md", ".yaml", ".toml", ".cfg")):
            # A reference may go on in the next line of a comment.
            text = (ROOT / name).read_text(encoding="utf-8", errors="replace")
            yield name, re.sub(r"\s*\n\s*(?:#|//|\*)?\s*", " ", text)


@pytest.mark.parametrize("document", ["behaviour", "facts"])
def test_every_reference_names_a_section_that_exists(document):
    numbers, _ = _headings(document)
    cited = [
        (name, number)
        for name, text in _texts()
        for which, list_of_numbers in _REFERENCE.findall(text)
        if which == document
        for number in re.findall(r"\d+(?:\.\d+)?", list_of_numbers)
    ]
    assert len(cited) > 20
    assert [(name, number) for name, number in cited if number not in numbers] == []


def test_every_reference_by_its_words_names_words_that_are_there():
    """A heading, or a term set in bold, such as "Store"."""
    for name, text in _texts():
        for which, words in _QUOTED.findall(text):
            document = (SPEC / f"{which}.md").read_text(encoding="utf-8")
            _, titles = _headings(which)
            assert words in titles or f"**{words}" in document or f"**The {words.lower()}" in document, (name, words)


def test_the_index_lists_every_document():
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    documents = sorted(path.relative_to(ROOT / "docs") for path in (ROOT / "docs").rglob("*.md"))
    assert [str(path) for path in documents if path.name != "README.md" and f"({path})" not in index] == []


def test_every_link_between_documents_leads_somewhere():
    documents = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    links = [
        (document, target)
        for document in documents
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", document.read_text(encoding="utf-8"))
    ]
    assert len(links) > 20
    assert [(str(document.name), target) for document, target in links if not (document.parent / target).exists()] == []


def test_the_table_of_events_has_every_kind_that_the_source_names_and_no_other():
    page = (ROOT / "docs" / "command-line.md").read_text(encoding="utf-8")
    table = page.partition("## Kinds of events")[2].partition("\n## ")[0]
    listed = {
        kind for row in re.findall(r"^\| (`[^|]+) \|", table, re.MULTILINE) for kind in re.findall(r"`(\w+)`", row)
    }
    package = ROOT / "appengine_channel_emu"
    source = "\n".join(path.read_text("utf-8") for path in package.rglob("*.py") if "compat" not in path.parts)
    made = set(re.findall(r'\b(?:event|_?note)\(\s*"([a-z]+_[a-z_]+|fault|reset)",', source))
    assert len(made) > 20
    lines = (package / "server" / "event_lines.py").read_text("utf-8")
    said = set(re.findall(r'^ +"([a-z_]+)"[:,]', lines, re.MULTILINE))
    said |= set(re.findall(r'"(clock_\w+)"', lines))
    assert listed >= made | said
    assert {kind for kind in listed if f'"{kind}"' not in source} == set()
