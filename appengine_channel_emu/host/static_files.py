"""Static handlers: files of the app's folder, served by the front as App Engine's file servers did.

A visitor names the file, so nothing can be reached outside of the app's folder and of the folder that app.yaml names:
not by segments, percent-encoded or not, not by absolute names, and not through symbolic links.
"""

from __future__ import annotations

import hashlib
import mimetypes
import os
import re
import stat
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING
from wsgiref.handlers import format_date_time

from appengine_channel_emu.host.app_yaml import AppConfig, Static
from appengine_channel_emu.host.backend import AppAnswer, FileBody

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

LONG_PAST = "Fri, 01 Jan 1990 00:00:00 GMT"
"""What the dev server let files expire at when app.yaml has no word on it (facts.md 9.1)."""

LONGEST_NAME = 4096
"""Characters of a path; systems have no longer ones."""

_RANGE = re.compile(r"bytes=(\d{0,15})-(\d{0,15})")
_ENTITY_TAG = re.compile(r'(?:W/)?("[^"]*")')
# Types that systems name differently or not at all; the rest is Python's own table.
_TYPES = mimetypes.MimeTypes()
for _suffix, _type in {
    ".js": "text/javascript", ".mjs": "text/javascript", ".json": "application/json", ".svg": "image/svg+xml",
    ".woff": "font/woff", ".woff2": "font/woff2", ".ico": "image/x-icon", ".webp": "image/webp",
    ".wasm": "application/wasm", ".map": "application/json", ".md": "text/markdown", ".avif": "image/avif",
}.items():  # fmt: skip
    _TYPES.add_type(_type, _suffix)


@dataclass(frozen=True)
class FoundFile:
    """An open file and what is known of it; its reader closes it."""

    file: IO[bytes]
    size: int
    modified: float
    name: str


def find_file(config: AppConfig, name: str | None, root: str = "") -> FoundFile | None:
    """Open the file called `name`, with slashes, from the app's folder, if visitors may have it.

    `root` is how the name begins: the folder that app.yaml itself names, "" for the app's. It may lead elsewhere.
    """
    if name is None or "\0" in name or name.startswith("/") or len(name) > LONGEST_NAME:
        return None
    below = name.removeprefix(f"{root}/") if root else name
    if "\\" in below or any(part in ("", ".", "..") for part in below.split("/")):
        return None
    if config.skips(below if root.split("/")[0] == ".." else name):
        return None
    try:
        folder = config.folder.resolve()
        named = (folder / root).resolve()
        path = (folder / name).resolve(strict=True)
        if path.is_relative_to(folder):
            return None if config.skips(path.relative_to(folder).as_posix()) else _open(path)
        if path.is_relative_to(named):
            return None if config.skips(path.relative_to(named).as_posix()) else _open(path)
    except (OSError, ValueError, RuntimeError):
        # Not there, not readable, a loop of links, or a name that the system cannot have.
        pass
    return None


def _open(path: Path) -> FoundFile | None:
    # Without O_NONBLOCK a named pipe would hold the request; O_NOFOLLOW, since the path is resolved.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    state = os.fstat(descriptor)
    if not stat.S_ISREG(state.st_mode):
        os.close(descriptor)
        return None
    return FoundFile(os.fdopen(descriptor, "rb"), state.st_size, state.st_mtime, path.name)


def serve_file(handler: Static, found: FoundFile, environ: WSGIEnvironment) -> AppAnswer:
    """The file: whole, a range of it, or 304. All methods but HEAD count as GET, as on App Engine."""
    tag = _entity_tag(found)
    headers = _headers(handler, found, tag)
    if _matches(environ.get("HTTP_IF_NONE_MATCH", ""), tag):
        found.file.close()
        return AppAnswer("304 Not Modified", [(name, value) for name, value in headers if name != "Content-Type"])
    first, last = 0, found.size - 1
    status = "200 OK"
    wanted = _range(environ, found.size, tag)
    if wanted is not None:
        first, last = wanted
        if first > last:
            found.file.close()
            return AppAnswer("416 Range Not Satisfiable", [("Content-Range", f"bytes */{found.size}"), _length(0)])
        status = "206 Partial Content"
        headers.append(("Content-Range", f"bytes {first}-{last}/{found.size}"))
    answer = AppAnswer(status, [*headers, ("Accept-Ranges", "bytes"), _length(last - first + 1)])
    if environ["REQUEST_METHOD"] == "HEAD":
        found.file.close()
    else:
        answer.body = FileBody(found.file, first, last - first + 1)
    return answer


def _headers(handler: Static, found: FoundFile, tag: str) -> list[tuple[str, str]]:
    own = {name.lower() for name, _ in handler.http_headers}
    # What one visitor has to sign in for is not for caches that all share.
    reach = "public" if handler.login == "optional" else "private"
    if handler.expiration is None:
        expires, cache = LONG_PAST, reach
    else:
        expires, cache = format_date_time(time.time() + handler.expiration), f"{reach}, max-age={handler.expiration}"
    defaults = [
        ("Content-Type", handler.mime_type if handler.mime_type is not None else _type_of(found.name)),
        ("ETag", tag),
        ("Cache-Control", cache),
        ("Expires", expires),
    ]
    return [*((name, value) for name, value in defaults if name.lower() not in own), *handler.http_headers]


def _type_of(name: str) -> str:
    kind, encoding = _TYPES.guess_type(name)
    if encoding is not None or kind is None:
        return "application/octet-stream"
    return f"{kind}; charset=utf-8" if kind.startswith("text/") else kind


def _entity_tag(found: FoundFile) -> str:
    identity = f"{found.name}\0{found.size}\0{found.modified!r}"
    return f'"{hashlib.sha256(identity.encode("utf-8", "surrogateescape")).hexdigest()[:22]}"'


def _matches(condition: str, tag: str) -> bool:
    return condition.strip() == "*" or tag in _ENTITY_TAG.findall(condition)


def _range(environ: WSGIEnvironment, size: int, tag: str) -> tuple[int, int] | None:
    """First and last byte of the one range that is asked for, None for the whole file (RFC 9110, 14.2)."""
    match = _RANGE.fullmatch(environ.get("HTTP_RANGE", "").strip())
    if match is None or match[1] == match[2] == "" or environ.get("HTTP_IF_RANGE", tag) != tag:
        return None
    if not match[1]:
        return max(0, size - int(match[2])), size - 1 if int(match[2]) else -1
    first, last = int(match[1]), int(match[2]) if match[2] else size - 1
    if match[2] and last < first:
        return None
    return first, min(last, size - 1)


def _length(length: int) -> tuple[str, str]:
    return "Content-Length", str(length)
