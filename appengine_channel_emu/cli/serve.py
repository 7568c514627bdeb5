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
from appengine_channel_emu.host.backend import CannotStart
from appengine_channel_emu.settings import BadSetting, Settings, add_flags, load

if TYPE_CHECKING:
    from appengine_channel_emu.host.app_yaml import AppConfig
    from appengine_channel_emu.host.backend import Backend

def run(argv: Sequence[str]) -> int:
    """Serve until SIGTERM or SIGINT; returns the exit code."""
    parser = Parser(prog="channel-emu serve", description="Run the emulator, in front of an app or alone.")
    add_flags(parser)
    parser.epilog = "What follows -- is for dev_appserver.py, for an app that Google's SDK runs."
    argv, sdk_arguments = _split(argv)
    options = parser.parse(argv)
    try:
        settings = load(vars(options), os.environ, Path.cwd())
        target = find_target(settings)
    except BadSetting as error:
        parser.error(str(error))
    _log_to_stderr(settings)
    try:
        return _serve(target, settings, sdk_arguments)
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


def _serve(target: Target, settings: Settings, sdk_arguments: Sequence[str]) -> int:
    # Imported here so that --help and mistakes in the command answer at once.
    from appengine_channel_emu.server.run import serve

    if settings.upstream is not None:
        from appengine_channel_emu.host.upstream_backend import UpstreamBackend

        if settings.app is not None:
            raise CannotStart("--upstream is an app that runs already: leave APP out, or --upstream.")
        upstream, deadline = settings.upstream, settings.request_deadline
        return serve(settings, lambda address: UpstreamBackend(upstream, address, deadline))
    if isinstance(target, AppYaml) and not settings.no_sdk:
        from appengine_channel_emu.cli.sdk_door import sdk_backend
        from appengine_channel_emu.host.legacy_app import read_legacy_app

        legacy = read_legacy_app(target.path)
        if legacy is not None:
            return serve(settings, sdk_backend(legacy, settings, sdk_arguments))
    if sdk_arguments:
        raise CannotStart(f"{sdk_arguments[0]}: what follows -- is for dev_appserver.py, which does not run this app.")
    if isinstance(target, AppYaml):
        from appengine_channel_emu.host.app_backend import read_config

        config = read_config(target.path)
        return serve(settings, lambda address: _app_backend(config, settings, address))
    return serve(settings, lambda address: _backend(target, settings, address))


def _app_backend(config: AppConfig, settings: Settings, address: str) -> Backend:
    from appengine_channel_emu.host.app_backend import AppBackend
    from appengine_channel_emu.host.app_checks import warn_of_missing_modules
    from appengine_channel_emu.host.instance_backend import InstanceBackend
    from appengine_channel_emu.host.login import SignIn, login_key

    python = settings.python or sys.executable
    warn_of_missing_modules(config, python)
    return AppBackend(
        config,
        address,
        lambda spec: InstanceBackend(spec, settings.request_deadline),
        SignIn(login_key(settings.state_folder())),
        python=python,
        threads=settings.threads,
        instances=settings.instances,
    )


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
