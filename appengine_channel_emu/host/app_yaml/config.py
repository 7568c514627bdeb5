"""What an app.yaml says, checked: the app, and its handlers: which urls are whose, and what answers them."""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from . import python2
from .entrypoint import Entrypoint

SKIPPED_BY_DEFAULT = r"(?:.*/)?#.*#$|(?:.*/)?.*~$|.*\.py[co]$|.*/RCS/.*$|(?:.*/)?\..*$"
"""Editors' copies, compiled files, RCS folders, dot files (facts.md 9.1)."""

DEFAULT_SKIP_FILES = python2.regex(SKIPPED_BY_DEFAULT)
NOWHERE = python2.regex(r"(?!)")
"""Matches nothing."""

PRESENCE_SERVICE = "channel_presence"
PYTHON25 = "python"
LEGACY_RUNTIMES = (PYTHON25, "python27")

Login = Literal["optional", "required", "admin"]

_DOTTED = re.compile(r"[^\s.:]+(?:\.[^\s.:]+)+")


@dataclass(frozen=True, kw_only=True)
class Handler:
    """What all kinds have in common; `place` is its file and line.

    `url` is as it was written; `pattern` is matched with the path from its beginning, and has its end in itself.
    `redirects` says what a visitor who is not signed in gets where `login` asks for it: the sign-in page, or else 401.
    `head` puts a handler of an included file before the app's own.
    """

    place: str
    url: str = ""
    pattern: re.Pattern[str]
    login: Login = "optional"
    redirects: bool = True
    secure: str = "optional"
    head: bool = True

    def match(self, path: str) -> re.Match[str] | None:
        """The match of a decoded path. As on the dev server `/a|/b` takes every path that begins with `/a`."""
        return self.pattern.match(path)


@dataclass(frozen=True, kw_only=True)
class Script(Handler):
    """Answered by the app: `script` is as it was written, and may refer to groups of the url."""

    script: str

    def target(self, match: re.Match[str]) -> str:
        """`module:callable` for a path that matched, or "auto": the app's entrypoint."""
        return wsgi_target(python2.expand(self.script, match))

    @property
    def is_cgi(self) -> bool:
        """Whether it names a CGI script (a file) instead of a WSGI callable."""
        return self.script.endswith(".py") or "/" in self.script

    @property
    def objection(self) -> str | None:
        """Why Python 3 cannot run it, whatever the url."""
        wanted = "name a WSGI callable, such as main.app"
        if self.is_cgi:
            return f"the CGI script {self.script!r} needs Python 2.7 and the SDK; for Python 3 {wanted}"
        if not python2.groups_in(self.script) and not _names_callable(self.script):
            return f"script: {self.script!r} is no module and callable; {wanted}"
        return None

    @property
    def fixed_target(self) -> str | None:
        """`module:callable` when it is the same for all paths."""
        return None if self.objection or python2.groups_in(self.script) else wsgi_target(self.script)


@dataclass(frozen=True, kw_only=True)
class Static(Handler):
    """Answered from a file of the app's folder. `expiration` is in seconds, None for no word of app.yaml."""

    mime_type: str | None = None
    expiration: int | None = None
    http_headers: tuple[tuple[str, str], ...] = ()
    require_matching_file: bool = False

    @property
    def root(self) -> str:
        """The folder that app.yaml names, from the app's folder; "" for this. Its files may be had, wherever it is."""
        raise NotImplementedError

    def file(self, match: re.Match[str]) -> str | None:
        """The file's path from the app's folder, not checked in any way, or None when there cannot be one."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class StaticDir(Static):
    """A folder of files."""

    folder: str

    @property
    def root(self) -> str:
        """See `Static`."""
        return clean_folder(self.folder)

    def file(self, match: re.Match[str]) -> str | None:
        """See `Static`."""
        # No such group where the url ends in a comment, and no text of it where another branch of the url has matched.
        rest = match.groupdict().get("file") or ""
        # As on App Engine an empty, "." or ".." segment names no file.
        return None if any(part in ("", ".", "..") for part in rest.split("/")) else posixpath.join(self.root, rest)


@dataclass(frozen=True, kw_only=True)
class StaticFiles(Static):
    """Files named by `template`, which may refer to groups of the url.

    App Engine got those of them that `upload` matches; the dev server has the others too.
    """

    template: str
    upload: re.Pattern[str]

    @property
    def root(self) -> str:
        """See `Static`."""
        return clean_folder(self._said)

    @property
    def _said(self) -> str:
        """The folder as app.yaml says it: it may have a "." in it, and what a visitor says may not."""
        return self.template.partition("\\")[0].rpartition("/")[0]

    def file(self, match: re.Match[str]) -> str | None:
        """See `Static`."""
        path = python2.expand(self.template, match)
        if "" in path.split("/"):
            return None
        return posixpath.join(self.root, path[len(self._said) :].removeprefix("/"))


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

    `text` is the file's own; `files` are all files that were read; `warnings` are lines for the user; those among them
    that hold wherever the app runs, and not only under Python 3, are `mistakes`.
    `flexible` is for the flexible environment: `env: flex` or `vm: true`.
    `error_files` has the app's own pages by error code ("default", "timeout" …). `instances` is what manual scaling
    asks for.
    `refusal` says what is wrong with the file, "" for nothing. Only an app of a legacy runtime has one, since the SDK
    has the last word on it. All that is known then is its path, text, runtime and inbound services.
    """

    path: Path
    text: str = field(repr=False)
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
    refusal: str = ""

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
        return self.runtime in LEGACY_RUNTIMES and not self.flexible

    @property
    def takes_presence(self) -> bool:
        """Whether the app asks to be told of clients that connect and disconnect."""
        return PRESENCE_SERVICE in self.inbound_services

    @property
    def timeout_page(self) -> tuple[bytes, str] | None:
        """The app's own page for a request that overran its deadline, body and MIME type."""
        page = self.error_files.get("timeout")
        return page.content if page else None

    @property
    def default_target(self) -> str:
        """What names the application that `script: auto` means: the entrypoint's, or App Engine's default."""
        return self.entrypoint.target if self.entrypoint else wsgi_target("main.app")

    def skips(self, file: str) -> bool:
        """Whether a file, named from the app's folder with slashes, is left out of what App Engine gets."""
        return self.skip_files.match(file) is not None


def clean_folder(folder: str) -> str:
    """A folder of app.yaml without what leads nowhere: "./static/" is "static", and "." is ""."""
    path = posixpath.normpath(folder) if folder else ""
    return "" if path == "." else path


def _names_callable(script: str) -> bool:
    return script == "auto" or ":" in script or _DOTTED.fullmatch(script) is not None


def wsgi_target(script: str) -> str:
    """`package.module.callable` as `package.module:callable`; "auto" stays, and what has a colon already."""
    if ":" in script:
        return script
    module, _, attribute = script.rpartition(".")
    return f"{module}:{attribute}" if module else script
