"""What every verb has: the parser of its options, with examples, and short errors."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import NoReturn
from urllib.parse import urlsplit

from appengine_channel_emu.cli.main import USAGE
from appengine_channel_emu.hints import nearest

WIDEST, NARROWEST = 100, 40
"""Columns of a help text, however wide or narrow the terminal is."""


class Parser(argparse.ArgumentParser):
    """argparse without abbreviations: an option that is almost right is an error with a hint.

    prog:     the command, such as `channel-emu send`.
    usage:    what follows the command; made by argparse if it is not given.
    examples: commands, each with what it does.
    """

    def __init__(
        self, prog: str, description: str, usage: str | None = None, examples: Sequence[tuple[str, str]] = ()
    ) -> None:
        # Imported where they are needed, as argparse does.
        import shutil

        self._width = max(NARROWEST, min(WIDEST, shutil.get_terminal_size().columns - 2))
        super().__init__(
            prog=prog,
            usage=usage and f"{prog} {usage}",
            description=self._head(description, examples),
            allow_abbrev=False,
            formatter_class=self._formatter,
        )

    def format_help(self) -> str:
        """See argparse; what follows the options is filled as the description is."""
        if self.epilog:
            import textwrap

            self.epilog = textwrap.fill(self.epilog, self._width)
        return super().format_help()

    def _formatter(self, prog: str) -> argparse.HelpFormatter:
        return argparse.RawDescriptionHelpFormatter(prog, max_help_position=28, width=self._width)

    def _head(self, description: str, examples: Sequence[tuple[str, str]]) -> str:
        import textwrap

        text = textwrap.fill(description, self._width)
        if examples:
            longest = max(len(command) for command, _ in examples)
            beside = [f"  {command:<{longest}}   {what}" for command, what in examples]
            below = [f"  {command}\n      {what}" for command, what in examples]
            fits = max(map(len, beside)) <= self._width + 2
            text += "\n\nexamples:\n" + "\n".join(beside if fits else below)
        return text

    def parse(self, argv: Sequence[str]) -> argparse.Namespace:
        """The options in `argv`; exits with :data:`USAGE` and a message if one is not known."""
        options, rest = self.parse_known_args(argv)
        if rest:
            word = rest[0].partition("=")[0]
            if word.startswith("-"):
                self.error(f"there is no option {word}{nearest(word, self._option_string_actions)}")
            self.error(f"one argument too many: {word!r}")
        return options

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and where the options are listed, and exit with :data:`USAGE`."""
        text = message.removeprefix("argument ")
        print(f"{self.prog}: error: {text}\nsee {self.prog} --help", file=sys.stderr)
        sys.exit(USAGE)


def whole_number(parser: Parser, name: str, text: str, low: int, most: int) -> int:
    """The number `text`, given as `name`; ends the program as a usage error unless it is from `low` to `most`."""
    if text.isascii() and text.isdigit() and len(text) < 10 and low <= int(text) <= most:
        return int(text)
    parser.error(f"{name}: {text!r} is not a whole number from {low} to {most}")


def check_url(parser: Parser, name: str, url: str, schemes: Sequence[str]) -> None:
    """End the program as a usage error unless `url`, given as `name`, begins with one of `schemes` and has a host."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        meant = "" if "://" in url else f"; did you mean http://{url}?"
        parser.error(f"{name}: {url!r} is no {schemes[0]}:// address{meant}")
