"""What is known of one client id, for `reasons.py` to look at."""

from __future__ import annotations

from collections.abc import Collection
from functools import cached_property

from appengine_channel_emu.broker.contract import Broker
from appengine_channel_emu.broker.events import Event
from appengine_channel_emu.broker.journal import SentMessage
from appengine_channel_emu.broker.results import ChannelSnapshot
from appengine_channel_emu.hints import quoted


class Case:
    """One client id, and what is kept of it; `notes` are the names of what was noted (`Notes`)."""

    def __init__(self, broker: Broker, client_id: str, notes: Collection[str] = ()) -> None:
        self.broker = broker
        self.client_id = client_id
        self.notes = notes
        self.name = quoted(client_id)
        self.now = broker.clock.now()
        self.channel: ChannelSnapshot | None = broker.control.channel(client_id)

    @property
    def is_open(self) -> bool:
        """Whether it has a socket."""
        return self.channel is not None and self.channel.sockets > 0

    @cached_property
    def messages(self) -> list[SentMessage]:
        """Those that are kept, whoever they were sent to."""
        return self.broker.journal.after(0)

    @cached_property
    def own(self) -> list[SentMessage]:
        """Those that were sent to it."""
        return [sent for sent in self.messages if sent.client_id == self.client_id]

    @cached_property
    def events(self) -> list[Event]:
        """Those of the client id, and refused tokens of which it is not known whose they are."""
        return [
            event
            for event in self.broker.events.after(0)
            if event.client_id == self.client_id or (event.client_id is None and event.kind == "open_refused")
        ]

    def latest(self, kind: str) -> Event | None:
        """The latest event of a kind."""
        return next((event for event in reversed(self.events) if event.kind == kind), None)
