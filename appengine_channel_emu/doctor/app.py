"""What one app uses of the Channel API and of App Engine, and how it will run here."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from appengine_channel_emu.doctor.diagnosis import Diagnosis, Level, Place, printable, shown
from appengine_channel_emu.doctor.look import Look, look
from appengine_channel_emu.doctor.services import SERVICES, SdkService
from appengine_channel_emu.doctor.sources import is_test
from appengine_channel_emu.doctor.topics import TOPICS
from appengine_channel_emu.doctor.way import PYTHON3, SDK, UPSTREAM, Way, way_of
from appengine_channel_emu.host.app_kinds import AppYaml, WsgiApp
from appengine_channel_emu.host.app_yaml import AppConfig
from appengine_channel_emu.host.app_yaml.config import PRESENCE_SERVICE, PYTHON25
from appengine_channel_emu.host.sdk import overlay_of
from appengine_channel_emu.settings import Settings

CHANNEL_SERVICE = "channel"
_NO_DEADLINE = float("inf")
_WARNING = re.compile(r"(?P<file>[^\n]+?), line (?P<line>\d+): (?P<text>.*)", re.DOTALL)
_CALLS = ("create_channel", "send_message", "send_deferred", "likely_call", "go_call", "java_call", "php_call")
_DERIVED = ("presence_handler", "presence_asked")
"""Topics whose places come from app.yaml, too."""
_DEFERRED = re.compile(r"^\s*-\s*deferred\s*:\s*(?:on|yes|true|y)\b|_ah/queue/deferred", re.MULTILINE | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class AppReport:
    """An app: where it is, how it runs, what was found. `files` is how many there are below its folder."""

    path: str
    way: Way
    files: int
    found: tuple[Diagnosis, ...]

    @property
    def runs(self) -> bool:
        """Whether it can be served."""
        return bool(self.way.commands) and not any(each.level == "problem" for each in self.found)


def report_on(app: AppYaml | WsgiApp | Path, settings: Settings, serve: str) -> AppReport:
    """Read an app, given as `find_app` found it or as a folder without an app.yaml; `serve` is the command for it."""
    folder = app.path.parent if isinstance(app, AppYaml) else app.folder if isinstance(app, WsgiApp) else app
    seen = look(folder, settings.request_deadline or _NO_DEADLINE)
    way = way_of(app, settings, seen, serve)
    path = str(app.path) if isinstance(app, AppYaml) else str(app)
    found = [*way.found, *_by_topic(seen, way), *_derived(seen, way), *_services(seen, way)]
    if way.config is not None:
        found += _app_yaml(way.config, way.kind)
    order = list(TOPICS)
    found.sort(key=lambda each: order.index(each.topic))
    return AppReport(path, way, seen.files, tuple(found))


def _told(topic: str, places: Iterable[Place] = (), what: str = "", level: Level | None = None) -> Diagnosis:
    told = TOPICS[topic]
    return Diagnosis(
        topic, level or told.level, what or told.what, told.here, told.production, told.advice, tuple(places)
    )


def _by_topic(seen: Look, way: Way) -> Iterator[Diagnosis]:
    for topic in TOPICS:
        places = seen.places(topic)
        if not places or topic in _DERIVED or (topic == "python2_source" and way.kind != SDK):
            continue
        done = topic == "send_deferred" and way.config is not None and _DEFERRED.search(way.config.text)
        found = _told(topic, places)
        yield replace(found, advice="") if done else found


def _derived(seen: Look, way: Way) -> Iterator[Diagnosis]:
    """What follows from several sightings together."""
    config = way.config
    handlers = [*_handlers_in(config), *(each for each in seen.places("presence_handler") if not is_test(each.file))]
    if handlers:
        yield _told("presence_handler", handlers)
    asked = [*seen.places("presence_asked"), *_asked_in(config)]
    if asked:
        yield _told("presence_asked", asked)
    if handlers and not asked and config is not None and way.kind in (SDK, PYTHON3):
        yield _told("presence_not_asked", [Place(config.path.name)])
    if asked and not handlers:
        yield _told("presence_unhandled", asked)
    if seen.has("page_channel") and not seen.has("jsapi", "jsapi_elsewhere"):
        yield _told("no_script", seen.places("page_channel"))
    imports = seen.places(f"service {CHANNEL_SERVICE}")
    if imports and not seen.has(*_CALLS, "channel_name"):
        yield _told("only_imported", imports)
    elif not seen.has(*_CALLS, "page_channel", "jsapi"):
        yield _told("no_use")


def _handlers_in(config: AppConfig | None) -> Iterator[Place]:
    """The handlers of app.yaml that are for presence by their own url, not by one that takes everything."""
    for handler in config.handlers if config else ():
        if "_ah/channel" in handler.url:
            match = re.fullmatch(r"(.+), line (\d+)", handler.place)
            name, line = (match[1], int(match[2])) if match else (handler.place, 0)
            yield Place(name, line, f"url: {handler.url}")


def _asked_in(config: AppConfig | None) -> Iterator[Place]:
    if config is None or not config.takes_presence:
        return
    lines = config.text.splitlines()
    number = next((at for at, line in enumerate(lines, 1) if PRESENCE_SERVICE in line.partition("#")[0]), 0)
    yield Place(config.path.name, number, shown(lines[number - 1]) if number else "")


def _services(seen: Look, way: Way) -> Iterator[Diagnosis]:
    for service in SERVICES:
        places = seen.places(f"service {service.name}")
        if places and service.name != CHANNEL_SERVICE:
            yield Diagnosis(
                "service", _level(service, way), f"uses {service.name}",
                f"with the SDK: {service.sdk}. Under Python 3: {service.python3}", "", "", places,
            )  # fmt: skip


def _level(service: SdkService, way: Way) -> Level:
    if way.kind == SDK:
        return "ok" if service.is_in_sdk else "warning"
    if way.kind == UPSTREAM:
        return "note"
    return "ok" if service.is_in_python3 else "warning"


def _app_yaml(config: AppConfig, kind: str) -> Iterator[Diagnosis]:
    """What its reader has to say of app.yaml. What the SDK reads itself is the SDK's matter."""
    if config.runtime == PYTHON25:
        yield _told("runtime_python", [Place(config.path.name)])
    if config.mistakes:
        yield _told("app_yaml_mistake", map(_place, config.mistakes))
    passed_over = [each for each in config.warnings if each not in config.mistakes]
    if passed_over and kind == PYTHON3:
        yield _told("app_yaml_passed_over", map(_place, passed_over))
    overlay = overlay_of(config) if kind == SDK else None
    if overlay is not None:
        yield _told("app_yaml_changed", [Place(config.path.name, 0, change) for change in overlay.changes])


def _place(warning: str) -> Place:
    match = _WARNING.fullmatch(warning)
    return Place(match["file"], int(match["line"]), printable(match["text"])) if match else Place(printable(warning))
