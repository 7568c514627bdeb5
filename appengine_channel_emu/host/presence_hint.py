"""What to say when a client connects to an app that has a handler for presence and is not told (behaviour.md 4)."""

from __future__ import annotations

import re
from pathlib import Path

from appengine_channel_emu.host.app_checks import python_sources
from appengine_channel_emu.host.app_yaml import AppConfig, Script
from appengine_channel_emu.host.app_yaml.config import PRESENCE_SERVICE

CONNECTED = "/_ah/channel/connected/"

_MENTION = re.compile(r"_ah/channel/\S{0,24}connected")


def presence_hint(config: AppConfig) -> str | None:
    """The hint for an app that very likely wants presence, and does not list the service; None for all others.

    Most apps have a handler for every path: one whose url names `_ah/channel` counts, or a source that does.
    """
    if config.takes_presence:
        return None
    handler = next((each for each in config.handlers if each.match(CONNECTED)), None)
    if not isinstance(handler, Script):
        return None
    if "_ah/channel" not in handler.url and not _is_mentioned(config.folder):
        return None
    return (
        f"{handler.place}: a handler takes {CONNECTED}, but the app is not told of clients that connect: "
        f"{config.path.name} does not list {PRESENCE_SERVICE} under inbound_services "
        "(--presence=always tells it all the same)."
    )


def _is_mentioned(folder: Path) -> bool:
    return any(_MENTION.search(text) for _, text in python_sources(folder))
