"""What the environment of a process says: where a user's folders are; and what it must say for an app to find us."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pwd
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

COMPAT_PATH = Path(__file__).parent / "compat" / "path"
"""The folder that makes the Channel API importable in an app's Python, put on PYTHONPATH."""

REDIS_PASSWORD = "CHANNEL_EMU_REDIS_PASSWORD"  # noqa: S105 - its name alone
"""The variable with the password of `--redis`. No process that we start gets it."""

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


def python_path(environ: Mapping[str, str]) -> str:
    """The `PYTHONPATH` with which an app can import the Channel API; what `environ` has there comes behind."""
    return os.pathsep.join(filter(None, [str(COMPAT_PATH), environ.get("PYTHONPATH")]))


def child_environ(environ: Mapping[str, str]) -> dict[str, str]:
    """What a process that we start gets of `environ`: without the Redis's password, and with `no_proxy`.

    That has this machine, and the emulator's own address if there is one, among what no proxy is asked for. Where
    `http_proxy` is set, most HTTP clients send it requests for 127.0.0.1 too: a dev server's own calls between its
    processes, and an app's calls to the emulator (behaviour.md 12). `no_proxy` names the hosts that are spared; some
    clients read it in capitals alone. What stands there already stays; `*`, for every host, is left alone.
    """
    emulator = environ.get("CHANNEL_EMULATOR_HOST", "").rpartition(":")[0]
    ours = dict.fromkeys([*_THIS_MACHINE, *filter(None, [emulator.strip("[]")])])
    made = dict(environ)
    made.pop(REDIS_PASSWORD, None)
    for name, other in zip(NO_PROXY_NAMES, reversed(NO_PROXY_NAMES), strict=True):
        given = environ.get(name) or environ.get(other) or ""
        hosts = [host.strip() for host in given.split(",") if host.strip()]
        if "*" not in hosts:
            made[name] = ",".join(dict.fromkeys([*hosts, *ours]))
        else:
            # Clients know it alone, not in a list.
            made[name] = "*"
    return made


class WhileNeeded(contextlib.ContextDecorator):
    """A context manager that any number of threads may be in, for what changes the whole process.

    `change` is called when somebody needs it; what it has the stack do is done when nobody does any more.
    """

    def __init__(self, change: Callable[[contextlib.ExitStack], None]) -> None:
        self._change = change
        # Reentrant: a call may come from a signal's handler, or from what the garbage collector ends.
        self._lock = threading.RLock()
        self._users = 0
        self._undo = contextlib.ExitStack()

    def __enter__(self) -> None:
        with self._lock:
            if not self._users:
                with contextlib.ExitStack() as undo:
                    self._change(undo)
                    self._undo = undo.pop_all()
            self._users += 1

    def __exit__(self, *exc_info: object) -> None:
        with self._lock:
            self._users -= 1
            if not self._users:
                self._undo.close()


def _find_our_modules(undo: contextlib.ExitStack) -> None:
    spec = importlib.util.spec_from_file_location("channel_emu_shim", COMPAT_PATH / "channel_emu_shim.py")
    assert spec is not None
    assert spec.loader is not None
    shim = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(shim)
    finder = shim.Python3Finder()
    sys.meta_path.append(finder)
    # It is None once the interpreter is being taken down.
    undo.callback(lambda: sys.meta_path.remove(finder) if finder in (sys.meta_path or ()) else None)


_importable = WhileNeeded(_find_our_modules)


def importable() -> contextlib.AbstractContextManager[None]:
    """While it lasts, this process can import `google.appengine.api.channel`, where no SDK has it.

    What has been imported by then stays.
    """
    return _importable
