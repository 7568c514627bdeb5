"""What an app.yaml says, checked."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from . import python2_re
from .context import Entrypoint
from .handlers import Handler

SKIPPED_BY_DEFAULT = r"(?:.*/)?#.*#$|(?:.*/)?.*~$|.*\.py[co]$|.*/RCS/.*$|(?:.*/)?\..*$"
"""Editors' copies, compiled files, RCS folders, dot files (facts.md 9.1)."""

DEFAULT_SKIP_FILES = python2_re.compile(SKIPPED_BY_DEFAULT)


@dataclass(frozen=True)
class Library:
    """An entry of `libraries`; `place` is its file and line."""

    name: str
    version: str
    place: str


@dataclass(frozen=True)
class ErrorFile:
    """The app's own page for an error."""

    path: Path
    mime_type: str = "text/html"

    @property
    def is_there(self) -> bool:
        """Whether it can be sent."""
        return self.path.is_file() and os.access(self.path, os.R_OK)

    @property
    def content(self) -> tuple[bytes, str] | None:
        """Its body and MIME type; None if it has gone since app.yaml was read."""
        try:
            return self.path.read_bytes(), self.mime_type
        except OSError:
            return None


@dataclass(frozen=True, kw_only=True)
class AppConfig:
    """An app as its app.yaml describes it.

    `files` are all files that were read; `warnings` are lines for the user; those among them that hold
    wherever the app runs, and not only under Python 3, are `mistakes`.
    `flexible` is for the flexible environment: `env: flex` or `vm: true`.
    `error_files` has the app's own pages by error code ("default", "timeout" …). `instances` is what manual scaling
    asks for.
    """

    path: Path
    runtime: str
    flexible: bool = False
    application: str | None = None
    version: str | None = None
    module: str = "default"
    threadsafe: bool = True
    handlers: tuple[Handler, ...] = ()
    error_files: Mapping[str, ErrorFile] = field(default_factory=dict)
    env_variables: Mapping[str, str] = field(default_factory=dict)
    inbound_services: frozenset[str] = frozenset()
    skip_files: re.Pattern[str] = DEFAULT_SKIP_FILES
    libraries: tuple[Library, ...] = ()
    entrypoint: Entrypoint | None = None
    instances: int = 1
    files: tuple[Path, ...] = ()
    warnings: tuple[str, ...] = ()
    mistakes: tuple[str, ...] = ()

    @property
    def folder(self) -> Path:
        """The app's folder."""
        return self.path.parent

    @property
    def is_python3(self) -> bool:
        return re.fullmatch(r"python3\d*", self.runtime) is not None and not self.flexible

    @property
    def is_legacy_python(self) -> bool:
        """Whether it was written for Python 2.5 or 2.7."""
        return self.runtime in ("python", "python27") and not self.flexible

    def skips(self, file: str) -> bool:
        """Whether a file, named from the app's folder with slashes, is left out of what App Engine gets."""
        return self.skip_files.match(file) is not None
