"""What an app is, as far as can be said without running it: for `channel-emu init`."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from appengine_channel_emu.hints import reason
from appengine_channel_emu.host.app_kinds import AppYaml, find_app
from appengine_channel_emu.host.app_yaml import AppConfig
from appengine_channel_emu.host.errors import CannotStart
from appengine_channel_emu.host.runner.loading import USUAL_NAMES
from appengine_channel_emu.host.wsgi_search import application_of, find_wsgi_target, module_file, parses
from appengine_channel_emu.settings import BadSetting, Settings

Runs = Literal["python3", "sdk", "elsewhere", "nothing"]


@dataclass(frozen=True, kw_only=True)
class Survey:
    """The app that a folder holds.

    runs:    where it runs: in instances of Python 3, behind Google's SDK, by tools of its own (another runtime, or
             behind `--upstream`), or nowhere: there is none.
    app:     the setting `app` that serves it; "" where it needs none.
    legacy:  whether it was written for Python 2.5 or 2.7.
    upstream: where one that runs elsewhere answers, if that was said.
    reason:  why it runs there, or what is amiss, for a person; "" where nothing is to be said.
    target:  `module:callable` for a test to import, of an app in Python 3; "" for one of static files alone.
    folders: first on sys.path for that.
    environ: variables that the app is started with.
    """

    runs: Runs
    app: str = ""
    legacy: bool = False
    upstream: str = "http://127.0.0.1:9000"
    reason: str = ""
    target: str = ""
    folders: tuple[Path, ...] = ()
    environ: Mapping[str, str] = field(default_factory=dict)


def survey(settings: Settings) -> Survey:
    """The app that `settings` ask for, or the one that lies there. Raises `BadSetting` and `CannotStart`."""
    folder = settings.app_dir or Path.cwd()
    if settings.upstream is not None:
        return Survey(runs="elsewhere", upstream=settings.upstream, reason="It runs already.")
    app = find_app(settings)
    if isinstance(app, AppYaml):
        return _of_app_yaml(app.path, settings)
    try:
        target = find_wsgi_target(folder) if app is None else _complete(str(app), (folder,))
    except OSError as error:
        raise BadSetting(f"the folder {folder} cannot be read: {reason(error)}") from None
    if target is None:
        return Survey(runs="nothing")
    there = module_file(target.partition(":")[0], (folder,))
    lacks = "" if there else "Its module is not in this folder."
    return Survey(runs="python3", app=settings.app or target, reason=lacks, target=target, folders=(folder,))


def _complete(target: str, folders: tuple[Path, ...]) -> str:
    """`target` with a callable, where it names a module alone."""
    if not target or ":" in target:
        return target
    file = module_file(target, folders)
    return f"{target}:{(file and application_of(file)) or USUAL_NAMES[0]}"


def _of_app_yaml(path: Path, settings: Settings) -> Survey:
    from appengine_channel_emu.host.app_backend import first_target
    from appengine_channel_emu.host.app_checks import for_python3, read_config

    config = read_config(path, sdk=not settings.no_sdk)
    app = settings.app or path.name
    if not (config.is_python3 or config.is_legacy_python):
        return Survey(runs="elsewhere", reason=f"App Engine's runtime {config.runtime} starts it, or its own tools.")
    try:
        config = for_python3(config)
    except CannotStart as error:
        if not config.is_legacy_python:
            raise
        return Survey(runs="sdk", app=app, reason=str(error))
    folders = _folders(config)
    target = _complete(first_target(config), folders)
    if config.is_legacy_python and not settings.no_sdk:
        need = _no_python3(target, folders) or _need(config, settings.python or sys.executable)
        if need:
            return Survey(runs="sdk", app=app, reason=need)
    environ = {**config.env_variables, **(config.entrypoint.environ if config.entrypoint else {})}
    legacy = config.is_legacy_python
    return Survey(runs="python3", app=app, legacy=legacy, target=target, folders=folders, environ=environ)


def _need(config: AppConfig, python: str) -> str:
    """What the app needs that `python` does not have; "" for nothing."""
    from appengine_channel_emu.host.app_checks import missing_libraries, sdk_need

    # Away from the app's folder, where a json.py of its own would be imported.
    with tempfile.TemporaryDirectory() as beside:
        need = sdk_need(config, python, Path(beside))
        return need or next(iter(missing_libraries(config, python, Path(beside))), "")


def _folders(config: AppConfig) -> tuple[Path, ...]:
    entrypoint = config.entrypoint
    return (*(entrypoint.paths if entrypoint else ()), config.folder)


def _no_python3(target: str, folders: tuple[Path, ...]) -> str:
    file = module_file(target.partition(":")[0], folders) if target else None
    return f"{file.name} is not Python 3." if file is not None and not parses(file) else ""
