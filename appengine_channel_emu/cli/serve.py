"""``channel-emu serve [APP]``: the emulator in front of an app, or alone."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from appengine_channel_emu.cli.parser import COULD_NOT_START, Parser
from appengine_channel_emu.cli.target import AppYaml, Target, WsgiApp, find_target
from appengine_channel_emu.settings import BadSetting, Settings, add_flags, load

if TYPE_CHECKING:
    from appengine_channel_emu.host.backend import Backend

APP_YAML_NOT_SERVED = (
    "{path} describes an App Engine app, and this version does not read app.yaml. To run the app's WSGI "
    "callable itself: channel-emu serve --app-dir {folder} module:callable"
)


def run(argv: Sequence[str]) -> int:
    """Serve until SIGTERM or SIGINT; returns the exit code."""
    parser = Parser(prog="channel-emu serve", description="Run the emulator, in front of an app or alone.")
    add_flags(parser)
    options = parser.parse(argv)
    try:
        settings = load(vars(options), os.environ, Path.cwd())
        target = find_target(settings)
    except BadSetting as error:
        parser.error(str(error))
    _log_to_stderr(settings)
    if isinstance(target, AppYaml):
        text = APP_YAML_NOT_SERVED.format(path=target.path, folder=target.path.parent)
        print(f"channel-emu: {text}", file=sys.stderr)
        return COULD_NOT_START
    return _serve(target, settings)


def _serve(target: Target, settings: Settings) -> int:
    # Imported here so that --help and mistakes in the command answer at once.
    from appengine_channel_emu.server.run import serve

    return serve(settings, lambda address: _backend(target, settings, address))


def _backend(target: Target, settings: Settings, address: str) -> Backend | None:
    if not isinstance(target, WsgiApp):
        return None
    from appengine_channel_emu.host.instance import AppSpec
    from appengine_channel_emu.host.instance_backend import InstanceBackend

    spec = AppSpec(str(target), target.folder, address, settings.python or sys.executable, settings.threads)
    return InstanceBackend(spec, settings.request_deadline)


def _log_to_stderr(settings: Settings) -> None:
    level = settings.log_level.upper()
    logging.basicConfig(stream=sys.stderr, level=level, format="%(asctime)s %(levelname)-7s %(message)s")
