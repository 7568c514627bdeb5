"""What this machine has of what the emulator and an app need. It looks, and changes nothing."""

from __future__ import annotations

import os
import platform
import re
import resource
import shutil
import stat
import subprocess
import sys
import webbrowser
from collections.abc import Iterator, Mapping
from pathlib import Path

from appengine_channel_emu.doctor.diagnosis import Diagnosis
from appengine_channel_emu.environment import NO_PROXY_NAMES, PROXY_NAMES, base_folder
from appengine_channel_emu.hints import reason
from appengine_channel_emu.host.sdk import (
    INSTALL_SDK,
    SIZE,
    VERSION,
    SdkMissing,
    find_python27,
    find_sdk,
    python27_environ,
    python_version,
)
from appengine_channel_emu.private_files import PRIVATE, private_folder
from appengine_channel_emu.running_here import EmulatorHere, running_here
from appengine_channel_emu.settings import Settings

OLDEST_PYTHON = 10
"""Of Python 3, which the emulator and its Python 3 apps need."""

NEEDED_OF_PYTHON27 = ("_ctypes", "select", "sqlite3", "ssl", "zlib")
"""Modules that a Python 2.7 may have been built without, and that dev_appserver.py cannot do without."""

_FEW_PAGES = 1000
_PORTS_TRIED = 20
_LOCAL = ("localhost", "127.0.0.1")
_PROBE_SECONDS = 20
_RELEASE = re.compile(r"^release:\s*\"?([\w.]+)", re.MULTILINE)


def machine(settings: Settings, port: int | None) -> Iterator[Diagnosis]:
    """Every finding about the machine. `port` is what `free_port` found."""
    yield _python()
    yield _other_pythons()
    yield python27(settings)
    yield sdk(settings)
    emulators = running_here()
    yield _port(settings, port, emulators)
    yield _emulators(emulators)
    yield _state(settings)
    yield _files(settings)
    yield _proxy(os.environ)
    yield _browser()


def free_port(settings: Settings) -> int | None:
    """The port of the settings if it can be had, else the next one that can; None where there is none near it."""
    last = min(settings.port + _PORTS_TRIED, 65535)
    return next((each for each in range(settings.port, last + 1) if not _refusal(settings.host, each)), None)


def _refusal(host: str, port: int) -> str:
    """Why the port cannot be had, with the name of the program that has it; "" if it can."""
    from appengine_channel_emu.server.listening import CannotListen, listen

    try:
        for each in listen(host, port):
            each.close()
    except CannotListen as error:
        return str(error)
    return ""


def _python() -> Diagnosis:
    return Diagnosis(
        "python", "ok", f"Python {platform.python_version()} runs channel-emu: {sys.executable}",
        "Python 3 apps run under it, unless --python names another",
    )  # fmt: skip


def _other_pythons() -> Diagnosis:
    found = {}
    root = base_folder("PYENV_ROOT", ".pyenv")
    for minor in range(OLDEST_PYTHON, 20):
        name = f"python3.{minor}"
        on_path = shutil.which(name)
        paths = [
            *([on_path] if on_path else []),
            *sorted(root.glob(f"versions/3.{minor}.*/bin/{name}") if root else ()),
        ]
        # A shim of pyenv's stands on PATH for versions that are not selected, too, and does not run.
        path = next((str(each) for each in paths if python_version(str(each)) == f"3.{minor}"), None)
        if path is not None and minor != sys.version_info.minor:
            found[f"3.{minor}"] = path
    listed = ", ".join(f"{version} ({path})" for version, path in found.items())
    return Diagnosis(
        "pythons", "ok", f"Further Pythons for --python: {listed or 'none'}",
        advice="to run a Python 3 app under one of them: --python PATH" if found else "",
    )  # fmt: skip


def python27(settings: Settings) -> Diagnosis:
    """The Python 2.7 that would run the SDK."""
    try:
        path = find_python27(_python27_wanted(settings))
    except SdkMissing as missing:
        return Diagnosis(
            "python27", "note", "No Python 2.7, which the SDK for legacy apps needs",
            "apps of the runtime python27 that need the SDK do not run",
            advice=str(missing).partition(": ")[2] or str(missing),
        )  # fmt: skip
    lacks = missing_of_python27(path)
    if lacks:
        return Diagnosis(
            "python27", "warning", f"Python 2.7 lacks {', '.join(lacks)}: {path}", "the SDK does not start with it",
            advice="it was built without the libraries for these: install another one, or build it again with them; "
            "--python PATH names it",
        )  # fmt: skip
    return Diagnosis("python27", "ok", f"Python 2.7 for the SDK: {path}", "channel-emu serve takes it for legacy apps")


def _python27_wanted(settings: Settings) -> str | None:
    """The interpreter of the settings if it may be meant for the SDK."""
    return settings.python if settings.python and python_version(settings.python) == "2.7" else None


