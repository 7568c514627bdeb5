"""``channel-emu init``: settings and fixtures for the app in this folder, to begin with."""

from __future__ import annotations

import contextlib
import importlib.util
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from appengine_channel_emu.cli.main import CLEAN_STOP, FAILED, VerbFailed
from appengine_channel_emu.cli.parsing import Parser
from appengine_channel_emu.hints import reason
from appengine_channel_emu.host.errors import CannotStart
from appengine_channel_emu.settings import BadSetting, load

if TYPE_CHECKING:
    from appengine_channel_emu.host.app_survey import Survey

SETTINGS, FIXTURES = "channel-emu.yaml", "conftest.py"


def parser() -> Parser:
    """The options of `init`."""
    made = Parser(
        prog="channel-emu init",
        usage="[APP] [--dry-run]",
        description="Write a channel-emu.yaml and a conftest.py for the app in this folder, explained line by line. "
        "The app is found by its app.yaml, or by a module with a WSGI application, and is not run. A file that is "
        "there already stays as it is.",
        examples=[
            ("channel-emu init", "for the app in this folder"),
            ("channel-emu init mysite.wsgi:application", "where another one would be found, or none"),
        ],
    )
    made.add_argument("app", metavar="APP", nargs="?", help="the app, as channel-emu serve takes it")
    made.add_argument("--dry-run", action="store_true", help="print both files, and write nothing")
    return made


def run(argv: Sequence[str]) -> int:
    """Write what is not there yet; 1 when both files are."""
    options = parser().parse(argv)
    folder = Path.cwd()
    from appengine_channel_emu.cli.init_texts import fixtures_file, settings_file
    from appengine_channel_emu.host.app_survey import survey

    try:
        found = survey(load({} if options.app is None else {"app": options.app}, os.environ, folder))
    except (BadSetting, CannotStart) as error:
        raise VerbFailed(str(error)) from None
    texts = {SETTINGS: settings_file(found), FIXTURES: fixtures_file(found, folder)}
    if options.dry_run:
        print("\n".join(f"# {'-' * 10} {name}\n\n{text}" for name, text in texts.items()), end="")
        return CLEAN_STOP
    print(_said(found))
    written = [name for name, text in texts.items() if _write(folder / name, text)]
    if not written:
        return FAILED
    print(f"next: channel-emu serve{_about_pytest() if FIXTURES in written else ''}")
    return CLEAN_STOP


def _about_pytest() -> str:
    needed = "" if importlib.util.find_spec("pytest") else " (pip install pytest)"
    return f", and pytest{needed}; conftest.py begins with a test"


def _said(found: Survey) -> str:
    if found.legacy:
        return f"the app: {found.app}, which needs nothing of Google's SDK ({found.target or 'static files'})"
    if found.runs == "python3":
        target = f", under Python 3 ({found.target})" if found.target != found.app else ""
        return f"the app: {found.app}{target}" + (f". {found.reason}" if found.reason else "")
    if found.runs == "sdk":
        return f"the app: {found.app}, with Google's SDK. {found.reason}"
    if found.runs == "elsewhere":
        return f"the app is started by other means. {found.reason}"
    return "no app was found in this folder; name it: channel-emu init module:callable"


def _write(path: Path, text: str) -> bool:
    """Whether it was written; one that is there is left alone. Raises `VerbFailed`."""
    try:
        with path.open("x", encoding="utf-8") as file:
            try:
                file.write(text)
                file.flush()
            except OSError:
                with contextlib.suppress(OSError):
                    path.unlink()
                raise
    except FileExistsError:
        print(f"{path.name} is here already, and stays as it is; channel-emu init --dry-run prints what would be in it")
        return False
    except OSError as error:
        raise VerbFailed(f"{path.name} cannot be written: {reason(error)}") from None
    print(f"{path.name} is written")
    return True
