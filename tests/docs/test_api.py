"""docs/api.md says what the docstrings say, of all that is public."""

from __future__ import annotations

from appengine_channel_emu import testing
from tests.docs.api import DOCUMENT, document


def test_it_is_made_of_the_docstrings_as_they_are():
    assert DOCUMENT.read_text("utf-8") == document(), "python -m tests.docs.api writes it anew"


def test_it_has_every_public_name():
    text = DOCUMENT.read_text("utf-8")
    assert [name for name in testing.__all__ if f"`{name}" not in text] == []
    assert "`create_channel(client_id, duration_minutes=None)`" in text
    assert "| `channel_client` |" in text
