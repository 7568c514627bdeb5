"""Lines of a child process: what is there is taken, and nobody waits for what is not."""

from __future__ import annotations

import os

from appengine_channel_emu.host import pipe_lines
from appengine_channel_emu.host.pipe_lines import PipeLines


def test_a_process_that_writes_as_fast_as_it_is_read_holds_nobody_up():
    reading, writing = os.pipe()
    taken = []

    def take(line):
        taken.append(line)
        assert len(taken) < 1000, "It goes on for as long as the process writes."
        os.write(writing, b"x" * 1023 + b"\n")

    with PipeLines(reading, take) as lines:
        os.write(writing, b"".join(b"%d\n" % number for number in range(10)))
        lines.catch_up()
        assert taken[:10] == [b"%d" % number for number in range(10)]
    os.close(writing)


def test_a_line_without_an_end_is_not_held_for_ever(monkeypatch):
    monkeypatch.setattr(pipe_lines, "LONGEST_LINE", 1000)
    reading, writing = os.pipe()
    taken = []
    with PipeLines(reading, taken.append) as lines:
        for _ in range(5):
            os.write(writing, b"x" * 600)
            lines.catch_up()
        os.write(writing, b"\nnext\n")
        os.close(writing)
        lines.follow()
    assert taken == [b"x" * 1200, b"x" * 1200, b"x" * 600, b"next"]


def test_a_line_that_comes_in_parts_is_one():
    reading, writing = os.pipe()
    taken = []
    with PipeLines(reading, taken.append) as lines:
        for part in (b"one\ntw", b"o a", b"nd more", b"\nthree\n\nfo"):
            os.write(writing, part)
            lines.catch_up()
        os.close(writing)
        lines.follow()
    assert taken == [b"one", b"two and more", b"three", b"", b"fo"]
