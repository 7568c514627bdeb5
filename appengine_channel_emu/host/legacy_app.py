"""What the emulator itself must know of a legacy app's app.yaml. Whether the file is right is the SDK's to say."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from appengine_channel_emu.host.backend import CannotStart

PYTHON25 = "python"
CONNECTED = "/_ah/channel/connected/"
LEGACY_RUNTIMES = (PYTHON25, "python27")

_AVAILABLE_BUILTINS = frozenset(
    ["admin_redirect", "appstats", "datastore_admin", "default", "deferred", "django_wsgi", "mapreduce", "remote_api"]
)


@dataclass(frozen=True, slots=True)
class LegacyApp:
    """An app for the SDK: its app.yaml, and what it says."""

    path: Path
    content: dict[str, Any]

    @property
    def runtime(self) -> str:
        return str(self.content.get("runtime", ""))

    @property
    def takes_presence(self) -> bool:
        """Whether app.yaml asks to be told of clients that connect and disconnect."""
        return "channel_presence" in (self.content.get("inbound_services") or [])

    @property
    def presence_hint(self) -> str | None:
        """What to say when a client connects that the app is not told of, though it has a handler for it."""
        handlers = [entry for entry in self.content.get("handlers") or [] if isinstance(entry, dict)]
        if self.takes_presence or not any(_takes(str(handler.get("url")), CONNECTED) for handler in handlers):
            return None
        return (
            f"{self.path}: a handler takes {CONNECTED}, but the app is not told of clients that connect: "
            "channel_presence is not listed under inbound_services (--presence=always tells it all the same)."
        )

    @property
    def timeout_page(self) -> tuple[bytes, str] | None:
        """The app's own page for a request that overran its deadline, body and MIME type."""
        for entry in self.content.get("error_handlers") or []:
            if isinstance(entry, dict) and entry.get("error_code") == "timeout":
                try:
                    body = (self.path.parent / str(entry.get("file"))).read_bytes()
                except OSError as error:
                    raise CannotStart(f"{self.path}: error_handlers: {error}") from error
                return body, str(entry.get("mime_type") or "text/html")
        return None


def _takes(url: str, path: str) -> bool:
    try:
        return re.fullmatch(url, path) is not None
    except re.error:
        return False


def read_legacy_app(path: Path) -> LegacyApp | None:
    """The app at `path`, None where the SDK for Python 2.7 is not what runs it. Raises `CannotStart` for no YAML."""
    try:
        # Every value as the text that it was written as: the SDK would not know `true` in place of `on`.
        content = yaml.load(path.read_text(encoding="utf-8"), yaml.BaseLoader)  # noqa: S506 - it makes text alone
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise CannotStart(f"{path} cannot be read: {error}") from error
    if not isinstance(content, dict) or content.get("runtime") not in LEGACY_RUNTIMES:
        return None
    return LegacyApp(path.resolve(), content)


class Python25Overlay:
    """An app of the runtime `python` (2.5) as SDK 1.9.88 takes it: links to its files, and an app.yaml of ours."""

    def __init__(self, app: LegacyApp) -> None:
        self._app = app
        self._content, self.changes = _for_python27(app.content)

    def __call__(self, folder: Path) -> Path:
        """Make it in `folder`, which exists and is empty; returns its app.yaml."""
        for entry in os.scandir(self._app.path.parent):
            if entry.name != self._app.path.name:
                (folder / entry.name).symlink_to(entry.path)
        made = folder / self._app.path.name
        made.write_text(yaml.safe_dump(self._content, sort_keys=False), encoding="utf-8")
        return made


def _for_python27(content: dict[str, Any]) -> tuple[dict[str, Any], Sequence[str]]:
    """The content for `runtime: python27`, and what was changed, for people."""
    changed = dict(content, runtime="python27", threadsafe="false")
    changes = ["runtime: python27 and threadsafe: false"]
    libraries = list(content.get("libraries") or [])
    if not any(isinstance(library, dict) and library.get("name") == "django" for library in libraries):
        changed["libraries"] = [*libraries, {"name": "django", "version": "1.2"}]
        changes.append("libraries: django 1.2, which every app of Python 2.5 could import")
    builtins = content.get("builtins") or []
    kept = [builtin for builtin in builtins if isinstance(builtin, dict) and _AVAILABLE_BUILTINS.issuperset(builtin)]
    if len(kept) != len(builtins):
        changed["builtins"] = kept
        gone = [name for builtin in builtins if builtin not in kept for name in builtin]
        changes.append(f"without the builtins {', '.join(map(str, gone))}, which the SDK no longer has")
        if not kept:
            del changed["builtins"]
    return changed, changes
