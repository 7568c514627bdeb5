"""The tables of what the emulator says have the emulator's own words."""

from __future__ import annotations

import ast
import re

import pytest

from tests.docs.documents import text_of
from tests.support.parts import ROOT

OF_OTHERS = (
    "ERR_SSL_PROTOCOL_ERROR",
    "cannot import name 'wrap_wsgi_app'",
    "ImportError: No module named django",
    "No space left on device",
)
"""Texts of the browser, of Python and of the system."""

ABOUT_CALLS = re.compile(r"--[\w-]+$|delivered_to: |/_ah/|channel_presence")
"""A setting, an answer, a path and an entry of app.yaml: told of, and no text to be met."""


@pytest.fixture(scope="module")
def texts():
    """All that the package's sources say; what they fill in is a blank line."""
    found = []
    for path in (ROOT / "appengine_channel_emu").rglob("*.py"):
        source = path.read_text("utf-8")
        if path.parent.name == "sdk":
            found.append(source)  # which Python 2 alone reads
            continue
        nodes = list(ast.walk(ast.parse(source)))
        docstrings = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
        constants = [node for node in nodes if isinstance(node, ast.Constant) and id(node) not in docstrings]
        found += [node.value for node in constants if isinstance(node.value, str)]
    return "\n\n".join(found)


@pytest.mark.parametrize("document", ["docs/troubleshooting.md", "docs/legacy-apps.md"])
def test_what_one_sees_is_what_the_sources_say(document, texts):
    table = re.split(r"\| (?:what )?you see \|.*\n", text_of(document))[1].partition("\n\n")[0]
    shown = [text for row in table.splitlines() for text in re.findall(r"`(.+?)`", row.split(" | ")[0])]
    assert len(shown) >= 10
    ours = [text for text in shown if text not in OF_OTHERS and not ABOUT_CALLS.match(text)]
    lost = {
        text: piece
        for text in ours
        # What is filled in: a name, a number, an address. Python says what kind of error it is.
        for piece in re.split(r"…|\b\d[\d.]*\b|^\w+Error: \w+|dev_appserver\.py", text)
        if piece.strip() and piece.strip() not in texts
    }
    assert lost == {}
