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
    from appengine_channel_emu.host.app_yaml import AppConfig
    from appengine_channel_emu.host.backend import Backend

log = logging.getLogger("channel_emu")

NEEDS_SDK = (
    "{path} is for the runtime {runtime}, and {need}, a part of Google's SDK, which this version does not run. "
    "With --no-sdk the app is tried under Python 3 all the same: google.appengine.api.channel and users are there."
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
    log_to_stderr(settings)
    try:
        return _serve(target, settings)
    except _CannotServe as error:
        print(f"channel-emu: {error}", file=sys.stderr)
        return COULD_NOT_START


class _CannotServe(Exception):
    """The app is not one that can be served; the text says why."""


def _serve(target: Target, settings: Settings) -> int:
    # Imported here so that --help and mistakes in the command answer at once.
    from appengine_channel_emu.server.run import serve

    if isinstance(target, AppYaml):
        config = _app_config(target, settings)
        return serve(settings, lambda address: _app_backend(config, settings, address))
    return serve(settings, lambda address: _backend(target, settings, address))


def _app_config(target: AppYaml, settings: Settings) -> AppConfig:
    from appengine_channel_emu.host.app_backend import read_config
    from appengine_channel_emu.host.app_checks import sdk_need
    from appengine_channel_emu.host.backend import CannotStart

    try:
        config = read_config(target.path)
    except CannotStart as error:
        raise _CannotServe(str(error)) from None
    if config.is_legacy_python and not settings.no_sdk:
        need = sdk_need(config, settings.python or sys.executable)
        if need is not None:
            raise _CannotServe(NEEDS_SDK.format(path=target.path, runtime=config.runtime, need=need))
        log.info("The app is for the runtime %s and needs nothing of its SDK: it runs under Python 3.", config.runtime)
    return config


def _app_backend(config: AppConfig, settings: Settings, address: str) -> Backend:
    from appengine_channel_emu.host.app_backend import AppBackend
    from appengine_channel_emu.host.app_checks import warn_of_missing_modules
    from appengine_channel_emu.host.app_reload import ReloadingBackend
    from appengine_channel_emu.host.instance_backend import InstanceBackend
    from appengine_channel_emu.host.login import SignIn, login_key

    python = settings.python or sys.executable
    sign_in = SignIn(login_key(settings.state_folder()))

    def make(config: AppConfig) -> AppBackend:
        warn_of_missing_modules(config, python)
        return AppBackend(
            config,
            address,
            lambda spec: InstanceBackend(spec, settings.request_deadline),
            sign_in,
            python=python,
            threads=settings.threads,
            instances=settings.instances,
        )

    return ReloadingBackend(config, make)


def _backend(target: Target, settings: Settings, address: str) -> Backend | None:
    if not isinstance(target, WsgiApp):
        return None
    from appengine_channel_emu.host.instance import AppSpec
    from appengine_channel_emu.host.instance_backend import InstanceBackend

    spec = AppSpec(str(target), target.folder, address, settings.python or sys.executable, settings.threads)
    return InstanceBackend(spec, settings.request_deadline)


def log_to_stderr(settings: Settings) -> None:
    """Everything but the ready line goes there (behaviour.md 12)."""
    level = settings.log_level.upper()
    logging.basicConfig(stream=sys.stderr, level=level, format="%(asctime)s %(levelname)-7s %(message)s")
