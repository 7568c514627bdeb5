"""Reads an app.yaml and the files that it includes: once, whichever Python the app is for."""

from __future__ import annotations

import os
import re
from pathlib import Path

from appengine_channel_emu.hints import nearest

from . import python2
from .config import (
    LEGACY_RUNTIMES,
    NOWHERE,
    PRESENCE_SERVICE,
    SKIPPED_BY_DEFAULT,
    AppConfig,
    ErrorFile,
    Handler,
    Library,
    Script,
    StaticDir,
)
from .document import BadAppYaml, Fields, Value, Warnings, parse, read_text
from .entrypoint import Entrypoint, read_entrypoint
from .handlers import MOST_HANDLERS, read_handler
from .shell import BadCommand

_SERVED = (
    "application", "project", "version", "module", "service", "runtime", "api_version", "threadsafe", "handlers",
    "includes", "default_expiration", "skip_files", "inbound_services", "env_variables", "libraries", "error_handlers",
    "entrypoint", "manual_scaling", "env", "vm", "builtins",
)  # fmt: skip
_NOT_SERVED = (
    "admin_console", "api_config", "app_engine_apis", "app_engine_bundled_services", "auto_id_policy",
    "automatic_scaling", "backends", "basic_scaling", "beta_settings", "build_env_variables", "code_lock",
    "datastore_auto_id_policy", "derived_file_type", "endpoints_api_service", "env_flex",
    "flexible_runtime_settings", "health_check", "instance_class", "liveness_check", "main", "network",
    "nobuild_files", "pagespeed", "readiness_check", "resources", "runtime_channel", "runtime_config",
    "service_account", "source_language", "standard_websocket", "vm_health_check", "vm_settings", "vpc_access",
    "vpc_access_connector", "zones",
)  # fmt: skip
_SERVED_IN_INCLUDES = ("handlers", "includes", "env_variables", "skip_files", "manual_scaling", "vm", "builtins")
_OUR_BUILTINS = ("default", "remote_api")
_FLEXIBLE = ("2", "flex", "flexible")
_INBOUND_SERVICES = (
    PRESENCE_SERVICE, "mail", "mail_bounce", "rest", "warmup", "xmpp_error", "xmpp_message", "xmpp_presence",
    "xmpp_subscribe",
)  # fmt: skip
_ERROR_CODES = ("default", "over_quota", "dos_api_denial", "timeout")
# What leads the app to the emulator; an app.yaml that sets one was written for something else.
_OURS = ("CHANNEL_EMULATOR_HOST", "API_HOST", "API_PORT")
MOST_INCLUDES = 50

_RUNTIME = re.compile(r"gs://[a-z0-9._/-]+|[a-z][a-z0-9.-]*")
_API_VERSION = re.compile(r"[\w.]{1,32}", re.ASCII)
_ID = re.compile(r"[A-Za-z\d:.~_-]{1,400}")
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def read_app_yaml(path: Path, *, sdk: bool = False) -> AppConfig:
    """The app that `path` describes. Raises `BadAppYaml`.

    With `sdk`, what is wrong with an app of a legacy runtime is for Google's SDK to say, which may see it
    otherwise: such a config has a `refusal`.
    """
    # The app's folder is that of the name, also where this is a link to a file elsewhere.
    path = path.parent.resolve() / path.name
    text = read_text(path, path.name)
    document = parse(text, path.name)
    if document is None:
        raise BadAppYaml(f"{path.name}: is empty; it needs at least a runtime and handlers")
    try:
        return _AppYamlReader(path, text).read(document)
    except BadAppYaml as error:
        runtime = document.find("runtime")
        if not sdk or runtime is None or runtime.written not in LEGACY_RUNTIMES:
            raise
        return _refused(path, text, document, str(error))


