"""Reads the entries of `handlers` (facts.md 9.1)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import cast

from . import python2
from .config import NOWHERE, Handler, Login, Script, StaticDir, StaticFiles, clean_folder
from .document import Fields, Value, Warnings

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

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")

_SET_BY_SERVER = frozenset(["content-encoding", "content-length", "date", "server"])
_HOP_BY_HOP = frozenset(
    ["connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailers", "transfer-encoding",
     "upgrade"]
)  # fmt: skip
_OF_REQUESTS = frozenset(
    ["accept", "accept-charset", "accept-encoding", "accept-language", "authorization", "expect", "from", "host",
     "if-match", "if-modified-since", "if-none-match", "if-range", "if-unmodified-since", "max-forwards", "range",
     "referer", "user-agent"]
)  # fmt: skip

LONGEST_HEADER = 500
_LONGER_HEADERS = {
    "content-security-policy": 10240,
    "content-security-policy-report-only": 10240,
    "x-content-security-policy": 10240,
    "x-webkit-csp": 10240,
    "set-cookie": 4096,
    "set-cookie2": 4096,
    "location": 2047,
}
MOST_HEADERS = 500


def read_handler(value: Value, default_expiration: int | None, warnings: Warnings) -> Handler | None:
    """One entry of `handlers`, or None (and a warning) if it is of a kind that is not served."""
    fields = Fields(value, "a handler", _ALL)
    kind = _kind(fields)
    for name in _ALL:
        if fields.get(name) is not None and name not in (*_COMMON, kind, *_TAKES[kind]):
            takers = [each for each, fields_of in _TAKES.items() if name in fields_of] or ["no"]
            raise value.error(f"{name} is for {' and '.join(takers)} handlers, not for {kind}")
    if kind == "api_endpoint":
        warnings.unserved(value, "api_endpoint handlers are not served here")
        return None
    pattern = _pattern(fields, value, warnings, directory=kind == "static_dir")
    common = _common(fields, value, pattern)
    if kind == "script":
        return _script(fields, common, warnings)
    static = _static(fields, default_expiration, warnings)
    if kind == "static_dir":
        given = fields.need("static_dir", "the folder of the files")
        return StaticDir(**common, **static, folder=_folder(given, warnings))  # type: ignore[arg-type]
    return _static_files(fields, common, static, warnings)


def _kind(fields: Fields) -> str:
    kinds = [kind for kind in _TAKES if fields.get(kind) is not None]
    if kinds == ["script", "api_endpoint"]:
        return "api_endpoint"
    if len(kinds) != 1:
        given = f"not {' and '.join(kinds)} together" if kinds else "and has none"
        raise fields.value.error(f"a handler needs one of script, static_dir and static_files, {given}")
    return kinds[0]


def _pattern(fields: Fields, value: Value, warnings: Warnings, *, directory: bool) -> re.Pattern[str]:
    given = fields.get("url")
    if given is None:
        warnings.mistake(value, "a handler without url, such as '/.*', answers nothing")
        return NOWHERE
    url = given.text("url")
    if url.startswith("^"):
        raise given.error(f"url must not begin with ^, which App Engine adds itself: {url!r}")
    if not url.startswith(("/", ".", "(")):
        raise given.error(f"url must begin with a slash, not {url!r}; did you mean {'/' + url!r}?")
    if directory and url.endswith("$"):
        warnings.mistake(given, "the url of a static_dir that ends in $ matches nothing; leave the $ out")
    within = url if url.endswith("/") else f"{url}/"
    return given.regex("url", f"{within}(?P<file>.*)$" if directory else f"{url}$")


def _common(fields: Fields, value: Value, pattern: re.Pattern[str]) -> dict[str, object]:
    def word(name: str, words: tuple[str, ...]) -> str:
        given = fields.get(name)
        return words[0] if given is None else given.word(name, words)

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


def _script(fields: Fields, common: dict[str, object], warnings: Warnings) -> Script:
    value = fields.need("script", "the WSGI callable, such as main.app")
    script = value.text("script")
    handler = Script(**common, script=script)  # type: ignore[arg-type]
    if ":" in script:
        dotted = script.replace(":", ".")
        warnings.mistake(value, f"App Engine wants a dot before the callable: script: {dotted}")
    elif handler.objection is not None and not handler.is_cgi:
        warnings.mistake(value, handler.objection)
    _check_groups(value, "script", script, handler.pattern, warnings)
    return handler


def _static(fields: Fields, default_expiration: int | None, warnings: Warnings) -> dict[str, object]:
    expiration, mime_type, http_headers = (fields.get(name) for name in ("expiration", "mime_type", "http_headers"))
    matching, readable = fields.get("require_matching_file"), fields.get("application_readable")
    headers = _http_headers(http_headers, warnings) if http_headers else ()
    if http_headers and mime_type and any(name.lower() == "content-type" for name, _ in headers):
        raise http_headers.error("mime_type and a Content-Type header together: keep one of them")
    if readable:
        readable.switch("application_readable", warnings)
    return {
        "mime_type": mime_type.mime_type(warnings) if mime_type else None,
        "expiration": expiration.duration("expiration") if expiration else default_expiration,
        "http_headers": headers,
        "require_matching_file": matching.switch("require_matching_file", warnings) if matching else False,
    }


def _static_files(
    fields: Fields, common: dict[str, object], static: dict[str, object], warnings: Warnings
) -> StaticFiles:
    value = fields.need("static_files", "the file, such as 'static/favicon.ico'")
    template = value.text("static_files")
    _check_groups(value, "static_files", template, cast("re.Pattern[str]", common["pattern"]), warnings)
    upload = fields.need("upload", "a regular expression of the files that exist, such as 'static/.*'")
    handler = StaticFiles(
        **common, **static, template=template, upload=upload.regex("upload")  # type: ignore[arg-type]
    )  # fmt: skip
    _warn_of_place(value, handler.root, warnings)
    return handler


def _folder(value: Value, warnings: Warnings) -> str:
    folder = value.text("static_dir")
    if "\\" in folder:
        warnings.mistake(value, "static_dir is a path with slashes; a backslash is taken for a part of a name")
    _warn_of_place(value, clean_folder(folder), warnings)
    return folder


def _warn_of_place(value: Value, root: str, warnings: Warnings) -> None:
    if root.startswith("/"):
        warnings.mistake(value, "App Engine finds no file by an absolute path; write it from the app's folder")
    elif root.split("/")[0] == "..":
        warnings.mistake(value, f"{root!r} is outside of the app's folder, which App Engine would not have had")


def _check_groups(value: Value, name: str, template: str, pattern: re.Pattern[str], warnings: Warnings) -> None:
    for group in python2.groups_in(template):
        if group in pattern.groupindex or (isinstance(group, int) and group <= pattern.groups):
            continue
        groups = f"{pattern.groups} groups" if pattern.groups != 1 else "1 group"
        warnings.mistake(value, f"{name} refers to \\{group}, but its url has {groups} in parentheses")


def _http_headers(value: Value, warnings: Warnings) -> tuple[tuple[str, str], ...]:
    """The headers of `http_headers` in their order (facts.md 9.1)."""
    headers: list[tuple[str, str]] = []
    for key, field in value.entries("http_headers"):
        name = key.written
        _check_header_name(key, name)
        if field.is_empty:
            warnings.mistake(key, f"the header {name} has no value, and is left out")
        elif name.lower() == "trailer" or name.lower().startswith("channel-emu-"):
            warnings.mistake(key, f"the header {name} cannot be set here, and is left out")
        else:
            headers.append((name, _header(field, name)))
    if len(headers) > MOST_HEADERS:
        raise value.error(f"http_headers has {len(headers)} headers; the most is {MOST_HEADERS}")
    return tuple(headers)


def _header(field: Value, name: str) -> str:
    text = field.header_text(f"the value of {name}")
    if len(f"{name}: {text}") > LONGEST_HEADER and len(text) > (longest := _LONGER_HEADERS.get(name.lower(), 0)):
        raise field.error(f"the header {name} is longer than {longest or LONGEST_HEADER} characters")
    return text


def _check_header_name(key: Value, name: str) -> None:
    lower = name.lower()
    if not _HEADER_NAME.fullmatch(name):
        raise key.error(f"{name!r} is not the name of an HTTP header")
    if lower in _SET_BY_SERVER:
        raise key.error(f"{name} is set by the server, and not by http_headers")
    if lower in _HOP_BY_HOP or lower.startswith("x-appengine"):
        raise key.error(f"{name} is reserved; http_headers cannot set it")
    if lower in _OF_REQUESTS:
        raise key.error(f"{name} belongs to requests, not to answers")
