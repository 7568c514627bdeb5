"""Whether Python 3 can run an app, and what it lacks by its own sources: modules, and word of clients that connect."""

from __future__ import annotations

import itertools
import json
import logging
import os
import re
import shlex
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from appengine_channel_emu.environment import python_path
from appengine_channel_emu.host.app_yaml import AppConfig, BadAppYaml, Library, Script, read_app_yaml
from appengine_channel_emu.host.app_yaml.config import PRESENCE_SERVICE
from appengine_channel_emu.host.errors import CannotStart

LOOK_SECONDS = 20.0
MOST_FILES = 2000
LARGEST_SOURCE = 1024 * 1024
"""Characters of a file that are looked at."""

_OF_MODULES = ("google.appengine.api", "google.appengine.ext")
_PORTED = "appengine-python-standard"
_PORTED_FUNCTIONS = ("google.appengine.api.wrap_wsgi_app",)
"""What is imported from a package of theirs, and is no module."""
NOT_THE_APPS = ("node_modules", "site-packages", "venv", "env", "__pycache__")

CONNECTED = "/_ah/channel/connected/"

_MENTION = re.compile(r"_ah/channel/\S{0,24}connected")

log = logging.getLogger("channel_emu.app")

# Libraries of App Engine by the name in app.yaml: what is imported, and what pip calls it where that differs.
_LIBRARIES: dict[str, tuple[str, str]] = {
    "antlr3": ("antlr3", "antlr_python_runtime"), "crcmod": ("crcmod", "crcmod"), "cython": ("Cython", "Cython"),
    "django": ("django", "Django"), "endpoints": ("endpoints", "google-endpoints"), "enum": ("enum", ""),
    "futures": ("concurrent.futures", ""), "grpcio": ("grpc", "grpcio"), "ipaddress": ("ipaddress", ""),
    "jinja2": ("jinja2", "Jinja2"), "lxml": ("lxml", "lxml"), "markupsafe": ("markupsafe", "MarkupSafe"),
    "matplotlib": ("matplotlib", "matplotlib"), "MySQLdb": ("MySQLdb", "mysqlclient"), "numpy": ("numpy", "numpy"),
    "PIL": ("PIL", "Pillow"), "protorpc": ("protorpc", "protorpc"), "psycopg2": ("psycopg2", "psycopg2-binary"),
    "pycrypto": ("Crypto", "pycryptodome"), "pytz": ("pytz", "pytz"), "setuptools": ("setuptools", "setuptools"),
    "six": ("six", "six"), "ssl": ("ssl", ""), "webapp2": ("webapp2", "webapp2"), "webob": ("webob", "WebOb"),
    "WebOb": ("webob", "WebOb"), "yaml": ("yaml", "PyYAML"),
}  # fmt: skip

_LOOK = """
import importlib, importlib.util, json, sys
def there(name):
    package, _, last = name.rpartition(".")
    try:
        if importlib.util.find_spec(name) is not None:
            return True
        return package.startswith("google.") and hasattr(importlib.import_module(package), last)
    except Exception:
        return False
print(json.dumps([name for name in json.load(sys.stdin) if not there(name)]))
"""

_SDK_IMPORT = re.compile(
    r"^[ \t]*(?:from[ \t]+(google\.appengine(?:\.\w+)*)[ \t]+import[ \t]*(\([^)]*\)|[^\n(]*)"
    r"|import[ \t]+(google\.appengine\.[^\n]*))",
    re.M,
)


def read_config(path: Path, *, sdk: bool = False) -> AppConfig:
    """What `read_app_yaml` reads. Raises `CannotStart`."""
    try:
        return read_app_yaml(path, sdk=sdk)
    except BadAppYaml as error:
        raise CannotStart(str(error)) from None


def for_python3(config: AppConfig) -> AppConfig:
    """`config`, of an app that Python 3 can run. Raises `CannotStart`."""
    if config.refusal:
        raise CannotStart(config.refusal)
    if not (config.is_python3 or config.is_legacy_python):
        raise CannotStart(f"{config.path.name}: {_elsewhere(config)}")
    scripts = [handler for handler in config.handlers if isinstance(handler, Script)]
    cgi = [script for script in scripts if script.is_cgi]
    if cgi and len(cgi) == len(scripts):
        raise CannotStart(f"{cgi[0].place}: {cgi[0].objection}")
    return replace(config, warnings=(*config.warnings, *(f"{script.place}: {script.objection}" for script in cgi)))


def sdk_need(config: AppConfig, python: str, beside: Path | None = None) -> str | None:
    """The first import of the app's that only Google's SDK can serve, as file, line and module; None without one.

    `python` looks for modules in the app's folder first, where looking may run some of the app; `beside` is a folder to
    start from instead.
    """
    uses = dict(_sdk_imports(config.folder))
    missing = _missing(uses, beside or config.folder, python)
    return f"{uses[missing[0]]}, imports {missing[0]}" if missing else None


def missing_libraries(config: AppConfig, python: str, beside: Path) -> list[str]:
    """A line for each library of app.yaml that neither `python` nor the app's own folder has; `beside` as above."""
    wanted = {_LIBRARIES.get(each.name, (each.name, ""))[0]: each for each in config.libraries}
    tops = {module: module.partition(".")[0] for module in wanted}
    elsewhere = [
        module for module, top in tops.items()
        if not ((config.folder / top).is_dir() or (config.folder / f"{top}.py").is_file())
    ]  # fmt: skip
    return [_library_text(wanted[module], python) for module in _missing(elsewhere, beside, python)]


