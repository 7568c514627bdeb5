"""Links between documents lead to documents, to headings and to pictures that are there."""

from __future__ import annotations

import re

import pytest

from tests.docs.documents import documents, folder_of, text_of
from tests.docs.links import anchors_of, elsewhere, links_of
from tests.support.parts import ROOT

FIRST_SCREEN = 25
"""Lines of the README that are seen without scrolling."""


@pytest.mark.parametrize("document", documents())
def test_links_lead_somewhere(document):
    lost = []
    for target in links_of(document):
        path, _, anchor = target.partition("#")
        if re.match(r"[a-z]+:", target):
            continue
        file = (folder_of(document) / path).resolve() if path else ROOT / document
        there = file.exists() and file.is_relative_to(ROOT)
        if there and anchor and file.suffix == ".md":
            there = anchor in anchors_of(str(file.relative_to(ROOT)))
        if not there:
            lost.append(target)
    assert lost == []


def test_what_leads_elsewhere_is_encrypted_and_known():
    """A machine without a network cannot ask them: `python -m tests.docs.links` lists them for one that can."""
    there = elsewhere()
    assert len(there) > 10
    assert [target for target in there if not target.startswith("https://")] == []


def test_the_first_screen_of_the_readme_leads_on():
    first = "\n".join(text_of("README.md").splitlines()[:FIRST_SCREEN])
    assert "\nchannel-emu demo" in first
    for name, target in (
        ("I have an old app", "docs/legacy-apps.md"),
        ("I write tests", "docs/testing.md"),
        ("My messages do not arrive", "docs/messages-do-not-arrive.md"),
    ):
        assert f"[{name}]({target})" in first
    assert first.count("![") == 1, "one picture"


def test_every_picture_is_shown_somewhere():
    shown = {(folder_of(document) / target).resolve() for document in documents() for target in links_of(document)}
    assert [path.name for path in (ROOT / "docs" / "images").iterdir() if path.resolve() not in shown] == []
