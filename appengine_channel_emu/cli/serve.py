"""``channel-emu serve [APP]``: the emulator in front of an app, or alone."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from appengine_channel_emu.cli.main import COULD_NOT_START, Parser
from appengine_channel_emu.host.app_kinds import backend_maker, find_app
from appengine_channel_emu.host.errors import CannotStart
from appengine_channel_emu.settings import BadSetting, Settings, add_flags, load
from appengine_channel_emu.streams import LineFormatter, log_to

log = logging.getLogger("channel_emu")


def run(argv: Sequence[str]) -> int:
    """Serve until SIGTERM or SIGINT; returns the exit code."""
    parser = Parser(prog="channel-emu serve", description="Run the emulator, in front of an app or alone.")
    add_flags(parser)
    parser.epilog = "What follows -- is for dev_appserver.py, for an app that Google's SDK runs."
    argv, sdk_arguments = _split(argv)
    options = parser.parse(argv)
    try:
        settings = load(vars(options), os.environ, Path.cwd())
        app = find_app(settings)
    except BadSetting as error:
        parser.error(str(error))
    log_to_stderr(settings)
    try:
        make_backend = backend_maker(app, settings, sdk_arguments)
        # Imported here so that --help and mistakes in the command answer at once.
        from appengine_channel_emu.server.run import serve

        return serve(settings, make_backend)
    except CannotStart as error:
        print(f"channel-emu: {error}", file=sys.stderr)
        return COULD_NOT_START


def _split(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """Our arguments, and those behind `--`."""
    words = list(argv)
    if "--" not in words:
        return words, []
    at = words.index("--")
    return words[:at], words[at + 1 :]


def log_to_stderr(settings: Settings) -> None:
    """Everything but the ready line goes there (behaviour.md 12)."""
    level = settings.log_level.upper()
    if sys.stderr is not None:
        log_to(sys.stderr)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LineFormatter("%(asctime)s %(levelname)-7s %(message)s"))
    logging.basicConfig(handlers=[handler], level=level)