def warn_of_missing_modules(config: AppConfig, python: str) -> None:
    """Log a line for each library of app.yaml and each module of the SDK that `python` cannot import."""
    uses = dict(_sdk_imports(config.folder))
    wanted = {_LIBRARIES.get(each.name, (each.name, ""))[0]: each for each in config.libraries}
    missing = _missing([*wanted, *uses], config.folder, python)
    for module in missing:
        if module in wanted:
            log.warning("%s", _library_text(wanted[module], python))
        elif module in _PORTED_FUNCTIONS:
            log.warning(
                "%s: %s is a function of %s, which %s does not have; without it the app cannot be imported: "
                "%s -m pip install %s",
                uses[module], module, _PORTED, python, python, _PORTED,
            )  # fmt: skip
        else:
            log.warning(
                "%s: %s is a part of Google's SDK that is not there under Python 3. %s -m pip install %s brings what "
                "Google has ported of it; most of its services then still need Google's servers "
                "(docs/app-yaml.md says which work here).",
                uses[module], module, python, _PORTED,
            )  # fmt: skip


def presence_hint(config: AppConfig) -> str | None:
    """What to say when a client connects to an app that has a handler for presence and is not told (behaviour.md 4).

    None for an app that lists the service, and for one that very likely does not want it.
    Most apps have a handler for every path: one whose url names `_ah/channel` counts, or a source that does.
    """
    if config.takes_presence:
        return None
    handler = next((each for each in config.handlers if each.match(CONNECTED)), None)
    if not isinstance(handler, Script):
        return None
    if "_ah/channel" not in handler.url and not any(_MENTION.search(text) for _, text in _sources(config.folder)):
        return None
    return (
        f"{handler.place}: a handler takes {CONNECTED}, but the app is not told of clients that connect: "
        f"{config.path.name} does not list {PRESENCE_SERVICE} under inbound_services "
        "(--presence=always tells it all the same)."
    )


def _elsewhere(config: AppConfig) -> str:
    """What can serve an app that is not for us to start."""
    front = "channel-emu serve --upstream URL then stands in front of it."
    if not config.flexible:
        return f"an app of the runtime {config.runtime} is started by its own tools; {front}"
    text = f"an app of the flexible environment is a server of its own, which its entrypoint starts; {front}"
    if config.runtime.startswith("python") and config.entrypoint:
        text += f" Its WSGI callable can be served too: channel-emu serve {shlex.quote(str(config.entrypoint))}"
    return text


def _library_text(library: Library, python: str) -> str:
    _, package = _LIBRARIES.get(library.name, ("", library.name))
    version = "" if library.version == "latest" or library.name not in _LIBRARIES else f" ({library.version} there)"
    return (
        f"{library.place}: App Engine gave the app the library {library.name}{version}, and {python} has none: "
        f"{python} -m pip install {package or library.name}"
    )


def _missing(modules: Iterable[str], folder: Path, python: str) -> list[str]:
    """Those of `modules` that the app would not find."""
    names = list(dict.fromkeys(modules))
    if not names:
        return []
    try:
        done = subprocess.run(
            [python, "-c", _LOOK],
            input=json.dumps(names),
            cwd=folder,
            env=os.environ | {"PYTHONPATH": python_path(os.environ)},
            capture_output=True,
            text=True,
            timeout=LOOK_SECONDS,
            check=True,
        )
        found: list[str] = json.loads(done.stdout.splitlines()[-1])
    except (OSError, subprocess.SubprocessError, ValueError, IndexError) as error:
        log.debug("The app's libraries were not looked for: %s", error)
        return []
    return found


def _sdk_imports(folder: Path) -> Iterator[tuple[str, str]]:
    """Modules of the SDK that the app's own files import, each with the file and line of one import."""
    for path, text in _sources(folder):
        for match in _SDK_IMPORT.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            for name in _imported(match):
                yield name, f"{path.relative_to(folder).as_posix()}, line {line}"


def _imported(match: re.Match[str]) -> Iterator[str]:
    """The modules that an import names, and what may be a function of a package."""
    module, names, plain = match.groups()
    if plain:
        yield from re.findall(r"google(?:\.\w+)+", plain.partition("#")[0])
        return
    # "from google.appengine.api import users" names a module with its last word, others an attribute.
    if module in (*_OF_MODULES, "google.appengine"):
        for name in re.sub(r"#[^\n]*|[()\\]", "", names).split(","):
            word = name.split()[:1]
            yield f"{module}.{word[0]}" if word and word[0].isidentifier() else module
    else:
        yield module


def _sources(folder: Path) -> Iterator[tuple[Path, str]]:
    """The app's own sources, `MOST_FILES` at the most, and the text of each; not what is installed beside them."""
    for path in itertools.islice(_python_files(folder), MOST_FILES):
        try:
            with path.open(encoding="utf-8", errors="replace") as file:
                text = file.read(LARGEST_SOURCE)
        except OSError:
            continue
        yield path, text


def _python_files(folder: Path) -> Iterator[Path]:
    for root, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".") and name not in NOT_THE_APPS]
        yield from (Path(root, name) for name in files if name.endswith(".py"))
