"""How an app is to be run here: which kind of app it is, the commands that run it, and what stands in the way."""

from __future__ import annotations

import importlib.util
import shlex
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from os.path import isdir, isfile  # those of Path raise in a folder that may not be entered
from pathlib import Path

from appengine_channel_emu.doctor.diagnosis import Diagnosis, Place
from appengine_channel_emu.doctor.look import Look
from appengine_channel_emu.doctor.machine import missing_of_python27
from appengine_channel_emu.doctor.sources import is_test
from appengine_channel_emu.doctor.topics import TOPICS
from appengine_channel_emu.host.app_checks import for_python3, missing_libraries, read_config, sdk_need
from appengine_channel_emu.host.app_kinds import AppYaml, WsgiApp
from appengine_channel_emu.host.app_yaml import AppConfig
from appengine_channel_emu.host.errors import CannotStart
from appengine_channel_emu.host.python27 import sources_here
from appengine_channel_emu.host.sdk import INSTALL_SDK, SIZE, SdkMissing, find_python27, find_sdk
from appengine_channel_emu.settings import Settings

PYTHON3, SDK, WSGI, UPSTREAM, NONE = "python3", "sdk", "wsgi", "upstream", "none"
"""Kinds of apps; NONE is for what the emulator does not know how to run."""

_FOR_JAVA = " --presence-encoding multipart"


@dataclass(slots=True)
class Way:
    """`commands` are what to type, in their order, the last of which serves the app; empty where nothing will.

    `config` is what app.yaml says, None without one that can be read.
    """

    kind: str
    commands: list[str] = field(default_factory=list)
    found: list[Diagnosis] = field(default_factory=list)
    config: AppConfig | None = None

    def add(self, topic: str, what: str = "", advice: str = "", places: Sequence[Place] = ()) -> None:
        """A finding of that topic, in its usual words unless others are given."""
        told = TOPICS[topic]
        self.found.append(
            Diagnosis(
                topic, told.level, what or told.what, told.here, told.production, advice or told.advice, tuple(places)
            )
        )


def way_of(app: AppYaml | WsgiApp | Path, settings: Settings, found: Look, serve: str) -> Way:
    """How to run `app`, a folder where there is no app.yaml. `serve` is the command that asks for it."""
    if isinstance(app, WsgiApp):
        return _wsgi(app, serve)
    if isinstance(app, Path):
        return _folder(app, found)
    try:
        config = read_config(app.path, sdk=not settings.no_sdk)
    except CannotStart as error:
        way = Way(NONE)
        way.add("app_yaml_refused", f"app.yaml cannot be used: {error}")
        return way
    if config.is_legacy_python and not settings.no_sdk:
        way = _legacy(config, settings, found, serve)
    else:
        way = _python3_or_other(config, settings, found, serve)
    way.config = config
    return way


def _wsgi(app: WsgiApp, serve: str) -> Way:
    path = app.folder.joinpath(*app.module.split("."))
    top = app.module.partition(".")[0]
    if not (isfile(path.with_name(f"{path.name}.py")) or isdir(path) or _is_installed(top)):
        way = Way(NONE)
        way.add("cannot_run", f"there is no module {app.module} in {app.folder}", "name its folder with --app-dir")
        return way
    way = Way(WSGI, [serve])
    way.add("runs", f"{app} is served as a WSGI application, under Python 3")
    return way


def _is_installed(module: str) -> bool:
    # Of a name without dots nothing is imported.
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def _folder(folder: Path, found: Look) -> Way:
    java = isdir(folder / "WEB-INF") or isdir(folder / "war" / "WEB-INF")
    if java or (found.languages and not found.app_yamls):
        way = Way(UPSTREAM, _upstream_commands(_FOR_JAVA if java else ""))
        way.add("other_runtime", "there is no app.yaml; by its sources the app is started by tools of its own")
        return way
    way = Way(NONE)
    below = [f"channel-emu doctor {shlex.quote(str(folder / name))}" for name in found.app_yamls[:5]]
    way.add("no_app", advice=f"apps are below it: {'; '.join(below)}" if below else "")
    return way


