"""The context in which a command line runs, and the application that it starts there."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from appengine_channel_emu.host.runner.loading import parse_target

from .shell import UNKNOWN

LARGEST_FILE = 64 * 1024
"""Of a script, or a server's file of settings."""

# Where App Engine, and containers by habit, have an app's folder.
_DEPLOYED = ("/workspace", "/srv", "/app")


class BadEntrypoint(ValueError):
    """A command line that starts nothing we can serve; the text completes "entrypoint …"."""


@dataclass(frozen=True)
class Entrypoint:
    """What a command line starts.

    target:  names the application (see `runner.loading.parse_target`).
    folder:  its current folder.
    paths:   folders that come first on sys.path.
    environ: variables that the command line sets.
    guessed: whether the command may have been another than the app's server, such as a script that prepares things.
    files:   scripts and settings that were read for it.
    """

    target: str
    folder: Path
    paths: tuple[Path, ...] = ()
    environ: Mapping[str, str] = field(default_factory=dict)
    guessed: bool = False
    files: tuple[Path, ...] = ()

    def __str__(self) -> str:
        return self.target

    def checked(self) -> Entrypoint:
        """Itself. Raises `BadEntrypoint` if what it says cannot be."""
        if UNKNOWN in self.target:
            raise BadEntrypoint(
                "has the application's name from a command's output, which is not run here: write it out"
            )
        try:
            parse_target(self.target)
        except ValueError as error:
            raise BadEntrypoint(f"names {self.target!r} as the application: {error}") from None
        if not _is_folder(self.folder):
            raise BadEntrypoint(f"runs the app in a folder that is not here: {str(self.folder)!r}")
        return replace(self, paths=tuple(filter(_is_folder, self.paths)))


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # Such as a name that is too long.
        return False


@dataclass(frozen=True)
class Context:
    """Where a command runs: its current folder, what is on sys.path, what has been exported, which files were read."""

    folder: Path
    current: Path | None = None
    paths: tuple[Path, ...] = ()
    environ: Mapping[str, str] = field(default_factory=dict)
    files: list[Path] = field(default_factory=list)

    def entrypoint(self, target: str) -> Entrypoint:
        """The application `target`, run here."""
        environ = {name: value for name, value in self.environ.items() if UNKNOWN not in value}
        current = self.current or self.folder
        # A server finds what is in its current folder; the app's own comes behind, as for all of its scripts.
        paths = self.paths if current == self.folder else (*self.paths, current)
        return Entrypoint(target, current, paths, environ, files=tuple(self.files))

    def of_file(self, path: str, name: str = "") -> Entrypoint:
        """The application in a file: the one called `name`, or what it has."""
        pure = PurePosixPath(path)
        parent = str(pure.parent)
        context = self if parent == "." else self.searched(parent)
        return context.entrypoint(f"{pure.stem}:{name}" if name else pure.stem)

    def moved(self, folder: str) -> Context:
        """In another folder, seen from here."""
        return replace(self, current=self._path(folder))

    def searched(self, *folders: str) -> Context:
        """With folders first on sys.path."""
        return replace(self, paths=(*map(self._path, folders), *self.paths))

    def given(self, environ: Mapping[str, str]) -> Context:
        """With variables."""
        return replace(self, environ={**self.environ, **environ})

    def file(self, path: str) -> Path | None:
        """The file at `path`, seen from here, if it is one."""
        try:
            found = self._path(path)
            return found if found.is_file() else None
        except (OSError, ValueError):
            return None

    def text(self, path: str) -> str | None:
        """What stands in a file; None where there is none that could be a script or settings."""
        found = self.file(path)
        try:
            if found is None or found.stat().st_size > LARGEST_FILE:
                return None
            text = found.read_text("utf-8")
        except (OSError, UnicodeDecodeError):
            return None
        self.files.append(found)
        return text

    def _path(self, path: str) -> Path:
        for root in _DEPLOYED:
            if PurePosixPath(path).is_relative_to(root) and not os.path.lexists(path):
                return self.folder / PurePosixPath(path).relative_to(root)
        return (self.current or self.folder) / path
