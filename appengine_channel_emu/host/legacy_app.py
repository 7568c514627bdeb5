"""What the emulator itself must know of a legacy app's app.yaml. Whether the file is right is the SDK's to say."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from appengine_channel_emu.host.app_yaml import AppConfig, BadAppYaml, read_app_yaml
from appengine_channel_emu.host.app_yaml.document import Value, read_document, read_text
from appengine_channel_emu.host.errors import CannotStart
from appengine_channel_emu.host.presence_hint import PRESENCE_SERVICE, presence_hint

PYTHON25 = "python"
LEGACY_RUNTIMES = (PYTHON25, "python27")

_AVAILABLE_BUILTINS = frozenset(["admin_redirect", "appstats", "default", "deferred", "django_wsgi", "remote_api"])
"""Those of SDK 1.9.88 for `python27`, which is what every app is given as. It refuses an app.yaml that has others."""

_REFUSED_FIELDS = (
    "app_engine_apis", "app_engine_bundled_services", "build_env_variables", "datastore_auto_id_policy", "env_flex",
    "flexible_runtime_settings", "pagespeed", "service_account", "vpc_access",
)  # fmt: skip
"""What App Engine took at one time or another, and SDK 1.9.88 refuses."""


@dataclass(frozen=True, slots=True)
class LegacyApp:
    """An app for the SDK: its app.yaml, and what it says.

    `config` is None where `refusal` says what is wrong with it to us; the SDK then very likely refuses it too.
    """

    path: Path
    document: Value
    config: AppConfig | None
    refusal: str = ""

    @property
    def runtime(self) -> str:
        return _text(self.document, "runtime")

    @property
    def takes_presence(self) -> bool:
        """Whether app.yaml asks to be told of clients that connect and disconnect."""
        services = _field(self.document, "inbound_services")
        items = services.items("inbound_services") if services is not None and services.is_list else []
        return any(item.is_plain and item.written == PRESENCE_SERVICE for item in items)

    @property
    def presence_hint(self) -> str | None:
        """What to say when a client connects that the app is not told of, though it very likely wants to be."""
        return presence_hint(self.config) if self.config else None

    @property
    def timeout_page(self) -> tuple[bytes, str] | None:
        """The app's own page for a request that overran its deadline, body and MIME type."""
        page = self.config.error_files.get("timeout") if self.config else None
        return page.content if page else None

    @property
    def mistakes(self) -> tuple[str, ...]:
        """Lines for the user about what the SDK takes, and takes otherwise than its author may think."""
        return self.config.mistakes if self.config else (self.refusal,)


def read_legacy_app(path: Path) -> LegacyApp | None:
    """The app at `path`, None where the SDK for Python 2.7 is not what runs it. Raises `CannotStart` for no YAML."""
    try:
        document = read_document(path, path.name)
    except BadAppYaml as error:
        raise CannotStart(str(error)) from error
    if document is None or _text(document, "runtime") not in LEGACY_RUNTIMES:
        return None
    # The folder that the file is found in, which a link need not share with what it leads to: so the SDK sees it.
    path = path.parent.resolve() / path.name
    try:
        config = read_app_yaml(path)
    except BadAppYaml as error:
        return LegacyApp(path, document, None, str(error))
    return LegacyApp(path, document, config) if config.is_legacy_python else None


def _field(document: Value, name: str) -> Value | None:
    if not isinstance(document.node, yaml.MappingNode):
        return None
    return next((Value(value, document.file) for key, value in document.node.value if key.value == name), None)


def _text(document: Value, name: str) -> str:
    value = _field(document, name)
    return value.written if value is not None and value.is_plain else ""


def _node(text: str) -> Any:
    """The YAML value as a node, which keeps how it was written."""
    return yaml.compose(text, yaml.SafeLoader)


def _entries(node: yaml.Node) -> list[tuple[yaml.Node, yaml.Node]]:
    return list(node.value) if isinstance(node, yaml.MappingNode) else []


class Overlay:
    """An app.yaml of ours, which SDK 1.9.88 takes, to be read in place of the app's.

    `changes` says for people what differs in it. All else stands in it as it was written: to the SDK a quoted `false`
    is not the plain one.
    """

    def __init__(self, app: LegacyApp) -> None:
        self._app = app
        self.changes: list[str] = []
        self._root = _node(read_text(app.path, app.path.name))
        for field in _REFUSED_FIELDS:
            if _field(app.document, field) is not None:
                self._set(field, [])
                self.changes.append(f"without {field}, which the SDK does not know")
        self._drop_builtins()

    def __call__(self, folder: Path) -> Path:
        """Make it in `folder`, which exists; returns its path."""
        made = folder / self._app.path.name
        made.write_text(yaml.serialize(self._root, Dumper=yaml.SafeDumper), encoding="utf-8")
        return made

    def _drop_builtins(self) -> None:
        items = self._items("builtins")
        gone = [key.value for item in items for key, _ in _entries(item) if key.value not in _AVAILABLE_BUILTINS]
        if gone:
            for item in items:
                item.value = [entry for entry in _entries(item) if entry[0].value in _AVAILABLE_BUILTINS]
            self._set("builtins", [item for item in items if item.value])
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


class Python25Overlay(Overlay):
    """An app of the runtime `python` (2.5)."""

    def __init__(self, app: LegacyApp) -> None:
        super().__init__(app)
        self.changes.append("runtime: python27 and threadsafe: false")
        self._set("runtime", "python27")
        self._set("threadsafe", "false")
        self._add_django()

    def _add_django(self) -> None:
        fields = [field for item in self._items("libraries") for field in _entries(item)]
        if any((key.value, value.value) == ("name", "django") for key, value in fields):
            return
        django = _node('{name: django, version: "1.2"}')
        self._set("libraries", [*self._items("libraries"), django])
        self.changes.append("libraries: django 1.2, which every app of Python 2.5 could import")


def overlay_of(app: LegacyApp) -> Overlay | None:
    """The overlay that the SDK needs for an app, None where it takes the app as it is."""
    overlay = Python25Overlay(app) if app.runtime == PYTHON25 else Overlay(app)
    return overlay if overlay.changes else None
