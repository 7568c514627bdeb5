"""``channel-emu serve [APP]``: the emulator in front of an app, or alone."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from appengine_channel_emu.cli.main import COULD_NOT_START
from appengine_channel_emu.cli.parsing import Parser
from appengine_channel_emu.host.app_kinds import AppYaml, WsgiApp, backend_maker, find_app, with_service_name
from appengine_channel_emu.host.errors import CannotStart
from appengine_channel_emu.settings import BadSetting, Settings, add_flags, load
from appengine_channel_emu.streams import JsonFormatter, LineFormatter, log_to

if TYPE_CHECKING:
    from appengine_channel_emu.web.admin.status import About

log = logging.getLogger("channel_emu")


def parser() -> Parser:
    """The options of `serve`: every setting."""
    made = Parser(
        prog="channel-emu serve",
        usage="[APP] [options] [-- OPTIONS OF dev_appserver.py]",
        description="Run the emulator, in front of an app or alone.",
        examples=[
            ("channel-emu serve main:app", "a WSGI app, in main.py"),
            ("channel-emu serve path/to/app", "an App Engine app"),
            ("channel-emu serve --upstream http://localhost:3000", "an app that runs already"),
            ("channel-emu serve -p 8081", "no app, on another port"),
            ("channel-emu serve main:app --fault 'poll cut'", "and every poll fails"),
        ],
    )
    add_flags(made)
    made.epilog = (
        "Each setting can also be a variable (CHANNEL_EMU_PORT=8081) or a line of channel-emu.yaml (port: 8081). "
        "What follows -- is for dev_appserver.py, for an app that Google's SDK runs."
    )
    return made


def run(argv: Sequence[str]) -> int:
    """Serve until SIGTERM or SIGINT; returns the exit code."""
    made = parser()
    argv, sdk_arguments = _split(argv)
    options = made.parse(argv)
    try:
        settings = load(vars(options), os.environ, Path.cwd())
        app = find_app(settings)
    except BadSetting as error:
        made.error(str(error))
    log_to_stderr(settings)
    return serve_app(app, settings, sdk_arguments)


def serve_app(
    app: AppYaml | WsgiApp | None,
    settings: Settings,
    sdk_arguments: Sequence[str] = (),
    greet: Callable[[Settings, About], None] | None = None,
) -> int:
    """Serve `app` until SIGTERM or SIGINT; returns the exit code.

    `sdk_arguments` are for dev_appserver.py; `greet` says what runs here, the banner where it is None.
    """
    try:
        settings = with_service_name(settings, app)
        make_backend = backend_maker(app, settings, sdk_arguments)
        # Imported here so that --help and mistakes in the command answer at once.
        from appengine_channel_emu.server.banner import show
        from appengine_channel_emu.server.run import serve

        return serve(settings, make_backend, greet or show)
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
    as_json = settings.log_format == "json"
    handler.setFormatter(JsonFormatter() if as_json else LineFormatter("%(asctime)s %(levelname)-7s %(message)s"))
    logging.basicConfig(handlers=[handler], level=level)
