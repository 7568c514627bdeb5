"""Reads an app.yaml and the files that it includes."""

from __future__ import annotations

import os
import re
from pathlib import Path

from . import values
from .config import DEFAULT_SKIP_FILES, AppConfig, ErrorFile, Library
from .document import BadAppYaml, Fields, Value, read_document
from .entrypoint import read_entrypoint
from .handlers import MOST_HANDLERS, Handler, Script, StaticDir, read_handler, wsgi_target
from .wsgi_servers import BadEntrypoint, Entrypoint

_SERVED = (
    "application", "version", "module", "service", "runtime", "api_version", "threadsafe", "handlers", "includes",
    "default_expiration", "skip_files", "inbound_services", "env_variables", "libraries", "error_handlers",
    "entrypoint", "manual_scaling",
)  # fmt: skip
_NOT_SERVED = (
    "admin_console", "api_config", "app_engine_apis", "auto_id_policy", "automatic_scaling", "backends",
    "basic_scaling", "beta_settings", "build_env_variables", "builtins", "code_lock", "datastore_auto_id_policy",
    "derived_file_type", "endpoints_api_service", "env", "env_flex", "health_check", "instance_class",
    "liveness_check", "main", "network", "nobuild_files", "pagespeed", "readiness_check", "resources",
    "runtime_config", "service_account", "source_language", "standard_websocket", "vm", "vm_health_check",
    "vm_settings", "vpc_access", "vpc_access_connector", "zones",
)  # fmt: skip
_SERVED_IN_INCLUDES = ("handlers", "includes", "env_variables")
_INBOUND_SERVICES = (
    "channel_presence", "mail", "mail_bounce", "rest", "warmup", "xmpp_error", "xmpp_message", "xmpp_presence",
    "xmpp_subscribe",
)  # fmt: skip
_ERROR_CODES = ("default", "over_quota", "dos_api_denial", "timeout")
# What leads the app to the emulator; an app.yaml that sets one was written for something else.
_OURS = ("CHANNEL_EMULATOR_HOST", "API_HOST", "API_PORT")
MOST_INCLUDES = 50

_ID = re.compile(r"[A-Za-z\d][A-Za-z\d:.~_-]{0,99}")
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def read_app_yaml(path: Path) -> AppConfig:
    """The app that `path` describes. Raises `BadAppYaml`."""
    return _Reader(path.resolve()).read()


