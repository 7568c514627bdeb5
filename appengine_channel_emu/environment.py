"""What the environment of a process says: where a user's folders are; and what it must say for an app to find us."""

from __future__ import annotations

import importlib.util
import os
import pwd
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

COMPAT_PATH = Path(__file__).parent / "compat" / "path"
"""The folder that makes the Channel API importable in an app's Python, put on PYTHONPATH."""

# No "[::1]", which Python's urllib would want: httpx takes it for an error.
_THIS_MACHINE = ("localhost", "127.0.0.1", "::1")
NO_PROXY_NAMES = ("no_proxy", "NO_PROXY")
PROXY_NAMES = ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY")


def home_folder() -> Path | None:
    """The user's home folder. None without one: no $HOME, and no entry in the system's list of users."""
    home = os.environ.get("HOME")
    try:
        folder = Path(home or pwd.getpwuid(os.getuid()).pw_dir)
    except KeyError:
        return None
    return folder if folder.is_absolute() else None


def base_folder(variable: str, below_home: str) -> Path | None:
    """The folder that the environment's `variable` names, else the one below the home folder, if there is one.

    A relative path is ignored, as the XDG base directory specification wants it of its variables.
    """
    given = Path(os.environ.get(variable, ""))
    if given.is_absolute():
        return given
    home = home_folder()
    return None if home is None else home / below_home


def path_of(value: str, base: Path) -> Path:
    """The path that a text names; a relative one starts from `base`, `~` is a home folder. Raises ValueError."""
    if not value.strip() or "\0" in value:
        raise ValueError("is not a path; leave it out to get the default")
    try:
        return base / Path(value).expanduser()
    except RuntimeError:
        raise ValueError(f"{value!r} names the home folder of nobody here") from None


def variables(address: str) -> dict[str, str]:
    """The variables that lead an app's server API to the emulator at `address`, `host:port`; `PYTHONPATH` apart."""
    host, _, port = address.rpartition(":")
    return {
        "CHANNEL_EMULATOR_HOST": address,
        "API_HOST": host,
        "API_PORT": port,
        # Go's library asks for this, and without it wants a metadata server (facts.md 2.3).
        "RUN_WITH_DEVAPPSERVER": "1",
    }


def with_no_proxy(environ: Mapping[str, str]) -> dict[str, str]:
    """`environ` with this machine, and the emulator's own address if it names one, among what no proxy is asked for.

    Where `http_proxy` is set, most HTTP clients send it requests for 127.0.0.1 too: a dev server's own calls between
    its processes, and an app's calls to the emulator (behaviour.md 12). `no_proxy` names the hosts that are spared;
    some clients read it in capitals alone. What stands there already stays; `*`, for every host, is left alone.
    """
    emulator = environ.get("CHANNEL_EMULATOR_HOST", "").rpartition(":")[0]
    ours = dict.fromkeys([*_THIS_MACHINE, *filter(None, [emulator.strip("[]")])])
    made = dict(environ)
    for name, other in zip(NO_PROXY_NAMES, reversed(NO_PROXY_NAMES), strict=True):
        given = environ.get(name) or environ.get(other) or ""
        hosts = [host.strip() for host in given.split(",") if host.strip()]
        if "*" not in hosts:
            made[name] = ",".join(dict.fromkeys([*hosts, *ours]))
        else:
            # Clients know it alone, not in a list.
            made[name] = "*"
    return made


class _Finder:
    """The finder of our modules, in `sys.meta_path` for as long as anybody needs it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._finder: Any = None

    def begin(self) -> None:
        with self._lock:
            self._users += 1
            if self._users == 1:
                spec = importlib.util.spec_from_file_location("channel_emu_shim", COMPAT_PATH / "channel_emu_shim.py")
                assert spec is not None
                assert spec.loader is not None
                shim = importlib.util.module_from_spec(spec)
                spec.loader.exec_module(shim)
                self._finder = shim.Python3Finder()
                sys.meta_path.append(self._finder)

    def end(self) -> None:
        with self._lock:
            self._users -= 1
            # It is None once the interpreter is being taken down.
            if not self._users and self._finder in (sys.meta_path or ()):
                sys.meta_path.remove(self._finder)


_finder = _Finder()


@contextmanager
def importable() -> Iterator[None]:
    """While it lasts, this process can import `google.appengine.api.channel`, where no SDK has it.

    What has been imported by then stays.
    """
    _finder.begin()
    try:
        yield
    finally:
        _finder.end()
