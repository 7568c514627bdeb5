"""What ``serve`` is asked to run: a WSGI callable, an App Engine app, or nothing (behaviour.md section 8)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from appengine_channel_emu.host.runner.loading import parse_target
from appengine_channel_emu.settings import BadSetting, Settings

_CALLABLES = ("app", "application", "api", "wsgi_app", "create_app", "make_app")
"""What WSGI applications and their factories are called."""


@dataclass(frozen=True)
class WsgiApp:
    """`module:attribute`, imported with `folder` first on sys.path.

    `attribute` may call a factory, as in `create_app('test')`; "" leaves it to the module what it has.
    """

    module: str
    attribute: str
    folder: Path

    def __str__(self) -> str:
        return f"{self.module}:{self.attribute}" if self.attribute else self.module


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
    path = folder / _expanded(settings.app)
    if ":" in settings.app:
        return _callable(settings.app, folder)
    if path.is_dir():
        found = _app_yaml_in(path)
        if not found and not (path / "__init__.py").is_file():
            raise BadSetting(
                f"APP: there is no app.yaml in {settings.app!r}; to run a WSGI app in it, "
                f"name its module and callable: channel-emu serve --app-dir {settings.app} main:app"
            )
        if found:
            return found
    if path.is_file() and path.suffix in (".yaml", ".yml"):
        return AppYaml(path)
    if _is_module(settings.app, folder):
        return WsgiApp(settings.app, "", folder)
    raise BadSetting(_refusal(settings.app, path, folder))


def _expanded(app: str) -> Path:
    try:
        return Path(app).expanduser()
    except RuntimeError:
        raise BadSetting(f"APP: {app!r} names the home folder of nobody here") from None


def _callable(app: str, folder: Path) -> WsgiApp:
    """`module:attribute`, where the module may be named as a file."""
    module, _, attribute = app.partition(":")
    if module.endswith(".py") and (folder / module).is_file():
        module = module.removesuffix(".py").removeprefix("./").replace("/", ".")
    try:
        target = parse_target(f"{module}:{attribute}")
    except ValueError as error:
        if "(" in attribute:
            raise BadSetting(f"APP: {error}") from None
        raise BadSetting(_refusal(app, folder / app, folder)) from None
    return WsgiApp(target.module, attribute, folder)


def _is_module(name: str, folder: Path) -> bool:
    """Whether `name`, dotted, is a module in `folder`."""
    path = folder.joinpath(*name.split("."))
    return _is_dotted(name) and (path.with_name(f"{path.name}.py").is_file() or (path / "__init__.py").is_file())


def _app_yaml_in(folder: Path) -> AppYaml | None:
    for name in ("app.yaml", "app.yml"):
        if (folder / name).is_file():
            return AppYaml(folder / name)
    return None


def _refusal(app: str, path: Path, folder: Path) -> str:
    if path.suffix == ".py" and _is_dotted(path.stem):
        return f"APP: {app!r} is a file; name the module and its WSGI callable, such as {path.stem}:app"
    if path.exists():
        return f"APP: {app!r} is neither an app.yaml nor a folder with one"
    if _is_dotted(app) and "." in app:
        module, _, attribute = app.rpartition(".")
        if attribute in _CALLABLES or _is_module(module, folder):
            return f"APP: {app!r} has no colon; did you mean {module}:{attribute}?"
        return (
            f"APP: there is no module {app!r} in {folder}; name another folder with --app-dir, "
            f"or a module and its WSGI callable, such as {app}:application"
        )
    return f"APP: there is no {app!r}; give module:callable, an App Engine app's folder, or its app.yaml"


def _is_dotted(name: str) -> bool:
    return all(part.isidentifier() for part in name.split("."))
