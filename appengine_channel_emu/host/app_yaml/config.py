"""What an app.yaml says, checked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from .handlers import Handler
from .wsgi_servers import Entrypoint

DEFAULT_SKIP_FILES = (
    re.compile(r"(?:.*/)?#.*#$"),
    re.compile(r"(?:.*/)?.*~$"),
    re.compile(r".*\.py[co]$"),
    re.compile(r"(?:.*/)?RCS/.*"),
    re.compile(r"(?:.*/)?\..*"),
)
"""Editors' copies, compiled files, RCS folders, dot files (facts.md 9.1)."""


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


@dataclass(frozen=True, kw_only=True)
class AppConfig:
    """An app as its app.yaml describes it.

    `files` are all files that were read; `warnings` are lines for the user, one for each field that is not served.
    `error_files` has the app's own pages by error code ("default", "timeout" …). `instances` is what manual scaling
    asks for.
    """

    path: Path
    runtime: str
    application: str | None = None
    version: str | None = None
    module: str = "default"
    threadsafe: bool = True
    handlers: tuple[Handler, ...] = ()
    error_files: Mapping[str, ErrorFile] = field(default_factory=dict)
    env_variables: Mapping[str, str] = field(default_factory=dict)
    inbound_services: frozenset[str] = frozenset()
    skip_files: tuple[re.Pattern[str], ...] = DEFAULT_SKIP_FILES
    libraries: tuple[Library, ...] = ()
    entrypoint: Entrypoint | None = None
    instances: int = 1
    files: tuple[Path, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def folder(self) -> Path:
        """The app's folder."""
        return self.path.parent

    @property
    def is_python3(self) -> bool:
        return re.fullmatch(r"python3\d*", self.runtime) is not None

    @property
    def is_legacy_python(self) -> bool:
        """Whether it was written for Python 2.5 or 2.7."""
        return self.runtime in ("python", "python27")

    def skips(self, file: str) -> bool:
        """Whether a file, named from the app's folder with slashes, is left out of what App Engine gets."""
        return any(pattern.match(file) for pattern in self.skip_files)
