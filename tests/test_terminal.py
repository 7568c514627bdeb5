"""What is printed to a terminal cannot command it."""

from __future__ import annotations

import logging
import sys

from appengine_channel_emu.cli import running
from appengine_channel_emu.streams import LineFormatter

HOSTILE = "two\nlines\x1b]0;title\x07\x9b2J\u202e"


def test_a_record_is_one_line():
    record = logging.LogRecord("x", logging.INFO, "", 0, "%s", (HOSTILE,), None)
    assert LineFormatter("%(message)s").format(record) == r"two\nlines\x1b]0;title\x07\x9b2J\u202e"


def test_a_traceback_keeps_its_lines_and_nothing_else():
    try:
        raise ValueError(HOSTILE)
    except ValueError:
        record = logging.LogRecord("x", logging.ERROR, "", 0, "failed", (), sys.exc_info())
    lines = LineFormatter("%(message)s").format(record).splitlines()
    assert lines[0] == "failed"
    assert lines[-2:] == ["ValueError: two", r"lines\x1b]0;title\x07\x9b2J\u202e"]


def test_tail_shows_a_message_as_it_is_to_a_file_and_harmless_to_a_terminal(monkeypatch):
    assert running._shown(HOSTILE) == HOSTILE
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert running._shown(HOSTILE) == "two\nlines\\x1b]0;title\\x07\\x9b2J\\u202e"
