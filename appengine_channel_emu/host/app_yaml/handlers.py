"""Handlers: which urls are whose, and what answers them (facts.md 9.1)."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, cast

from . import python2_re, values
from .document import Fields, Notes, Value
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

_DOTTED = re.compile(r"[^\s.:]+(?:\.[^\s.:]+)+")
NOWHERE = python2_re.compile(r"(?!)")


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
        return wsgi_target(python2_re.expand(self.script, match))

    @property
    def is_cgi(self) -> bool:
        """Whether it names a CGI script (a file) in place of a WSGI callable."""
        return self.script.endswith(".py") or "/" in self.script

    @property
    def trouble(self) -> str | None:
        """Why Python 3 cannot run it, whatever the url."""
        wanted = "name a WSGI callable, such as main.app"
        if self.is_cgi:
            return f"the CGI script {self.script!r} needs Python 2.7 and the SDK; for Python 3 {wanted}"
        if not python2_re.groups_in(self.script) and not _names_callable(self.script):
            return f"script: {self.script!r} is no module and callable; {wanted}"
        return None

    @property
    def fixed_target(self) -> str | None:
        """`module:callable` when it is the same for all paths."""
        return None if self.trouble or python2_re.groups_in(self.script) else wsgi_target(self.script)


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
        return _clean(self.folder)

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
        return _clean(self._said)

    @property
    def _said(self) -> str:
        """The folder as app.yaml says it: it may have a "." in it, and what a visitor says may not."""
        return self.template.partition("\\")[0].rpartition("/")[0]

    def file(self, match: re.Match[str]) -> str | None:
        """See `Static`."""
        path = python2_re.expand(self.template, match)
        if "" in path.split("/"):
            return None
        return posixpath.join(self.root, path[len(self._said) :].removeprefix("/"))


def _clean(folder: str) -> str:
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


def read_handler(value: Value, default_expiration: int | None, notes: Notes) -> Handler | None:
    """One entry of `handlers`, or None (and a warning) if it is of a kind that is not served."""
    fields = Fields(value, "a handler", _ALL)
    kind = _kind(fields)
    for name in _ALL:
        if fields.get(name) is not None and name not in (*_COMMON, kind, *_TAKES[kind]):
            takers = [each for each, fields_of in _TAKES.items() if name in fields_of] or ["no"]
            raise value.error(f"{name} is for {' and '.join(takers)} handlers, not for {kind}")
    if kind == "api_endpoint":
        notes.unserved(value, "api_endpoint handlers are not served here")
        return None
    pattern = _pattern(fields, value, notes, directory=kind == "static_dir")
    common = _common(fields, value, pattern)
    if kind == "script":
        return _script(fields, common, notes)
    static = _static(fields, default_expiration, notes)
    if kind == "static_dir":
        given = fields.need("static_dir", "the folder of the files")
        return StaticDir(**common, **static, folder=_folder(given, notes))  # type: ignore[arg-type]
    return _static_files(fields, common, static, notes)


def _kind(fields: Fields) -> str:
    kinds = [kind for kind in _TAKES if fields.get(kind) is not None]
    if kinds == ["script", "api_endpoint"]:
        return "api_endpoint"
    if len(kinds) != 1:
        given = f"not {' and '.join(kinds)} together" if kinds else "and has none"
        raise fields.value.error(f"a handler needs one of script, static_dir and static_files, {given}")
    return kinds[0]


def _pattern(fields: Fields, value: Value, notes: Notes, *, directory: bool) -> re.Pattern[str]:
    given = fields.get("url")
    if given is None:
        notes.mistake(value, "a handler without url, such as '/.*', answers nothing")
        return NOWHERE
    url = given.text("url")
    if url.startswith("^"):
        raise given.error(f"url must not begin with ^, which App Engine adds itself: {url!r}")
    if not url.startswith(("/", ".", "(")):
        raise given.error(f"url must begin with a slash, not {url!r}; did you mean {'/' + url!r}?")
    if directory and url.endswith("$"):
        notes.mistake(given, "the url of a static_dir that ends in $ matches nothing; leave the $ out")
    within = url if url.endswith("/") else f"{url}/"
    return values.regex(given, "url", f"{within}(?P<file>.*)$" if directory else f"{url}$")


def _common(fields: Fields, value: Value, pattern: re.Pattern[str]) -> dict[str, object]:
    def word(name: str, words: tuple[str, ...]) -> str:
        given = fields.get(name)
        return words[0] if given is None else values.word(given, name, words)

    word("redirect_http_response_code", ("302", "301", "303", "307"))
    return {
        "place": value.place,
        "url": given.text("url") if (given := fields.get("url")) else "",
        "pattern": pattern,
        "login": cast("Login", word("login", ("optional", "required", "admin"))),
        "redirects": word("auth_fail_action", ("redirect", "unauthorized")) == "redirect",
        "secure": word("secure", ("optional", "always", "never", "default")).replace("default", "optional"),
        "head": word("position", ("head", "tail")) == "head",
    }


def _script(fields: Fields, common: dict[str, object], notes: Notes) -> Script:
    value = fields.need("script", "the WSGI callable, such as main.app")
    script = value.text("script")
    handler = Script(**common, script=script)  # type: ignore[arg-type]
    if ":" in script:
        dotted = script.replace(":", ".")
        notes.mistake(value, f"App Engine wants a dot before the callable: script: {dotted}")
    elif handler.trouble is not None and not handler.is_cgi:
        notes.mistake(value, handler.trouble)
    _check_groups(value, "script", script, handler.pattern, notes)
    return handler


def _static(fields: Fields, default_expiration: int | None, notes: Notes) -> dict[str, object]:
    expiration, mime_type, http_headers = (fields.get(name) for name in ("expiration", "mime_type", "http_headers"))
    matching, readable = fields.get("require_matching_file"), fields.get("application_readable")
    headers = read_http_headers(http_headers, notes) if http_headers else ()
    if http_headers and mime_type and any(name.lower() == "content-type" for name, _ in headers):
        raise http_headers.error("mime_type and a Content-Type header together: keep one of them")
    if readable:
        values.switch(readable, "application_readable", notes)
    return {
        "mime_type": values.mime_type(mime_type, notes) if mime_type else None,
        "expiration": values.duration(expiration, "expiration") if expiration else default_expiration,
        "http_headers": headers,
        "require_matching_file": values.switch(matching, "require_matching_file", notes) if matching else False,
    }


def _static_files(fields: Fields, common: dict[str, object], static: dict[str, object], notes: Notes) -> StaticFiles:
    value = fields.need("static_files", "the file, such as 'static/favicon.ico'")
    template = value.text("static_files")
    _check_groups(value, "static_files", template, cast("re.Pattern[str]", common["pattern"]), notes)
    upload = fields.need("upload", "a regular expression of the files that exist, such as 'static/.*'")
    handler = StaticFiles(
        **common, **static, template=template, upload=values.regex(upload, "upload")  # type: ignore[arg-type]
    )  # fmt: skip
    _warn_of_place(value, handler.root, notes)
    return handler


def _folder(value: Value, notes: Notes) -> str:
    folder = value.text("static_dir")
    if "\\" in folder:
        notes.mistake(value, "static_dir is a path with slashes; a backslash is taken for a part of a name")
    _warn_of_place(value, _clean(folder), notes)
    return folder


def _warn_of_place(value: Value, root: str, notes: Notes) -> None:
    if root.startswith("/"):
        notes.mistake(value, "App Engine finds no file by an absolute path; write it from the app's folder")
    elif root.split("/")[0] == "..":
        notes.mistake(value, f"{root!r} is outside of the app's folder, which App Engine would not have had")


def _check_groups(value: Value, name: str, template: str, pattern: re.Pattern[str], notes: Notes) -> None:
    for group in python2_re.groups_in(template):
        if group in pattern.groupindex or (isinstance(group, int) and group <= pattern.groups):
            continue
        groups = f"{pattern.groups} groups" if pattern.groups != 1 else "1 group"
        notes.mistake(value, f"{name} refers to \\{group}, but its url has {groups} in parentheses")
