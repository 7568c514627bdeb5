"""``channel-emu doctor [APP]``: what this machine has, and what an app uses of the Channel API."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from appengine_channel_emu.cli.main import CLEAN_STOP, FAILED
from appengine_channel_emu.cli.parsing import Parser
from appengine_channel_emu.environment import path_of
from appengine_channel_emu.host.app_kinds import AppYaml, WsgiApp, find_app
from appengine_channel_emu.settings import BadSetting, Settings, add_flags, load
from appengine_channel_emu.settings.table import TABLE

if TYPE_CHECKING:
    from appengine_channel_emu.doctor.report import DoctorReport

SHARED = ("app", "app-dir", "python", "no-sdk", "sdk", "request-deadline", "host", "port", "state-dir")
"""Settings of `serve` that change what doctor finds."""


def parser() -> Parser:
    """The options of `doctor`."""
    made = Parser(
        prog="channel-emu doctor",
        usage="[APP] [options]",
        description="Say what this machine has, and of an app: every use of the Channel API, what happens with it "
        "here, and the command that runs it. It reads the app, and runs nothing of it. Exits with 1 if something will "
        "not run.",
        examples=[
            ("channel-emu doctor", "this machine, and the app in this folder, if there is one"),
            ("channel-emu doctor path/to/app", "an App Engine app"),
            ("channel-emu doctor main:app", "a WSGI app"),
        ],
    )
    made.add_argument("--json", action="store_true", help="print JSON instead of text")
    add_flags(made, without=[name for name in TABLE if name not in SHARED])
    return made


def run(argv: Sequence[str]) -> int:
    """Look, and say what was found; 1 if something will not run."""
    made = parser()
    options = vars(made.parse(argv))
    wants_json = options.pop("json")
    try:
        settings = load(options, os.environ, Path.cwd())
        app = _app(settings)
    except BadSetting as error:
        made.error(str(error))
    report = _examine(app, settings, options)
    # Imported here so that --help and mistakes in the command answer at once.
    from appengine_channel_emu.doctor.report import as_json, as_text

    if wants_json:
        print(json.dumps(as_json(report), indent=2))
    else:
        print("\n".join(as_text(report, shutil.get_terminal_size((100, 24)).columns)))
    return CLEAN_STOP if report.runs else FAILED


def _app(settings: Settings) -> AppYaml | WsgiApp | Path | None:
    """What `serve` would find, or a folder in which it would find nothing. Raises `BadSetting`."""
    try:
        return find_app(settings)
    except BadSetting:
        with contextlib.suppress(ValueError):
            folder = path_of(settings.app or ".", settings.app_dir or Path.cwd())
            if folder.is_dir():
                return folder
        raise


def _examine(app: AppYaml | WsgiApp | Path | None, settings: Settings, options: Mapping[str, Any]) -> DoctorReport:
    from appengine_channel_emu.doctor.app import report_on
    from appengine_channel_emu.doctor.machine import free_port, machine
    from appengine_channel_emu.doctor.report import DoctorReport

    port = free_port(settings)
    about_app = None if app is None else report_on(app, settings, _serve(settings, options, port))
    return DoctorReport(tuple(machine(settings, port)), about_app)


def _serve(settings: Settings, options: Mapping[str, Any], port: int | None) -> str:
    """The command that serves the app, with the options that doctor was given, on a port that can be had."""
    words = ["channel-emu", "serve", *([settings.app] if settings.app else [])]
    for attribute, value in options.items():
        name = attribute.replace("_", "-")
        if name in ("app", "port") or value is None:
            continue
        words += [f"--{name}"] if value is True else [f"--{name}", str(value)]
    if port is not None and (port != settings.port or "port" in options):
        words += ["-p", str(port)]
    return shlex.join(words)
