"""Which app it is that ``serve`` is asked for, and which backend serves an app of that kind (behaviour.md 8).

| kind | asked for by | backend |
| --- | --- | --- |
| Python 3 app | `module:callable` | `ProxyBackend` of `InstancesOrigin` |
| Python 3 app with an app.yaml | its folder or its app.yaml | `AppBackend`, whose scripts are behind one like that |
| SDK app | the same, of a legacy runtime, where there is an SDK | `ProxyBackend` of `DevServerOrigin` |
| upstream app | `--upstream URL` | `ProxyBackend` of `UpstreamOrigin` |
| none | nothing | None: the emulator alone |

What a backend is made of is imported when one is made, so that mistakes in the command are answered at once.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from appengine_channel_emu.host.errors import CannotStart
from appengine_channel_emu.host.runner.loading import parse_target
from appengine_channel_emu.private_files import private_folder
from appengine_channel_emu.settings import BadSetting, Settings
from appengine_channel_emu.settings.kinds import short_name

if TYPE_CHECKING:
    from appengine_channel_emu.host.app_yaml import AppConfig
    from appengine_channel_emu.host.backend import Backend
    from appengine_channel_emu.host.origins.dev_server_process import DevServerSpec
    from appengine_channel_emu.host.origins.instance import AppSpec
    from appengine_channel_emu.host.proxy import ProxyBackend

MakeBackend = Callable[[str], "Backend | None"]
"""Makes the backend, given the emulator's address, `host:port`; None where there is no app."""

_CALLABLES = ("app", "application", "api", "wsgi_app", "create_app", "make_app")
"""What WSGI applications and their factories are called."""

log = logging.getLogger("channel_emu.sdk")


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


def backend_maker(app: AppYaml | WsgiApp | None, settings: Settings, sdk_arguments: Sequence[str]) -> MakeBackend:
    """What makes the backend of `app`; `sdk_arguments` are for dev_appserver.py. Raises `CannotStart`."""
    deadline = settings.request_deadline
    if settings.upstream is not None:
        if settings.app is not None:
            raise CannotStart("--upstream is an app that runs already: leave APP out, or --upstream.")
        url = settings.upstream
        return lambda address: upstream_backend(url, address, deadline)
    config = None
    if isinstance(app, AppYaml):
        from appengine_channel_emu.host.app_checks import read_config

        config = read_config(app.path, sdk=not settings.no_sdk)
    if config is not None and config.is_legacy_python and not settings.no_sdk:
        make = _sdk_maker(config, settings, sdk_arguments)
        if make is not None:
            return make
    if sdk_arguments:
        raise CannotStart(f"{sdk_arguments[0]}: what follows -- is for dev_appserver.py, which does not run this app.")
    if config is not None:
        return _app_yaml_maker(config, settings)
    if isinstance(app, WsgiApp):
        return _wsgi_maker(app, settings)
    return lambda address: None


def python3_backend(spec: AppSpec, deadline: float | None) -> ProxyBackend:
    """A Python 3 app, in instances of ours; `deadline` is in seconds, None for no limit."""
    from appengine_channel_emu.host.origins.instances import InstancesOrigin
    from appengine_channel_emu.host.proxy import ProxyBackend

    return ProxyBackend(InstancesOrigin(spec, deadline), spec.address, deadline, timeout_page=spec.timeout_page)


def upstream_backend(url: str, address: str, deadline: float | None) -> ProxyBackend:
    """An app that runs at `url` already. Raises `CannotStart` for a url that cannot be passed on to."""
    from appengine_channel_emu.host.origins.upstream import UpstreamOrigin
    from appengine_channel_emu.host.proxy import ProxyBackend

    return ProxyBackend(UpstreamOrigin(url, address, deadline), address, deadline)


def sdk_backend(spec: DevServerSpec, config: AppConfig) -> ProxyBackend:
    """The legacy app of `config`, which the SDK's dev server runs as `spec` says."""
    from appengine_channel_emu.host.app_checks import presence_hint
    from appengine_channel_emu.host.origins.dev_server import DevServerOrigin
    from appengine_channel_emu.host.proxy import ProxyBackend

    return ProxyBackend(
        DevServerOrigin(spec),
        spec.address,
        spec.deadline,
        timeout_page=config.timeout_page,
        takes_presence=config.takes_presence,
        presence_hint=presence_hint(config),
    )