def _upstream_commands(encoding: str = "") -> list[str]:
    return [
        f"channel-emu serve --upstream http://localhost:PORT{encoding}",
        'eval "$(channel-emu env)"   # in the shell that starts the app, which then listens on PORT',
    ]


def _legacy(config: AppConfig, settings: Settings, found: Look, serve: str) -> Way:
    try:
        find_sdk(settings.sdk)
        lacks = missing_of_python27(find_python27(settings.python))
    except SdkMissing as missing:
        return _without_sdk(config, settings, found, serve, str(missing))
    if lacks:
        way = Way(SDK)
        way.add("sdk_needed", f"its Python 2.7 lacks {', '.join(lacks)}, which the SDK needs",
                "install another Python 2.7, and name it with --python")  # fmt: skip
        return way
    way = Way(SDK, [serve])
    way.add("runs", f"the runtime {config.runtime} is served by Google's SDK, under Python 2.7")
    return way


def _without_sdk(config: AppConfig, settings: Settings, found: Look, serve: str, missing: str) -> Way:
    need = "it needs Python 2.7"
    if settings.sdk is None:
        try:
            need = _need_of_sdk(for_python3(config), settings, found)
        except CannotStart as error:
            need = f"it needs Python 2.7: {error}"
    if need:
        way = Way(SDK, list(_to_get_sdk(settings, serve)))
        # Where an option of the user's is wrong, that is what to do.
        given = settings.sdk is not None or settings.python is not None
        way.add(
            "sdk_needed",
            f"the runtime {config.runtime} needs Google's SDK and Python 2.7, and one of them is not here: {need}",
            missing.splitlines()[0] if given else "",
        )
        return way
    way = Way(PYTHON3, [serve])
    way.add(
        "runs", f"the runtime {config.runtime} without the SDK: the app needs nothing of it, and runs under Python 3"
    )
    return way


def _need_of_sdk(config: AppConfig, settings: Settings, found: Look) -> str:
    old = _python2(found)
    if old:
        return f"{old[0]} is written in Python 2"
    # From an empty folder, so that nothing of the app's is imported.
    with tempfile.TemporaryDirectory(prefix="channel-emu-doctor-") as empty:
        return sdk_need(config, settings.python or sys.executable, Path(empty)) or ""


def _python2(found: Look) -> list[Place]:
    """Sources that Python 3 cannot read, tests apart."""
    return [each for each in found.places("python2_source") if not is_test(each.file)]


def _to_get_sdk(settings: Settings, serve: str) -> Iterator[str]:
    try:
        find_python27(settings.python)
    except SdkMissing:
        yield f"{sources_here()[0].command}   # or another way to a Python 2.7"
    try:
        find_sdk(settings.sdk)
    except SdkMissing:
        yield f"{INSTALL_SDK}   # {SIZE}"
    yield serve


def _python3_or_other(config: AppConfig, settings: Settings, found: Look, serve: str) -> Way:
    try:
        served = for_python3(config)
    except CannotStart as error:
        if config.is_python3 or config.is_legacy_python:
            way = Way(NONE)
            way.add("cannot_run", str(error), "without --no-sdk the SDK runs it" if settings.no_sdk else "")
            return way
        java = config.runtime.startswith("java")
        way = Way(UPSTREAM, _upstream_commands(_FOR_JAVA if java else ""))
        way.add("other_runtime", str(error))
        return way
    way = Way(PYTHON3, [serve])
    old = _python2(found)
    if old:
        way.add("python2_syntax", places=old)
        way.commands = []
    else:
        way.add("runs", f"the runtime {config.runtime} runs under Python 3")
    with tempfile.TemporaryDirectory(prefix="channel-emu-doctor-") as empty:
        for text in missing_libraries(served, settings.python or sys.executable, Path(empty)):
            _, _, rest = text.partition(": ")
            way.add("libraries_missing", rest.partition(": ")[0] or text, rest.partition(": ")[2])
    return way
