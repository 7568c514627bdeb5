"""Every path of the admin API, in one place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from appengine_channel_emu.broker.contract import Broker
from appengine_channel_emu.notes import Notes
from appengine_channel_emu.web.accounts import Accounts
from appengine_channel_emu.web.admin_channels import ListedChannels, NearMisses, OneChannel, Sockets
from appengine_channel_emu.web.admin_events import AwaitedMessages, Events, SentMessages
from appengine_channel_emu.web.admin_faults import FaultsResource
from appengine_channel_emu.web.admin_server import (
    AccountsResource,
    ClockResource,
    Live,
    OpenApi,
    Ready,
    Reset,
    SettingsResource,
)
from appengine_channel_emu.web.admin_watch import EventWatch
from appengine_channel_emu.web.console import NotesResource


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
    broker: Broker, accounts: Accounts, notes: Notes, about: About, reset: Callable[[], None]
) -> dict[str, object]:
    """Resources by path; `reset` forgets everything."""
    watch = EventWatch(broker)
    ready = Ready(about.why_not_ready)
    return {
        "/_emu/health": ready,
        "/_emu/health/ready": ready,
        "/_emu/health/live": Live(),
        "/_emu/channels": ListedChannels(broker),
        "/_emu/channel": OneChannel(broker),
        "/_emu/sockets": Sockets(broker),
        "/_emu/near-misses": NearMisses(broker),
        "/_emu/events": Events(broker, watch),
        "/_emu/messages": SentMessages(broker),
        "/_emu/messages/wait": AwaitedMessages(broker, watch),
        "/_emu/clock": ClockResource(broker),
        "/_emu/faults": FaultsResource(broker.faults),
        "/_emu/reset": Reset(reset),
        "/_emu/settings": SettingsResource(about.settings),
        "/_emu/accounts": AccountsResource(accounts),
        "/_emu/notes": NotesResource(notes),
        "/_emu/openapi.json": OpenApi(),
    }