class _Reader:
    """One reading: collects what several files say together."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._files = [path]
        self._warnings: list[str] = []
        self._handlers: list[Handler] = []
        self._included_handlers: list[Handler] = []
        self._env: dict[str, str] = {}
        self._expiration: int | None = None

    def read(self) -> AppConfig:
        document = read_document(self._path, self._path.name)
        if document is None:
            raise BadAppYaml(f"{self._path.name}: is empty; it needs at least a runtime and handlers")
        fields = Fields(document, "app.yaml", _SERVED, _NOT_SERVED)
        self._warn_of(fields)
        runtime = self._text(fields.need("runtime", "such as python312, or python27"), "runtime")
        if (value := fields.get("api_version")) is not None:
            values.word(value, "api_version", ("1", "2"))
        if (value := fields.get("default_expiration")) is not None:
            self._expiration = values.duration(value, "default_expiration")
        self._env = self._read_env(fields)
        self._handlers = self._read_handlers(fields)
        self._include(fields, self._path)
        entrypoint = self._entrypoint(fields)
        return AppConfig(
            path=self._path,
            runtime=runtime,
            application=self._id(fields, "application"),
            version=self._id(fields, "version"),
            module=self._id(fields, "service") or self._id(fields, "module") or "default",
            threadsafe=self._threadsafe(fields, runtime),
            handlers=self._ordered(runtime),
            error_files=self._error_files(fields),
            env_variables=self._env,
            inbound_services=self._inbound_services(fields),
            skip_files=self._skip_files(fields),
            libraries=self._libraries(fields),
            entrypoint=entrypoint,
            instances=self._instances(fields),
            files=tuple(self._files),
            warnings=tuple(self._warnings),
        )

    def _warn(self, value: Value, text: str) -> None:
        self._warnings.append(f"{value.place}: {text}")

    def _warn_of(self, fields: Fields) -> None:
        for key in fields.ignored:
            self._warn(key, f"{key.text('a field')} is not served here, and has no effect")

    @staticmethod
    def _text(value: Value, name: str) -> str:
        text = value.text(name)
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_.-]*", text):
            raise value.error(f"{name} cannot be {text!r}")
        return text

    @staticmethod
    def _id(fields: Fields, name: str) -> str | None:
        value = fields.get(name)
        if value is None:
            return None
        text = value.text(name)
        if not _ID.fullmatch(text):
            raise value.error(f"{name} must be of letters, digits and dashes, not {text!r}")
        return text

    def _threadsafe(self, fields: Fields, runtime: str) -> bool:
        value = fields.get("threadsafe")
        threadsafe = values.switch(value, "threadsafe") if value else runtime != "python"
        if value is None and runtime == "python27":
            self._warn(fields.value, "App Engine wants threadsafe for python27; taken as true")
        if threadsafe and runtime == "python27":
            for handler in [*self._handlers, *self._included_handlers]:
                if isinstance(handler, Script) and handler.is_cgi:
                    raise BadAppYaml(
                        f"{handler.place}: the CGI script {handler.script!r} needs threadsafe: false; "
                        "with threadsafe: true name a WSGI callable, such as main.app"
                    )
        return threadsafe

    def _read_env(self, fields: Fields) -> dict[str, str]:
        variables: dict[str, str] = {}
        value = fields.get("env_variables")
        for key, field in value.entries("env_variables") if value else ():
            name = key.text("a variable's name")
            if not _ENV_NAME.fullmatch(name):
                raise key.error(f"{name!r} is not the name of a variable: letters, digits and underscores")
            if name in _OURS:
                self._warn(key, f"{name} is set by the emulator, which this cannot change")
                continue
            variables[name] = field.text(f"the variable {name}")
        return variables

    def _read_handlers(self, fields: Fields) -> list[Handler]:
        value = fields.get("handlers")
        found = [
            read_handler(item, self._expiration, self._warnings) for item in (value.items("handlers") if value else ())
        ]
        handlers = [handler for handler in found if handler is not None]
        for handler in handlers:
            if isinstance(handler, StaticDir) and not (self._path.parent / handler.folder).is_dir():
                self._warnings.append(f"{handler.place}: static_dir: there is no folder {handler.folder!r}")
        return handlers

    def _include(self, fields: Fields, included_from: Path) -> None:
        value = fields.get("includes")
        for item in value.items("includes") if value else ():
            path = self._included_path(item, included_from)
            if path in self._files:
                continue
            if len(self._files) > MOST_INCLUDES:
                raise item.error(f"more than {MOST_INCLUDES} files are included")
            self._files.append(path)
            self._read_included(path)

    def _included_path(self, item: Value, included_from: Path) -> Path:
        text = item.text("an entry of includes")
        if "\0" in text or not text.strip():
            raise item.error("an entry of includes must be the path of a file")
        for base in (included_from.parent, self._path.parent):
            path = base / text
            path = path / "include.yaml" if path.is_dir() else path
            if path.is_file():
                return path.resolve()
        raise item.error(f"includes: there is no file {text!r}")

    def _read_included(self, path: Path) -> None:
        folder = self._path.parent
        name = path.relative_to(folder).as_posix() if path.is_relative_to(folder) else str(path)
        document = read_document(path, name)
        if document is None:
            self._warnings.append(f"{name}: is empty")
            return
        left_out = set(_SERVED).difference(_SERVED_IN_INCLUDES)
        fields = Fields(document, "an included file", _SERVED_IN_INCLUDES, [*_NOT_SERVED, *left_out])
        self._warn_of(fields)
        self._env = self._read_env(fields) | self._env
        self._included_handlers += self._read_handlers(fields)
        self._include(fields, path)

    def _ordered(self, runtime: str) -> tuple[Handler, ...]:
        first = [handler for handler in self._included_handlers if handler.head]
        last = [handler for handler in self._included_handlers if not handler.head]
        handlers = [*first, *self._handlers, *last]
        if len(handlers) > MOST_HANDLERS:
            raise BadAppYaml(f"{self._path.name}: has {len(handlers)} handlers; the most is {MOST_HANDLERS}")
        if runtime.startswith("python3") and not any(isinstance(handler, Script) for handler in handlers):
            # Second-generation runtimes send to the entrypoint what no handler takes.
            handlers.append(Script(place=self._path.name, pattern=re.compile(r"(?s:/.*)"), script="auto"))
        return tuple(handlers)

    def _error_files(self, fields: Fields) -> dict[str, ErrorFile]:
        files: dict[str, ErrorFile] = {}
        value = fields.get("error_handlers")
        for item in value.items("error_handlers") if value else ():
            entry = Fields(item, "an error handler", ("file", "error_code", "mime_type"))
            file = entry.need("file", "the page to send, such as 'timeout.html'")
            path = self._path.parent / values.path_inside(file, "file")
            if not path.is_file() or not path.resolve().is_relative_to(self._path.parent):
                raise file.error(f"error_handlers: there is no file {file.text('file')!r} in the app's folder")
            code_value, mime = entry.get("error_code"), entry.get("mime_type")
            code = values.word(code_value, "error_code", _ERROR_CODES) if code_value else "default"
            if code in files:
                raise item.error(f"error_handlers has a file for {code} already")
            if mime and not re.fullmatch(r"[\w.+-]+/[\w.+-]+(\s*;[\x20-\x7e]*)?", mime.text("mime_type"), re.ASCII):
                raise mime.error(f"mime_type must be a type such as text/html, not {mime.text('mime_type')!r}")
            files[code] = ErrorFile(path, mime.text("mime_type") if mime else "text/html")
        return files

    def _inbound_services(self, fields: Fields) -> frozenset[str]:
        services = set()
        value = fields.get("inbound_services")
        for item in value.items("inbound_services") if value else ():
            service = values.word(item, "an inbound service", _INBOUND_SERVICES)
            if service != "channel_presence":
                self._warn(item, f"the inbound service {service} is not served here")
            services.add(service)
        return frozenset(services)

    @staticmethod
    def _skip_files(fields: Fields) -> tuple[re.Pattern[str], ...]:
        value = fields.get("skip_files")
        if value is None:
            return DEFAULT_SKIP_FILES
        if value.is_list:
            return tuple(values.regex(item, "skip_files") for item in value.items("skip_files"))
        # The old way: one expression over several lines.
        joined = "".join(line.strip() for line in value.text("skip_files").splitlines())
        return (values.regex(value, "skip_files", joined),)

    @staticmethod
    def _libraries(fields: Fields) -> tuple[Library, ...]:
        found = []
        value = fields.get("libraries")
        for item in value.items("libraries") if value else ():
            entry = Fields(item, "a library", ("name", "version"))
            name = entry.need("name", "such as webapp2").text("name")
            version = entry.get("version")
            if not re.fullmatch(r"[\w.-]+", name):
                raise item.error(f"{name!r} is not the name of a library")
            found.append(Library(name, version.text("version") if version else "latest", item.place))
        return tuple(found)

    def _entrypoint(self, fields: Fields) -> Entrypoint | None:
        """What its command line starts; the command itself is not run."""
        value = fields.get("entrypoint")
        if value is None:
            return None
        try:
            found = read_entrypoint(value.text("entrypoint"), self._path.parent, os.environ | self._env)
        except BadEntrypoint as error:
            raise value.error(f"entrypoint {error}") from None
        self._files += found.files
        return found

    def _instances(self, fields: Fields) -> int:
        value = fields.get("manual_scaling")
        if value is None:
            return 1
        instances = Fields(value, "manual_scaling", ("instances",)).need("instances", "how many instances run")
        number = values.whole(instances, "instances", 1, 1_000_000)
        if number > 1:
            self._warn(instances, f"{number} instances are asked for; a threadsafe app runs in one here")
        return number


def default_target(config: AppConfig) -> str:
    """What names the application that `script: auto` means: the entrypoint's, or App Engine's default."""
    return config.entrypoint.target if config.entrypoint else wsgi_target("main.app")
