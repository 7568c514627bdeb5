"""What ``serve`` is asked to run: a WSGI callable, an App Engine app, or nothing (behaviour.md section 8)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from appengine_channel_emu.settings import BadSetting, Settings

_IDENTIFIER = r"[^\W\d]\w*"
_DOTTED = rf"{_IDENTIFIER}(?:\.{_IDENTIFIER})*"
_WSGI = re.compile(rf"(?P<module>{_DOTTED}):(?P<attribute>{_DOTTED})")


@dataclass(frozen=True)
class WsgiApp:
    """`module:attribute`, imported with `folder` first on sys.path."""

    module: str
    attribute: str
    folder: Path

    def __str__(self) -> str:
        return f"{self.module}:{self.attribute}"


@dataclass(frozen=True)
class AppYaml:
    """An App Engine app, described by the app.yaml at `path`."""

    path: Path


@dataclass(frozen=True)
class NoApp:
    """The emulator alone, for an app that runs elsewhere."""


Target = WsgiApp | AppYaml | NoApp


def find_target(settings: Settings) -> Target:
    """What `settings` ask to run. Raises BadSetting for a target that is none of the three."""
    folder = settings.app_dir or Path.cwd()
    if settings.app is None:
        return _app_yaml_in(folder) or NoApp()
    match = _WSGI.fullmatch(settings.app)
    if match:
        return WsgiApp(match["module"], match["attribute"], folder)
    path = folder / Path(settings.app).expanduser()
    if path.is_dir():
        found = _app_yaml_in(path)
        if not found:
            raise BadSetting(
                f"APP: there is no app.yaml in {settings.app!r}; to run a WSGI app in it, "
                f"name its module and callable: channel-emu serve --app-dir {settings.app} main:app"
            )
        return found
    if path.is_file() and path.suffix in (".yaml", ".yml"):
        return AppYaml(path)
    raise BadSetting(_refusal(settings.app, path))


def _app_yaml_in(folder: Path) -> AppYaml | None:
    for name in ("app.yaml", "app.yml"):
        if (folder / name).is_file():
            return AppYaml(folder / name)
    return None


def _refusal(app: str, path: Path) -> str:
    if path.suffix == ".py" and _is_dotted(path.stem):
        return f"APP: {app!r} is a file; name the module and its WSGI callable, such as {path.stem}:app"
    if path.exists():
        return f"APP: {app!r} is neither an app.yaml nor a folder with one"
    if _is_dotted(app) and "." in app:
        module, _, attribute = app.rpartition(".")
        return f"APP: {app!r} has no colon; did you mean {module}:{attribute}?"
    return f"APP: there is no {app!r}; give module:callable, an App Engine app's folder, or its app.yaml"


def _is_dotted(name: str) -> bool:
    return re.fullmatch(_DOTTED, name) is not None
