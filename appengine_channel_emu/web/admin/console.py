"""The console's files: a page of our own that asks the admin API, and loads nothing from elsewhere; the documents."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib import resources

import falcon

CONSOLE_PATH = "/_emu/"

FILES_PATH = "/_emu/console/"
"""Before the names of the files that the page loads."""

DOCUMENTS_PATH = "/_emu/docs/"
"""Before the names of the documents, as they are written: those of this very version, with no network."""

CONSOLE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

CONTENT_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".md": "text/plain; charset=utf-8",
}
"""By the ends of files' names; others are not served."""


@cache
def console_resources() -> dict[str, object]:
    """The console's files and the documents by path; read once, for an emulator in process is made for each test."""
    table: dict[str, object] = {"/_emu": ConsoleRedirect()}
    for folder, prefix in (("console", FILES_PATH), ("docs", DOCUMENTS_PATH)):
        for file in (resources.files("appengine_channel_emu") / folder).iterdir():
            content_type = CONTENT_TYPES.get(file.name[file.name.rfind(".") :])
            if content_type is not None:
                path = CONSOLE_PATH if file.name == "index.html" else f"{prefix}{file.name}"
                table[path] = ConsoleFile(file.read_bytes(), content_type)
    return table


class ConsoleFile:
    """One file of the console."""

    def __init__(self, data: bytes, content_type: str) -> None:
        self._data = data
        self._content_type = content_type
        self._etag = hashlib.sha256(data).hexdigest()[:32]

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """200 or 304: the file, for a page that loads nothing from elsewhere and can be framed by nobody."""
        resp.set_header("ETag", f'"{self._etag}"')
        resp.set_header("Content-Security-Policy", CONSOLE_POLICY)
        if self._etag in (req.if_none_match or []):
            resp.status = falcon.HTTP_304
            return
        resp.content_type = self._content_type
        resp.data = self._data


class ConsoleRedirect:
    """`GET /_emu`."""

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Its relative addresses need the slash."""
        raise falcon.HTTPFound(CONSOLE_PATH)