def _wsgi_maker(app: WsgiApp, settings: Settings) -> MakeBackend:
    from appengine_channel_emu.host.origins.instance import AppSpec

    def make(address: str) -> Backend:
        spec = AppSpec(str(app), app.folder, address, settings.python or sys.executable, settings.threads)
        return python3_backend(spec, settings.request_deadline)

    return make


def _app_yaml_maker(config: AppConfig, settings: Settings) -> MakeBackend:
    from appengine_channel_emu.host.app_backend import AppBackend
    from appengine_channel_emu.host.app_checks import for_python3, warn_of_missing_modules
    from appengine_channel_emu.host.app_reload import ReloadingBackend
    from appengine_channel_emu.host.login import SignIn, login_key

    python3_config = for_python3(config)
    python = settings.python or sys.executable

    def make(address: str) -> Backend:
        # A key that is shared takes its place.
        sign_in = SignIn(login_key(settings.state_folder() if settings.redis is None else None))

        def make_once(config: AppConfig) -> AppBackend:
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

        return ReloadingBackend(python3_config, make_once)

    return make


def _sdk_maker(config: AppConfig, settings: Settings, arguments: Sequence[str]) -> MakeBackend | None:
    """None where there is no SDK, and Python 3 can run the app too. Raises `CannotStart`."""
    from appengine_channel_emu.host.app_checks import for_python3, sdk_need
    from appengine_channel_emu.host.app_yaml.config import PYTHON25
    from appengine_channel_emu.host.origins.dev_server_process import DevServerSpec
    from appengine_channel_emu.host.sdk import SdkMissing, find_python27, find_sdk, overlay_of

    try:
        sdk, python = find_sdk(settings.sdk), find_python27(settings.python)
    except SdkMissing as missing:
        need = "it needs Python 2.7"
        if settings.sdk is None and not arguments:
            with contextlib.suppress(CannotStart):
                need = sdk_need(for_python3(config), settings.python or sys.executable) or ""
        if need:
            raise CannotStart(f"{config.path} is for the runtime {config.runtime}, and {need}.\n{missing}") from missing
        log.info("There is no SDK here, and the app needs nothing of it: it runs under Python 3.")
        return None
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
            storage=_sdk_storage(settings),
            hosts=settings.allow_host if settings.host in ("localhost", "127.0.0.1", "::1") else None,
            arguments=arguments,
            overlay=overlay,
            python25=config.runtime == PYTHON25,
        )
        return sdk_backend(spec, config)

    return make


def _sdk_storage(settings: Settings) -> Path | None:
    """Where the SDK keeps the datastore, which it unpickles: only in a folder that is ours alone."""
    state = settings.state_folder()
    try:
        return private_folder(state) / "sdk" if state else None
    except OSError:
        # The store says so.
        return None


def with_service_name(settings: Settings, app: AppYaml | WsgiApp | None) -> Settings:
    """`settings` with a `redis_name`, where they have a Redis: the application of the app.yaml, if none is given.

    Raises `CannotStart`.
    """
    if settings.redis is None or settings.redis_name is not None:
        return settings
    if isinstance(app, AppYaml):
        from appengine_channel_emu.host.app_checks import read_config

        name = read_config(app.path, sdk=not settings.no_sdk).application
        if name is not None:
            try:
                return dataclasses.replace(settings, redis_name=short_name.read(name, Path()))
            except ValueError as error:
                text = f"--redis-name is missing, and the application of {app.path} is no name for a service: {error}."
                raise CannotStart(text) from None
    raise CannotStart(
        "--redis-name is missing: it says whose channels these are, the same at each emulator of the service, where "
        "no app.yaml has a line 'application'."
    )


def find_app(settings: Settings) -> AppYaml | WsgiApp | None:
    """The app that `settings` ask for, None for the emulator alone. Raises BadSetting where there is no such app."""
    folder = settings.app_dir or Path.cwd()
    if settings.app is None:
        return _app_yaml_in(folder)
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
