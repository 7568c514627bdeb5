"""Handlers: which urls are whose, and what answers them (facts.md 9.1)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, cast

from . import values
from .document import Fields, Value
from .http_headers import read_http_headers

Login = Literal["optional", "required", "admin"]

MOST_HANDLERS = 100

_COMMON = ("url", "login", "auth_fail_action", "secure", "redirect_http_response_code")
_STATIC = ("mime_type", "expiration", "http_headers", "application_readable", "require_matching_file")
_TAKES: Mapping[str, tuple[str, ...]] = {
    "static_dir": _STATIC,
    "static_files": (*_STATIC, "upload"),
    "script": ("position",),
    "api_endpoint": ("position", "script"),
}
_ALL = (*_COMMON, *_STATIC, "upload", "position", *_TAKES)

_GROUP = re.compile(r"\\([1-9])")
_MIME_TYPE = re.compile(r"[\w.+-]+/[\w.+-]+(\s*;[\x20-\x7e]*)?", re.ASCII)
_DOTTED = re.compile(r"(?:[^\W\d]|\\[1-9])(?:\w|\\[1-9])*(?:\.(?:\w|\\[1-9])+)+")


@dataclass(frozen=True, kw_only=True)
class Handler:
    """What all kinds have in common; `place` is its file and line.

    `pattern` is matched with the whole path. `redirects` says what a visitor who is not signed in gets where `login`
    asks for it: the sign-in page, or else 401. `head` puts a handler of an included file before the app's own.
    """

    place: str
    pattern: re.Pattern[str]
    login: Login = "optional"
    redirects: bool = True
    secure: str = "default"
    head: bool = False

    def match(self, path: str) -> re.Match[str] | None:
        """The match of a decoded path."""
        return self.pattern.fullmatch(path)


@dataclass(frozen=True, kw_only=True)
class Script(Handler):
    """Answered by the app: `script` is as it was written, and may refer to groups of the url."""

    script: str

    def target(self, match: re.Match[str]) -> str:
        """`module:callable` for a path that matched, or "auto": the app's entrypoint."""
        return wsgi_target(expand(self.script, match))

    @property
    def is_cgi(self) -> bool:
        """Whether it names a CGI script (a file) in place of a WSGI callable."""
        return self.script.endswith(".py") or "/" in self.script

    @property
    def fixed_target(self) -> str | None:
        """`module:callable` when it is the same for all paths."""
        return None if _GROUP.search(self.script) or self.is_cgi else wsgi_target(self.script)


@dataclass(frozen=True, kw_only=True)
class Static(Handler):
    """Answered from a file of the app's folder. `expiration` is in seconds, None for no word of app.yaml."""

    mime_type: str | None = None
    expiration: int | None = None
    http_headers: tuple[tuple[str, str], ...] = ()
    require_matching_file: bool = False

    def file(self, match: re.Match[str]) -> str | None:
        """The file's path below the app's folder, not checked in any way, or None when there cannot be one."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class StaticDir(Static):
    """A folder of files."""

    folder: str

    def file(self, match: re.Match[str]) -> str | None:
        """See `Static`."""
        rest = match[match.re.groups] or ""
        # As on App Engine an empty, "." or ".." segment names no file.
        if any(part in ("", ".", "..") for part in rest.split("/")):
            return None
        return f"{self.folder.rstrip('/')}/{rest}"


@dataclass(frozen=True, kw_only=True)
class StaticFiles(Static):
    """Files named by `template`, which may refer to groups of the url; only those that `upload` matches exist."""

    template: str
    upload: re.Pattern[str]

    def file(self, match: re.Match[str]) -> str | None:
        """See `Static`."""
        path = expand(self.template, match)
        return path if self.upload.fullmatch(path) else None


def expand(template: str, match: re.Match[str]) -> str:
    """The template with each group reference (a backslash and a digit) replaced by the group's text."""
    return _GROUP.sub(lambda reference: match[int(reference[1])] or "", template)


def wsgi_target(script: str) -> str:
    """`package.module.callable` as `package.module:callable`; "auto" stays."""
    module, _, attribute = script.rpartition(".")
    return f"{module}:{attribute}" if module else script


def read_handler(value: Value, default_expiration: int | None, warnings: list[str]) -> Handler | None:
    """One entry of `handlers`, or None (and a warning) if it is of a kind that is not served."""
    fields = Fields(value, "a handler", _ALL)
    kind = _kind(fields)
    for name in _ALL:
        if name in fields and name not in (*_COMMON, kind, *_TAKES[kind]):
            takers = [each for each, fields_of in _TAKES.items() if name in fields_of] or ["no"]
            raise value.error(f"{name} is for {' and '.join(takers)} handlers, not for {kind}")
    if kind == "api_endpoint":
        warnings.append(f"{value.place}: api_endpoint handlers are not served here")
        return None
    url = fields.need("url", "the paths that it answers, such as '/.*'")
    pattern = _url_pattern(url, directory=kind == "static_dir")
    if values.is_slow(pattern):
        warnings.append(
            f"{url.place}: url has a repeat inside a repeat, which takes this server very long on some paths; "
            "App Engine did not mind. Without the outer one it matches fast."
        )
    common = _common(fields, value, pattern)
    if kind == "script":
        return _script(fields, common)
    static = _static(fields, default_expiration)
    if kind == "static_dir":
        folder = fields.need("static_dir", "the folder of the files")
        return StaticDir(**common, **static, folder=values.path_inside(folder, "static_dir"))  # type: ignore[arg-type]
    return _static_files(fields, common, static, pattern)