def missing_of_python27(path: str) -> list[str]:
    """Those of `NEEDED_OF_PYTHON27` that it cannot import."""
    code = (
        "import sys\n"
        "for name in sys.argv[1:]:\n"
        "    try: __import__(name)\n"
        "    except ImportError: sys.stdout.write(name + ' ')\n"
    )
    try:
        done = subprocess.run(
            [path, "-c", code, *NEEDED_OF_PYTHON27],
            env=python27_environ(),
            # Nothing of the current folder is to be imported.
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_PROBE_SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return list(NEEDED_OF_PYTHON27)
    return [name.lstrip("_") for name in done.stdout.split()]


def sdk(settings: Settings) -> Diagnosis:
    """Google's SDK: where, and which."""
    try:
        folder = find_sdk(settings.sdk)
    except SdkMissing as missing:
        absent = settings.sdk is None and "is not here" in str(missing)
        return Diagnosis(
            "sdk", "note" if absent else "warning",
            "Google's SDK for App Engine is not here" if absent else str(missing).splitlines()[0],
            "apps of the runtime python27 that need it do not run",
            advice=f"{INSTALL_SDK} ({SIZE}; once); one that is here already: --sdk FOLDER",
        )  # fmt: skip
    version = _sdk_version(folder)
    if version != VERSION:
        return Diagnosis(
            "sdk", "note", f"SDK {version} in {folder}",
            f"tests of the emulator use {VERSION}, the last for Python 2.7",
            advice=f"if something fails with it: {INSTALL_SDK} ({SIZE})",
        )  # fmt: skip
    return Diagnosis("sdk", "ok", f"SDK {version} in {folder}", "it runs apps of the runtimes python27 and python")


def _sdk_version(folder: Path) -> str:
    try:
        match = _RELEASE.search((folder / "VERSION").read_text(encoding="utf-8", errors="replace"))
    except OSError:
        match = None
    return match[1] if match else "of unknown version"


def _port(settings: Settings, free: int | None, emulators: list[EmulatorHere]) -> Diagnosis:
    if free == settings.port:
        return Diagnosis("port", "ok", f"Port {settings.port} is free", "channel-emu serve listens there")
    refusal = _refusal(settings.host, settings.port)
    ours = any(each.address.endswith(f":{settings.port}") for each in emulators)
    what = f"Port {settings.port} has an emulator already" if ours else refusal.partition(". ")[0]
    advice = f"take another: -p {free}" if free else "stop that program, or choose another port with -p"
    return Diagnosis("port", "note" if ours else "warning", what, "channel-emu serve cannot start there", advice=advice)


def _emulators(found: list[EmulatorHere]) -> Diagnosis:
    if not found:
        return Diagnosis("emulators", "ok", "No emulator runs here")
    listed = ", ".join(f"{each.address} ({each.app or 'no app'}, process {each.pid})" for each in found)
    several = "; with several, send, tail and the like want -p PORT" if len(found) > 1 else ""
    return Diagnosis(
        "emulators", "note", f"Running here: {listed}",
        f"channel-emu status, send, tail, events and wait ask it{several}",
    )  # fmt: skip


def _state(settings: Settings) -> Diagnosis:
    folder = settings.state_folder()
    lost = "tokens and sockets are lost with a restart"
    if folder is None:
        off = settings.state_dir == "none"
        what = "Nothing is kept: --state-dir none" if off else "No home folder: nothing is kept"
        advice = "" if off else "name a folder with --state-dir or in $XDG_STATE_HOME"
        return Diagnosis("state", "note", what, lost, advice=advice)
    try:
        there = next(each for each in (folder, *folder.parents) if os.path.lexists(each))
        if there != folder:
            if not (there.is_dir() and os.access(there, os.W_OK | os.X_OK)):
                raise PermissionError(f"{folder} cannot be made: {there} is not ours to write to")
            return Diagnosis("state", "ok", f"State folder, made when it is needed: {folder}")
        mode = there.stat().st_mode
        private = mode & stat.S_IWOTH or not mode & stat.S_IWGRP or (folder / PRIVATE).is_dir()
        # Where our group can write, serve makes a private folder in it; doctor makes none.
        used = private_folder(folder) if private else folder / PRIVATE
    except OSError as error:
        return Diagnosis(
            "state", "warning", f"The state folder cannot be used: {reason(error)}", lost,
            advice="name another with --state-dir",
        )  # fmt: skip
    return Diagnosis("state", "ok", f"State folder, private: {used}", "tokens and sockets outlive a restart")


def _files(settings: Settings) -> Diagnosis:
    from appengine_channel_emu.server.acceptor import FILES_OF_OUR_OWN, SPARE_CONNECTIONS

    # The emulator raises the soft limit itself.
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    spare = FILES_OF_OUR_OWN + SPARE_CONNECTIONS
    pages = settings.max_connections if hard == resource.RLIM_INFINITY else min(settings.max_connections, hard - spare)
    if pages >= _FEW_PAGES:
        return Diagnosis("files", "ok", f"Open files: enough for {pages:,} connections of pages at a time")
    return Diagnosis(
        "files", "warning", f"Open files: at most {hard}, enough for {max(pages, hard // 2)} connections at a time",
        "further ones get 503", advice="raise the hard limit: ulimit -Hn, or the settings of the container",
    )  # fmt: skip


def _proxy(environ: Mapping[str, str]) -> Diagnosis:
    # Names alone: values may have passwords.
    names = [name for name in (*PROXY_NAMES, "https_proxy", "HTTPS_PROXY") if environ.get(name)]
    if not names:
        return Diagnosis("proxy", "ok", "No proxy is set")
    spared = ",".join(environ.get(name, "") for name in NO_PROXY_NAMES).replace(" ", "").split(",")
    if "*" in spared or set(_LOCAL).issubset(spared):
        return Diagnosis("proxy", "ok", f"A proxy is set ({', '.join(names)}), and not for this machine")
    return Diagnosis(
        "proxy", "note", f"A proxy is set, for this machine too: {', '.join(names)}",
        "what channel-emu starts is told to leave it out; your curl and browser are not",
        advice=f"export no_proxy={','.join(_LOCAL)}",
    )  # fmt: skip


def _browser() -> Diagnosis:
    try:
        name = getattr(webbrowser.get(), "name", "") or "the system's"
    except webbrowser.Error:
        return Diagnosis(
            "browser", "note", "No browser was found", "pages have to be opened from another machine",
            advice="name one in $BROWSER; to let other machines in: --host",
        )  # fmt: skip
    return Diagnosis("browser", "ok", f"Browser: {name}")
