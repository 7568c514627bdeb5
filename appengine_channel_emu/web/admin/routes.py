"""Every path of the admin API and the console, in one place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from appengine_channel_emu.broker.contract import Broker
from appengine_channel_emu.faults.admin import FaultsResource
from appengine_channel_emu.faults.gate import FaultGate
from appengine_channel_emu.notes import Notes
from appengine_channel_emu.web.admin.channels import (
    ChannelResource,
    ChannelsResource,
    MessagesResource,
    NearMissesResource,
    SocketsResource,
)
from appengine_channel_emu.web.admin.events import AwaitedMessagesResource, EventsResource, EventWatch
from appengine_channel_emu.web.admin.server import (
    CONSOLE_PATH,
    Accounts,
    AccountsResource,
    ClockResource,
    ConsoleFile,
    ConsoleRedirect,
    LiveResource,
    NotesResource,
    OpenApiResource,
    ReadyResource,
    ResetResource,
    SettingsResource,
)


@dataclass(frozen=True, slots=True)
class About:
    """What the front is told of the server around it.

    why_not_ready: says why the app cannot be reached, None while it can.
    looks_for_app: whether saying so takes a look at the app, and so may take a while.
    """

    settings: dict[str, Any] = field(default_factory=dict)
    why_not_ready: Callable[[], str | None] = lambda: None
    looks_for_app: bool = False


def admin_resources(
    broker: Broker, faults: FaultGate, accounts: Accounts, notes: Notes, about: About, reset: Callable[[], None]
) -> dict[str, object]:
    """Resources of the admin API by path; `reset` forgets everything."""
    watch = EventWatch(broker)
    ready = ReadyResource(about.why_not_ready)
    return {
        "/_emu/health": ready,
        "/_emu/health/ready": ready,
        "/_emu/health/live": LiveResource(),
        "/_emu/channels": ChannelsResource(broker, faults),
        "/_emu/channel": ChannelResource(broker),
        "/_emu/sockets": SocketsResource(broker),
        "/_emu/near-misses": NearMissesResource(broker),
        "/_emu/events": EventsResource(broker, watch),
        "/_emu/messages": MessagesResource(broker, faults),
        "/_emu/messages/wait": AwaitedMessagesResource(broker, watch),
        "/_emu/clock": ClockResource(broker),
        "/_emu/faults": FaultsResource(broker.faults),
        "/_emu/reset": ResetResource(reset),
        "/_emu/settings": SettingsResource(about.settings),
        "/_emu/accounts": AccountsResource(accounts),
        "/_emu/notes": NotesResource(notes),
        "/_emu/openapi.json": OpenApiResource(),
    }


def console_resources() -> dict[str, object]:
    """The console's files by path."""
    return {
        "/_emu": ConsoleRedirect(),
        CONSOLE_PATH: ConsoleFile("index.html", "text/html; charset=utf-8"),
        "/_emu/console.css": ConsoleFile("console.css", "text/css; charset=utf-8"),
        "/_emu/console.js": ConsoleFile("console.js", "text/javascript; charset=utf-8"),
    }