def _kind(fields: Fields) -> str:
    kinds = [kind for kind in _TAKES if kind in fields]
    if kinds == ["script", "api_endpoint"]:
        return "api_endpoint"
    if len(kinds) != 1:
        given = f"not {' and '.join(kinds)} together" if kinds else "and has none"
        raise fields.value.error(f"a handler needs one of script, static_dir and static_files, {given}")
    return kinds[0]


def _url_pattern(value: Value, directory: bool) -> re.Pattern[str]:
    url = value.text("url")
    if url.startswith("^") or (url.endswith("$") and not url.endswith("\\$")):
        raise value.error(f"url must not begin with ^ or end with $, which App Engine adds itself: {url!r}")
    if not url.startswith(("/", ".", "(")):
        raise value.error(f"url must begin with a slash, not {url!r}; did you mean {'/' + url!r}?")
    values.regex(value, "url")
    return values.regex(value, "url", f"{url.rstrip('/')}/(.*)" if directory else url)


def _common(fields: Fields, value: Value, pattern: re.Pattern[str]) -> dict[str, object]:
    def word(name: str, words: tuple[str, ...]) -> str:
        given = fields.get(name)
        return words[0] if given is None else values.word(given, name, words)

    word("redirect_http_response_code", ("302", "301", "303", "307"))
    return {
        "place": value.place,
        "pattern": pattern,
        "login": cast("Login", word("login", ("optional", "required", "admin"))),
        "redirects": word("auth_fail_action", ("redirect", "unauthorized")) == "redirect",
        "secure": word("secure", ("default", "optional", "always", "never")),
        "head": word("position", ("tail", "head")) == "head",
    }


def _script(fields: Fields, common: dict[str, object]) -> Script:
    value = fields.need("script", "the WSGI callable, such as main.app")
    script = value.text("script")
    if ":" in script:
        raise value.error(f"script names a callable with a dot, not a colon: {script.replace(':', '.')!r}")
    _check_groups(value, "script", script, cast("re.Pattern[str]", common["pattern"]))
    handler = Script(**common, script=script)  # type: ignore[arg-type]
    if script != "auto" and not handler.is_cgi and not _DOTTED.fullmatch(script):
        raise value.error(f"script must be a module and its WSGI callable, such as main.app, not {script!r}")
    return handler


def _static(fields: Fields, default_expiration: int | None) -> dict[str, object]:
    expiration, mime_type, http_headers = (fields.get(name) for name in ("expiration", "mime_type", "http_headers"))
    matching, readable = fields.get("require_matching_file"), fields.get("application_readable")
    if mime_type and not _MIME_TYPE.fullmatch(mime_type.text("mime_type")):
        raise mime_type.error(f"mime_type must be a type such as text/css, not {mime_type.text('mime_type')!r}")
    headers = read_http_headers(http_headers) if http_headers else ()
    if http_headers and mime_type and any(name.lower() == "content-type" for name, _ in headers):
        raise http_headers.error("mime_type and a Content-Type header together: keep one of them")
    if readable:
        values.switch(readable, "application_readable")
    return {
        "mime_type": mime_type.text("mime_type") if mime_type else None,
        "expiration": values.duration(expiration, "expiration") if expiration else default_expiration,
        "http_headers": headers,
        "require_matching_file": values.switch(matching, "require_matching_file") if matching else False,
    }


def _static_files(
    fields: Fields, common: dict[str, object], static: dict[str, object], pattern: re.Pattern[str]
) -> StaticFiles:
    value = fields.need("static_files", "the file, such as 'static/favicon.ico'")
    template = value.text("static_files")
    _check_groups(value, "static_files", template, pattern)
    if not _GROUP.match(template):
        values.path_inside(value, "static_files")
    upload = fields.need("upload", "a regular expression of the files that exist, such as 'static/.*'")
    return StaticFiles(
        **common, **static, template=template, upload=values.regex(upload, "upload")  # type: ignore[arg-type]
    )  # fmt: skip


def _check_groups(value: Value, name: str, template: str, pattern: re.Pattern[str]) -> None:
    highest = max((int(number) for number in _GROUP.findall(template)), default=0)
    if highest > pattern.groups:
        groups = f"{pattern.groups} groups" if pattern.groups != 1 else "1 group"
        raise value.error(f"{name} refers to \\{highest}, but its url has {groups} in parentheses")
