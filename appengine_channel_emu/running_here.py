"""The emulators that run on this machine: each says so in a file while it runs, so that the verbs find it.

The files are in a private folder of the user's, and a file counts only while its emulator holds a lock on it: the
system lets go of that however the process ends, also with SIGKILL. What cannot be written is no reason not to run: then
the emulator is not found, and has to be named.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import re
import stat
from pathlib import Path
from typing import Any, NamedTuple

from appengine_channel_emu.environment import base_folder
from appengine_channel_emu.private_files import open_plain, private_folder

LARGEST_FILE = 16 * 1024
"""Bytes of what an emulator says of itself."""

LONGEST_APP = 1000
"""Characters of an app's name in it."""

_ADDRESS = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[0-9.]+):[0-9]{1,5}")

log = logging.getLogger("channel_emu")


class EmulatorHere(NamedTuple):
    """One emulator: `address` is `host:port`, `app` what it was asked to run ("" without an app)."""

    address: str
    app: str
    pid: int


class Announcement:
    """Says in a file that `emulator` runs here, from now on until `withdraw`. Never raises."""

    def __init__(self, emulator: EmulatorHere) -> None:
        self._path: Path | None = None
        self._file = -1
        try:
            self._announce(emulator)
        except OSError as error:
            log.debug("This emulator has to be named to the other verbs: %s", error)

    def _announce(self, emulator: EmulatorHere) -> None:
        folder = _private_folder()
        _each_alive(folder)  # Removes what killed ones have left.
        path = folder / f"{emulator.pid}-{os.urandom(4).hex()}.json"
        # Named so that nobody takes it for a dead one's before it is locked.
        unfinished = path.with_suffix(".new")
        self._file = open_plain(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        said = emulator._asdict() | {"app": emulator.app[:LONGEST_APP], "machine": _machine()}
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.write(self._file, json.dumps(said).encode("ascii"))
            unfinished.rename(path)
        except OSError:
            os.close(self._file)
            with contextlib.suppress(OSError):
                unfinished.unlink()
            raise
        self._path = path

    def withdraw(self) -> None:
        """It runs no longer; idempotent."""
        path, self._path = self._path, None
        if path is not None:
            with contextlib.suppress(OSError):
                path.unlink()
            os.close(self._file)


def running_here() -> list[EmulatorHere]:
    """The emulators of this user that run on this machine, by address."""
    try:
        if not _folder().is_dir():
            return []
        return sorted(_each_alive(_private_folder()), key=lambda emulator: emulator.address)
    except OSError as error:
        log.debug("Running emulators were not looked for: %s", error)
        return []


def _folder() -> Path:
    """The same for every process of a user: below the runtime folder, else the state folder, else the temporary one."""
    for runtime in (Path(os.environ.get("XDG_RUNTIME_DIR", "")), Path(f"/run/user/{os.geteuid()}")):
        if runtime.is_absolute() and _is_ours(runtime):
            return runtime / "channel-emu"
    state = base_folder("XDG_STATE_HOME", ".local/state")
    if state is not None and _may_be_made(state):
        return state / "channel-emu" / "running"
    return _temporary() / f"channel-emu-{os.geteuid()}"


def _private_folder() -> Path:
    """It, made where it is not there. Raises OSError where others could have a hand in it."""
    folder = _folder()
    if folder.parent == _temporary() and folder.is_symlink():
        raise PermissionError(f"{folder} is a link, which anybody may have made")
    return private_folder(folder)


def _temporary() -> Path:
    return Path(os.environ.get("TMPDIR") or "/tmp")  # noqa: S108 (`_private_folder` looks whose it is)


def _is_ours(folder: Path) -> bool:
    """Whether it is a folder of ours that nobody else can write to; after `su` the variable may name another user's."""
    try:
        found = folder.stat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o022


def _may_be_made(folder: Path) -> bool:
    """Whether we can write there, or make it: a home folder may be named that there is not, as in some containers."""
    # False, too, of what we may not see; pathlib raises.
    there = next((each for each in (folder, *folder.parents) if os.path.exists(each)), None)
    return there is not None and os.access(there, os.W_OK | os.X_OK)


def _each_alive(folder: Path) -> list[EmulatorHere]:
    return [emulator for path in sorted(folder.glob("*.json")) if (emulator := _alive(path)) is not None]


def _alive(path: Path) -> EmulatorHere | None:
    """The emulator that says so in `path`, if it runs. What one that runs no longer has left is removed."""
    try:
        file = open_plain(path, os.O_RDONLY)
    except OSError:
        return None
    try:
        if os.fstat(file).st_uid != os.geteuid():
            return None
        said = _read(os.read(file, LARGEST_FILE))
        # Home folders are shared, by machines and by containers: another one's is neither to be reached nor removed.
        if said is None or said.pop("machine", None) != _machine():
            return None
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return EmulatorHere(said["address"], said["app"], said["pid"])
        path.unlink()
    except OSError:
        pass
    finally:
        os.close(file)
    return None


def _read(data: bytes) -> dict[str, Any] | None:
    try:
        said = json.loads(data)
        well_formed = isinstance(said["app"], str) and isinstance(said["pid"], int)
        return said if well_formed and _ADDRESS.fullmatch(said["address"]) else None
    except (ValueError, TypeError, KeyError):
        return None


def _machine() -> str:
    """This machine since its last start, and its part that shares a network: containers have one each."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
        return f"{boot} {os.readlink('/proc/self/ns/net')}"
    except OSError:
        return os.uname().nodename
