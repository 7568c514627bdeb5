"""What is printed to a terminal: in colour, and it cannot command it."""

from __future__ import annotations

import json
import logging
import os
import re
import sys

import pytest

from appengine_channel_emu.cli import messages
from appengine_channel_emu.streams import JsonFormatter, LineFormatter
from tests.support.emulator import EMU
from tests.support.terminal import Terminal

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
    assert messages._shown(HOSTILE) == HOSTILE
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert messages._shown(HOSTILE) == "two\nlines\\x1b]0;title\\x07\\x9b2J\\u202e"


def test_a_record_as_json_is_one_line_with_its_traceback():
    try:
        raise ValueError(HOSTILE)
    except ValueError:
        record = logging.LogRecord("x", logging.ERROR, "", 0, "%s", (HOSTILE,), sys.exc_info())
    line = JsonFormatter().format(record)
    assert line.isascii()
    assert line.isprintable()
    written = json.loads(line)
    assert (written["level"], written["logger"], written["message"]) == ("error", "x", HOSTILE)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", written["time"])
    assert written["exception"].endswith(f"ValueError: {HOSTILE}")


@pytest.mark.parametrize(
    ("variables", "colours"), [({"TERM": "xterm"}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)]
)
def test_the_banner_is_in_colour_where_that_is_wanted(variables, colours, tmp_path):
    kept = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    command = [*EMU, "serve", "--port", "0", "--state-dir", "none", "--app-dir", str(tmp_path)]
    with Terminal(command, kept | {"TERM": "xterm"} | variables) as terminal:
        shown = terminal.read_until(r"channel-emu: ready at http://127\.0\.0\.1:\d+\r\n")
    assert ("\x1b[" in shown) == colours
    plain = re.sub(r"\x1b\[\d*m", "", shown)
    url = plain.split()[-1]
    assert f"\r\n  console  {url}/_emu/\r\n" in plain
    assert "\x1b" not in plain
