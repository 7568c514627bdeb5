"""docs/messages-do-not-arrive.md says what is tested, and is found."""

from __future__ import annotations

from tests.ways.document import DOCUMENT, with_tables
from tests.ways.table import TABLES, WAYS

FIRST_SCREEN = 45
"""Lines of the README that are seen without scrolling, or nearly."""


def test_the_tables_are_those_that_are_tested():
    text = DOCUMENT.read_text("utf-8")
    assert text == with_tables(text, TABLES), "python -m tests.ways.document writes them anew"


def test_there_are_many_and_each_has_a_name_of_its_own():
    assert len({way.name for way in WAYS}) == len(WAYS) >= 25


def test_the_first_screen_of_the_readme_links_to_it():
    readme = (DOCUMENT.parents[1] / "README.md").read_text("utf-8")
    assert "(docs/messages-do-not-arrive.md)" in "\n".join(readme.splitlines()[:FIRST_SCREEN])
