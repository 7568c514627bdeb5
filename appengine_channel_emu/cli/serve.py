"""``channel-emu serve [APP]``: the emulator in front of an app, or alone."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from appengine_channel_emu.cli.parser import COULD_NOT_START, Parser
from appengine_channel_emu.cli.target import AppYaml, Target, WsgiApp, find_target
from appengine_channel_emu.host.errors import CannotStart
from appengine_channel_emu.settings import BadSetting, Settings, add_flags, load
from appengine_channel_emu.streams import LineFormatter, log_to

if TYPE_CHECKING:
    from appengine_channel_emu.host.app_yaml import AppConfig
    from appengine_channel_emu.host.backend import Backend

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
        target = find_target(settings)
    except BadSetting as error:
        parser.error(str(error))
    log_to_stderr(settings)
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
        from appengine_channel_emu.host.app_kinds import upstream_backend

        if settings.app is not None:
            raise CannotStart("--upstream is an app that runs already: leave APP out, or --upstream.")
        upstream, deadline = settings.upstream, settings.request_deadline
        return serve(settings, lambda address: upstream_backend(upstream, address, deadline))
    config = _config(target.path, settings) if isinstance(target, AppYaml) else None
    if config is not None and config.is_legacy_python and not settings.no_sdk:
        make = _sdk_backend(config, settings, sdk_arguments)
        if make is not None:
            return serve(settings, make)
    if sdk_arguments:
        raise CannotStart(f"{sdk_arguments[0]}: what follows -- is for dev_appserver.py, which does not run this app.")
    if config is not None:
        from appengine_channel_emu.host.app_backend import for_python3

        config = for_python3(config)
        return serve(settings, lambda address: _app_backend(config, settings, address))
    return serve(settings, lambda address: _backend(target, settings, address))


def _config(path: Path, settings: Settings) -> AppConfig:
    from appengine_channel_emu.host.app_yaml import BadAppYaml, read_app_yaml

    try:
        return read_app_yaml(path, sdk=not settings.no_sdk)
    except BadAppYaml as error:
        raise CannotStart(str(error)) from None


def _sdk_backend(
    config: AppConfig, settings: Settings, sdk_arguments: Sequence[str]
) -> Callable[[str], Backend] | None:
    """What makes the backend of an SDK app, None where Python 3 can run it too and has to. Raises `CannotStart`."""
    from appengine_channel_emu.cli.sdk_door import sdk_backend
    from appengine_channel_emu.host.app_backend import for_python3
    from appengine_channel_emu.host.app_checks import sdk_need
    from appengine_channel_emu.host.sdk import SdkMissing

    try:
        return sdk_backend(config, settings, sdk_arguments)
    except SdkMissing as missing:
        need = "it needs Python 2.7"
        if settings.sdk is None and not sdk_arguments:
            with contextlib.suppress(CannotStart):
                need = sdk_need(for_python3(config), settings.python or sys.executable) or ""
        if need:
            raise CannotStart(f"{config.path} is for the runtime {config.runtime}, and {need}.\n{missing}") from missing
        log.info("There is no SDK here, and the app needs nothing of it: it runs under Python 3.")
        return None


def _app_backend(config: AppConfig, settings: Settings, address: str) -> Backend:
    from appengine_channel_emu.host.app_backend import AppBackend
    from appengine_channel_emu.host.app_checks import warn_of_missing_modules
    from appengine_channel_emu.host.app_kinds import python3_backend
    from appengine_channel_emu.host.app_reload import ReloadingBackend
    from appengine_channel_emu.host.login import SignIn, login_key

    python = settings.python or sys.executable
    sign_in = SignIn(login_key(settings.state_folder()))

    def make(config: AppConfig) -> AppBackend:
        warn_of_missing_modules(config, python)
        return AppBackend(
            config,
            address,
            lambda spec: python3_backend(spec, settings.request_deadline),
            sign_in,
            python=python,
            threads=settings.threads,
            instances=settings.instances,
        )

    return ReloadingBackend(config, make)


def _backend(target: Target, settings: Settings, address: str) -> Backend | None:
    if not isinstance(target, WsgiApp):
        return None
    from appengine_channel_emu.host.app_kinds import python3_backend
    from appengine_channel_emu.host.origins.instance import AppSpec

    spec = AppSpec(str(target), target.folder, address, settings.python or sys.executable, settings.threads)
    return python3_backend(spec, settings.request_deadline)


def log_to_stderr(settings: Settings) -> None:
    """Everything but the ready line goes there (behaviour.md 12)."""
    level = settings.log_level.upper()
    if sys.stderr is not None:
        log_to(sys.stderr)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LineFormatter("%(asctime)s %(levelname)-7s %(message)s"))
    logging.basicConfig(handlers=[handler], level=level)
