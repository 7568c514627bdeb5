"""What every verb has: an argument parser whose refusals name what was perhaps meant, and the exit codes."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from appengine_channel_emu.hints import nearest

CLEAN_STOP = 0
COULD_NOT_START = 1
FAILED = 1
"""What was asked for has not come about: not delivered, not ready, lost, or not conformant."""
USAGE = 2
INTERRUPTED = 130


class Parser(argparse.ArgumentParser):
    """argparse without abbreviations: an option that is almost right is an error with a hint."""

    def __init__(self, *, prog: str, description: str) -> None:
        super().__init__(prog=prog, description=description, allow_abbrev=False)

    def parse(self, argv: Sequence[str]) -> argparse.Namespace:
        """The options in `argv`; exits with :data:`USAGE` and a message if one is not known."""
        options, rest = self.parse_known_args(argv)
        if rest:
            word = rest[0].partition("=")[0]
            if word.startswith("-"):
                self.error(f"there is no option {word}{nearest(word, self._option_string_actions)}")
            self.error(f"one argument too many: {word!r}")
        return options
