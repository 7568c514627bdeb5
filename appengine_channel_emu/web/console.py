"""`/_emu/`: the console, three static files, and its list of notes."""

from __future__ import annotations

import dataclasses
from importlib import resources

import falcon

from appengine_channel_emu.notes import Notes
from appengine_channel_emu.web.admin import answer_json
from appengine_channel_emu.web.query import Query

CONSOLE_PATH = "/_emu/"

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class ConsoleFile:
    """One file of the console."""

    def __init__(self, name: str, content_type: str) -> None:
        self._data = (resources.files("appengine_channel_emu") / "console" / name).read_bytes()
        self._content_type = content_type

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """The file, for a page that loads nothing from elsewhere and can be framed by nobody."""
        resp.content_type = self._content_type
        resp.set_header("Content-Security-Policy", POLICY)
        resp.data = self._data


class ToConsole:
    """`GET /_emu`."""

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Its relative addresses need the slash."""
        raise falcon.HTTPFound(CONSOLE_PATH)


class NotesResource:
    """`GET /_emu/notes`."""

    def __init__(self, notes: Notes) -> None:
        self._notes = notes

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """What production would have done."""
        Query(req)
        answer_json(resp, {"notes": [dataclasses.asdict(note) for note in self._notes.all()]})


def console_resources() -> dict[str, object]:
    """Resources by path."""
    return {
        "/_emu": ToConsole(),
        CONSOLE_PATH: ConsoleFile("index.html", "text/html; charset=utf-8"),
        "/_emu/console.css": ConsoleFile("console.css", "text/css; charset=utf-8"),
        "/_emu/console.js": ConsoleFile("console.js", "text/javascript; charset=utf-8"),
    }
