"""The state folder and its files, on a machine with other users (behaviour.md 2, "Store").

Whoever can write to a folder can replace what we keep there by anything: a key that they know, a link, a named pipe on
which reading never ends. So the folder is one that nobody else can write to, and a file is used only if it is a plain
one of our own.
"""

from __future__ import annotations

import contextlib
import os
import stat
import time
from pathlib import Path

PRIVATE = "private"
"""The folder that is made in one that our group can write to."""


def private_folder(folder: Path) -> Path:
    """`folder`, made with mode 0700 when it is not there; in one that our group can write to, a private one in it.

    Raises PermissionError when others can change what is in it, OSError when it cannot be made.
    """
    _make(folder)
    found = folder.stat()
    _check_owner(folder, found)
    if found.st_mode & stat.S_IWOTH:
        raise PermissionError(f"everybody on this machine can write to {folder}; choose another --state-dir")
    if not found.st_mode & stat.S_IWGRP:
        return folder
    inner = folder / PRIVATE
    with contextlib.suppress(FileExistsError):
        inner.mkdir(mode=0o700)
    found = inner.lstat()
    _check_owner(inner, found)
    if not stat.S_ISDIR(found.st_mode) or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise PermissionError(f"other users of this machine can change {inner}; choose another --state-dir")
    return inner


def set_aside_unless_plain(path: Path, secret: bool = False) -> Path | None:
    """Move what is at `path` out of the way unless it is a plain file of ours, which is made private.

    With `secret`, one that others could read is moved, too. Returns where it is now, None if nothing had to be moved.
    Raises OSError.
    """
    try:
        found = path.lstat()
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
        return set_aside(path)
    if secret and found.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        return set_aside(path)
    if stat.S_IMODE(found.st_mode) != 0o600:
        path.chmod(0o600)
    return None


def set_aside(path: Path) -> Path:
    """Rename what is at `path`, and return its new name. Raises OSError."""
    aside = path.with_name(f"{path.name}.unreadable-{time.time_ns()}")
    path.rename(aside)
    return aside


def open_plain(path: Path, flags: int) -> int:
    """A descriptor of the plain file at `path`, with `flags` of `os.open`; made private if they have O_CREAT.

    Never waits, as for the other end of a pipe, and follows no link. Raises OSError when it is anything else.
    """
    descriptor = os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(f"{path} is no plain file")
    return descriptor


def _make(folder: Path) -> None:
    """With every folder above it that is missing; `mkdir(parents=True)` would leave those to the umask."""
    for each in (*reversed(folder.parents), folder):
        if not each.is_dir():
            with contextlib.suppress(FileExistsError):
                each.mkdir(mode=0o700)


def _check_owner(folder: Path, found: os.stat_result) -> None:
    if found.st_uid != os.geteuid():
        raise PermissionError(f"{folder} belongs to another user of this machine; choose another --state-dir")
