"""SDK apps in ``channel-emu serve``: an unmodified legacy app, run by Google's SDK."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from appengine_channel_emu.host import app_kinds
from appengine_channel_emu.host.app_yaml import AppConfig
from appengine_channel_emu.host.app_yaml.config import PYTHON25
from appengine_channel_emu.host.backend import Backend
from appengine_channel_emu.host.origins.dev_server_process import DevServerSpec
from appengine_channel_emu.host.sdk import find_python27, find_sdk, overlay_of
from appengine_channel_emu.private_files import private_folder
from appengine_channel_emu.settings import Settings

log = logging.getLogger("channel_emu.sdk")


def sdk_backend(config: AppConfig, settings: Settings, arguments: Sequence[str]) -> Callable[[str], Backend]:
    """What makes the backend of an SDK app, given the emulator's address. Raises `SdkMissing`."""
    sdk = find_sdk(settings.sdk)
    python = find_python27(settings.python)
    state = settings.state_folder()
    for mistake in config.mistakes:
        log.warning("%s", mistake)
    overlay = overlay_of(config)
    if overlay is not None:
        log.warning("The SDK refuses %s as it is, and is given it with changes:", config.path)
        for change in overlay.changes:
            log.warning("  %s", change)

    def make(address: str) -> Backend:
        spec = DevServerSpec(
            yaml=config.path,
            sdk=sdk,
            python=python,
            address=address,
            deadline=settings.request_deadline,
            storage=_storage(state) if state else None,
            hosts=settings.allow_host if settings.host in ("localhost", "127.0.0.1", "::1") else None,
            arguments=arguments,
            overlay=overlay,
            python25=config.runtime == PYTHON25,
        )
        return app_kinds.sdk_backend(spec, config)

    return make


def _storage(state: Path) -> Path | None:
    """Where the SDK keeps the datastore, which it unpickles: only in a folder that is ours alone."""
    try:
        return private_folder(state) / "sdk"
    except OSError:
        # The store says so.
        return None
