"""What the emulator itself must know of a legacy app's app.yaml. Whether the file is right is the SDK's to say."""

from __future__ import annotations

import re
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
    # The folder that the file is found in, which a link need not share with what it leads to: so the SDK sees it.
    return LegacyApp(path.parent.resolve() / path.name, content)


def _node(text: str) -> Any:
    """The YAML value as a node, which keeps how it was written."""
    return yaml.compose(text, yaml.SafeLoader)


class Python25Overlay:
    """The app.yaml of an app of the runtime `python` (2.5), as SDK 1.9.88 takes it.

    `changes` says for people what differs in it. All else stands in it as it was written: to the SDK a quoted `false`
    is not the plain one.
    """

    def __init__(self, app: LegacyApp) -> None:
        self._app = app
        self.changes = ["runtime: python27 and threadsafe: false"]
        self._root = _node(app.path.read_text(encoding="utf-8"))
        self._set("runtime", "python27")
        self._set("threadsafe", "false")
        self._add_django()
        self._drop_builtins()

    def __call__(self, folder: Path) -> Path:
        """Make it in `folder`, which exists; returns its path."""
        made = folder / self._app.path.name
        made.write_text(yaml.serialize(self._root, Dumper=yaml.SafeDumper), encoding="utf-8")
        return made

    def _add_django(self) -> None:
        libraries = self._app.content.get("libraries") or []
        if any(isinstance(library, dict) and library.get("name") == "django" for library in libraries):
            return
        django = _node('{name: django, version: "1.2"}')
        self._set("libraries", [*self._items("libraries"), django])
        self.changes.append("libraries: django 1.2, which every app of Python 2.5 could import")

    def _drop_builtins(self) -> None:
        items = self._items("builtins")
        names = [[key.value for key, _ in item.value] for item in items]
        kept = [item for item, each in zip(items, names, strict=True) if _AVAILABLE_BUILTINS.issuperset(each)]
        if len(kept) < len(items):
            gone = [name for each in names for name in each if name not in _AVAILABLE_BUILTINS]
            self._set("builtins", kept)
            self.changes.append(f"without the builtins {', '.join(gone)}, which the SDK no longer has")

    def _items(self, field: str) -> list[yaml.Node]:
        """The nodes of a list."""
        for key, value in self._root.value:
            if key.value == field and isinstance(value, yaml.SequenceNode):
                return list(value.value)
        return []

    def _set(self, field: str, value: str | list[yaml.Node]) -> None:
        """A plain scalar or a list, in the field's place or at the end; an empty list takes the field away."""
        fields = [(key, node) for key, node in self._root.value if key.value != field]
        if value:
            text = value if isinstance(value, str) else "[]"
            node = _node(text)
            if not isinstance(value, str):
                node.value, node.flow_style = value, False
            fields.append((_node(field), node))
        self._root.value = fields