def _refused(path: Path, text: str, document: Value, refusal: str) -> AppConfig:
    """What the emulator itself must know of an app that the SDK may take all the same."""
    runtime, services = document.find("runtime"), document.find("inbound_services")
    asked = services.items("inbound_services") if services is not None and services.is_list else []
    return AppConfig(
        path=path,
        text=text,
        runtime=runtime.written if runtime else "",
        inbound_services=frozenset(item.written for item in asked if item.is_plain),
        files=(path,),
        mistakes=(refusal,),
        refusal=refusal,
    )


class _AppYamlReader:
    """One reading: collects what several files say together."""

    def __init__(self, path: Path, text: str) -> None:
        self._path = path
        self._text = text
        self._files = [path]
        self._warnings = Warnings()
        self._handlers: list[Handler] = []
        self._included_handlers: list[Handler] = []
        self._env: dict[str, str] = {}
        self._expiration: int | None = None
        self._skip_files = [SKIPPED_BY_DEFAULT]
        self._instances = 1
        self._flexible = False

    def read(self, document: Value) -> AppConfig:
        fields = Fields(document, "app.yaml", _SERVED, _NOT_SERVED)
        self._warn_of(fields)
        if (value := fields.get("env")) is not None:
            self._flexible = value.text("env") in _FLEXIBLE
        if (value := fields.get("default_expiration")) is not None:
            self._expiration = value.duration("default_expiration")
        self._handlers = self._read_common(fields)
        if fields.get("skip_files") is not None:
            self._skip_files = self._read_skip_files(fields)
        self._include(fields, self._path)
        runtime = self._runtime(fields)
        self._word(fields, "api_version", _API_VERSION)
        return AppConfig(
            path=self._path,
            text=self._text,
            runtime=runtime,
            flexible=self._flexible or runtime == "vm",
            application=self._word(fields, "application", _ID) or self._word(fields, "project", _ID),
            version=self._word(fields, "version", _ID),
            module=self._word(fields, "service", _ID) or self._word(fields, "module", _ID) or "default",
            threadsafe=self._threadsafe(fields, runtime),
            handlers=self._ordered(runtime),
            error_files=self._error_files(fields),
            env_variables=self._env,
            inbound_services=self._inbound_services(fields),
            skip_files=self._joined_skip_files(fields),
            libraries=self._libraries(fields),
            entrypoint=self._entrypoint(fields, runtime),
            instances=self._instances,
            files=tuple(self._files),
            warnings=tuple(self._warnings.all),
            mistakes=tuple(self._warnings.mistakes),
        )

    def _warn_of(self, fields: Fields) -> None:
        for key in fields.ignored:
            self._warnings.unserved(key, f"{key.written} is not served here, and has no effect")

    def _runtime(self, fields: Fields) -> str:
        if self._flexible and fields.get("runtime") is None:
            return "custom"
        value = fields.need("runtime", "such as python312, or python27")
        runtime = value.text("runtime").strip()
        if not _RUNTIME.fullmatch(runtime):
            raise value.error(f"runtime cannot be {runtime!r}{nearest(runtime.lower(), ('python27', 'python312'))}")
        return runtime

    @staticmethod
    def _word(fields: Fields, name: str, pattern: re.Pattern[str]) -> str | None:
        """A word that `pattern` describes, and None where the field is not given."""
        value = fields.get(name)
        if value is None:
            return None
        text = value.text(name).strip()
        if not pattern.fullmatch(text):
            raise value.error(f"{name} cannot be {text!r}: letters, digits, dots and dashes")
        return text

    def _threadsafe(self, fields: Fields, runtime: str) -> bool:
        value = fields.get("threadsafe")
        threadsafe = value.switch("threadsafe", self._warnings) if value else runtime != "python"
        if value is None and runtime == "python27":
            self._warnings.unserved(fields.value, "App Engine wants threadsafe for python27; taken as true")
        if threadsafe and runtime == "python27":
            for handler in [*self._handlers, *self._included_handlers]:
                if isinstance(handler, Script) and handler.is_cgi:
                    raise BadAppYaml(
                        f"{handler.place}: the CGI script {handler.script!r} needs threadsafe: false; "
                        "with threadsafe: true name a WSGI callable, such as main.app"
                    )
        return threadsafe

    def _read_common(self, fields: Fields) -> list[Handler]:
        """What app.yaml and the files that it includes both may say; returns the handlers."""
        self._env |= self._read_env(fields)
        if (value := fields.get("vm")) is not None:
            self._flexible = value.switch("vm", self._warnings) or self._flexible
        for item in fields.items("builtins"):
            for key, field in item.entries("a builtin"):
                if key.written not in _OUR_BUILTINS and not field.is_empty and field.is_on("a builtin"):
                    self._warnings.unserved(
                        key, f"the builtin {key.written} is a part of Google's SDK; not served here"
                    )
        self._read_instances(fields)
        return self._read_handlers(fields)

    def _read_env(self, fields: Fields) -> dict[str, str]:
        variables: dict[str, str] = {}
        for key, field in fields.entries("env_variables"):
            name = key.written
            if not _ENV_NAME.fullmatch(name):
                raise key.error(f"{name!r} is not the name of a variable: letters, digits and underscores")
            if name in _OURS:
                self._warnings.unserved(key, f"{name} is set by the emulator, which this cannot change")
                continue
            variables[name] = self._env_text(field, name)
        return variables

    def _env_text(self, field: Value, name: str) -> str:
        """The text of a variable; App Engine's reader makes one of nothing and of a list, too."""
        if field.is_list or field.is_empty:
            text = "[]" if field.is_list else "None"
            self._warnings.mistake(field, f"the variable {name} is {text!r}, as on App Engine; write a text in quotes")
            return text
        return field.text(f"the variable {name}")

    def _read_handlers(self, fields: Fields) -> list[Handler]:
        found = [read_handler(item, self._expiration, self._warnings) for item in fields.items("handlers")]
        handlers = [handler for handler in found if handler is not None]
        for handler in handlers:
            if isinstance(handler, StaticDir) and not (self._path.parent / handler.folder).is_dir():
                self._warnings.mistake(handler, f"static_dir: there is no folder {handler.folder!r}")
        return handlers

    def _include(self, fields: Fields, included_from: Path) -> None:
        for item in fields.items("includes"):
            path = self._included_path(item, included_from)
            if path in self._files:
                continue
            if len(self._files) > MOST_INCLUDES:
                raise item.error(f"more than {MOST_INCLUDES} files are included")
            self._files.append(path)
            self._read_included(item, path)

    def _included_path(self, item: Value, included_from: Path) -> Path:
        text = item.text("an entry of includes")
        if "\0" in text or not text.strip():
            raise item.error("an entry of includes must be the path of a file")
        for base in (included_from.parent, self._path.parent, Path.cwd()):
            path = base / text
            path = path / "include.yaml" if path.is_dir() else path
            if path.is_file():
                return path.resolve()
        raise item.error(f"includes: there is no file {text!r}")

    def _read_included(self, item: Value, path: Path) -> None:
        folder = self._path.parent
        name = path.relative_to(folder).as_posix() if path.is_relative_to(folder) else str(path)
        document = parse(read_text(path, name), name)
        if document is None:
            self._warnings.mistake(item, f"includes: {name} is empty")
            return
        left_out = set(_SERVED).difference(_SERVED_IN_INCLUDES)
        fields = Fields(document, "an included file", _SERVED_IN_INCLUDES, [*_NOT_SERVED, *left_out])
        self._warn_of(fields)
        self._included_handlers += self._read_common(fields)
        if fields.get("skip_files") is not None:
            self._skip_files += self._read_skip_files(fields)
        self._include(fields, path)

    def _ordered(self, runtime: str) -> tuple[Handler, ...]:
        first = [handler for handler in self._included_handlers if handler.head]
        last = [handler for handler in self._included_handlers if not handler.head]
        handlers = [*first, *self._handlers, *last]
        if len(handlers) > MOST_HANDLERS:
            raise BadAppYaml(f"{self._path.name}: has {len(handlers)} handlers; the most is {MOST_HANDLERS}")
        if runtime.startswith("python3") and not any(isinstance(handler, Script) for handler in handlers):
            # Second-generation runtimes send to the entrypoint what no handler takes.
            handlers.append(Script(place=self._path.name, pattern=python2.regex(r"(?s)/.*"), script="auto"))
        return tuple(handlers)

    def _error_files(self, fields: Fields) -> dict[str, ErrorFile]:
        files: dict[str, ErrorFile] = {}
        for item in fields.items("error_handlers"):
            entry = Fields(item, "an error handler", ("file", "error_code", "mime_type"))
            file = entry.need("file", "the page to send, such as 'timeout.html'")
            code_value, mime = entry.get("error_code"), entry.get("mime_type")
            code = code_value.word("error_code", _ERROR_CODES) if code_value else "default"
            found = ErrorFile(
                self._path.parent / file.text("file"), mime.mime_type(self._warnings) if mime else "text/html"
            )
            if code in files:
                self._warnings.mistake(item, f"error_handlers has a file for {code} already, and takes that one")
            elif not found.is_there:
                self._warnings.mistake(
                    file, f"error_handlers: there is no file {file.text('file')!r}; visitors get a page of ours"
                )
            else:
                files[code] = found
        return files

    def _inbound_services(self, fields: Fields) -> frozenset[str]:
        services = set()
        for item in fields.items("inbound_services"):
            service = item.word("an inbound service", _INBOUND_SERVICES)
            if service != PRESENCE_SERVICE:
                self._warnings.unserved(item, f"the inbound service {service} is not served here")
            services.add(service)
        return frozenset(services)

    @staticmethod
    def _read_skip_files(fields: Fields) -> list[str]:
        value = fields.need("skip_files", "regular expressions of files")
        items = value.items("skip_files") if value.is_list else [value]
        # One expression may stand in several lines, which was the only way once.
        texts = [re.sub("[\r\n]", "", item.text("skip_files")) for item in items]
        for item, text in zip(items, texts, strict=True):
            item.regex("skip_files", text)
        return texts

    def _joined_skip_files(self, fields: Fields) -> re.Pattern[str]:
        """One expression of all: a flag in one of them counts for the others too, as on App Engine."""
        value = fields.get("skip_files") or fields.value
        return value.regex("skip_files", "|".join(self._skip_files)) if self._skip_files else NOWHERE

    @staticmethod
    def _libraries(fields: Fields) -> tuple[Library, ...]:
        found = []
        for item in fields.items("libraries"):
            entry = Fields(item, "a library", ("name", "version"))
            name = entry.need("name", "such as webapp2").text("name")
            version = entry.get("version")
            if not re.fullmatch(r"[\w.-]+", name):
                raise item.error(f"{name!r} is not the name of a library")
            found.append(Library(name, version.text("version") if version else "latest", item.place))
        return tuple(found)

    def _entrypoint(self, fields: Fields, runtime: str) -> Entrypoint | None:
        """What its command line starts; the command itself is not run."""
        value = fields.get("entrypoint")
        command = "" if value is None else value.text("entrypoint").strip()
        if value is None or not command:
            return None
        try:
            found = read_entrypoint(command, self._path.parent, os.environ | self._env)
        except BadCommand as error:
            if self._flexible or not runtime.startswith("python3"):
                # What has no entrypoint on App Engine, or cannot run here anyway.
                self._warnings.unserved(value, f"entrypoint {error}")
                return None
            raise value.error(f"entrypoint {error}") from None
        self._files += found.files
        return found

    def _read_instances(self, fields: Fields) -> None:
        value = fields.get("manual_scaling")
        if value is None:
            return
        instances = Fields(value, "manual_scaling", ("instances",)).need("instances", "how many instances run")
        number = instances.whole("instances")
        if number > 1:
            self._warnings.unserved(instances, f"{number} instances are asked for; a threadsafe app runs in one here")
        self._instances = max(self._instances, number)
