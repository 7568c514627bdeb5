"""What production would have done: noted once each, with a source and a cure (facts.md has the figures)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from typing import Any

from appengine_channel_emu.broker.events import Event
from appengine_channel_emu.broker.results import ChannelSnapshot

OLD_CLIENT_ID_BYTES = 64
FREE_CHANNELS_A_DAY = 100
FREE_CHANNELS_A_MINUTE = 6
FREE_HOURS_A_DAY = 200
FREE_CALLS_A_MINUTE = 3000

MINUTE = 60.0
DAY = 86_400.0


@dataclass(frozen=True, slots=True)
class Note:
    """One difference: what the app did and what App Engine would have made of it, what to do, and how we know."""

    name: str
    text: str
    cure: str
    source: str


NOTES = {
    note.name: note
    for note in (
        Note(
            "message_before_connect",
            "A message was sent to a client id that had a token but no open page; App Engine dropped it silently too.",
            "Send first from the handler of /_ah/channel/connected/, or when the page says that its socket is open.",
            "send to nobody: the SDK's stub and the functions page",
        ),
        Note(
            "two_tabs",
            "One client id had two sockets open. Here each gets every message; App Engine promised one page only.",
            "Give each page a client id of its own, or try --tabs=split and --tabs=single.",
            "overview page (one client per channel); the Python dev server let them compete",
        ),
        Note(
            "long_client_id",
            "A client id has more than 64 bytes; before version 1.7.5 (February 2013) App Engine refused it.",
            "Use shorter client ids if the app is to run as it did before 2013.",
            "SDK release notes 1.4.0 and 1.7.5",
        ),
        Note(
            "presence_off",
            "Pages connect, and app.yaml does not list channel_presence: the app is not told of them, here or there.",
            "List channel_presence under inbound_services in app.yaml.",
            "app.yaml reference; the SDK's old dev server",
        ),
        Note(
            "request_cut",
            "A request was held past its deadline and was cut, as on App Engine; the SDK's dev server let it run.",
            "Let pages wait on a channel instead of a long request.",
            "SDK release notes 1.4.0 and 1.5.5 (30 s, later 60 s)",
        ),
        Note(
            "socket_send",
            "A page used socket.send(). It works here and on the dev server; on App Engine it returned false.",
            "Post to a handler of the app's own.",
            "two archived builds of the production script",
        ),
        Note(
            "channels_quota",
            "More than 100 channels a day, or 6 a minute, were created: past the free quota, create_channel raised "
            "OverQuotaError.",
            "Keep a token for as long as it is valid, instead of a new one at each page load.",
            "quotas page of 2016",
        ),
        Note(
            "hours_quota",
            "The tokens of a day add up to more than 200 channel hours, which count as asked for, not as used.",
            "Ask for shorter tokens: create_channel(client_id, duration_minutes=…).",
            "quotas page of 2016; SDK release notes 1.6.2",
        ),
        Note(
            "calls_quota",
            "More than 3,000 calls of the Channel API came within a minute, past the free quota.",
            "Send one message with several changes instead of several messages.",
            "quotas page of 2016",
        ),
    )
}


class Notes:
    """Listens to a broker's events (`EventLog.listen`); `channel_of` finds the channel of a client id."""

    def __init__(self, channel_of: Callable[[str], ChannelSnapshot | None]) -> None:
        self._channel_of = channel_of
        self._lock = Lock()
        self._noted: dict[str, Note] = {}
        self._created: deque[tuple[float, float]] = deque(maxlen=FREE_CHANNELS_A_DAY + 1)
        self._hours = 0.0
        self._hours_since = 0.0
        self._calls = 0
        self._calls_since = 0.0

    def __call__(self, event: Event) -> None:
        """Look at one event; the tokens and sockets of the console and of `channel-emu tail` are none of the app's."""
        if "opened_by" in event.detail:
            return
        if event.kind in ("message_sent", "message_dropped", "token_created"):
            self._count_calls(event.time, event.detail.get("client_ids", 1))
        look = _LOOKS.get(event.kind)
        if look is not None:
            look(self, event)

    def add(self, name: str) -> None:
        """Note it, if it was not."""
        if name not in self._noted:
            with self._lock:
                self._noted.setdefault(name, NOTES[name])

    def all(self) -> list[Note]:
        """In the order in which they came up."""
        with self._lock:
            return list(self._noted.values())

    def clear(self) -> None:
        """Start anew."""
        with self._lock:
            self._noted.clear()
            self._created.clear()
            self._hours = 0.0
            self._calls = 0

    def _count_calls(self, now: float, number: int) -> None:
        if now - self._calls_since >= MINUTE:
            self._calls, self._calls_since = 0, now
        self._calls += number
        if self._calls > FREE_CALLS_A_MINUTE:
            self.add("calls_quota")

    def _token_created(self, event: Event) -> None:
        if event.client_id is not None and len(event.client_id.encode("utf-8")) > OLD_CLIENT_ID_BYTES:
            self.add("long_client_id")
        created = self._created
        hours = float(event.detail.get("minutes", 0)) / 60
        created.append((event.time, hours))
        for count, seconds in ((FREE_CHANNELS_A_MINUTE, MINUTE), (FREE_CHANNELS_A_DAY, DAY)):
            if len(created) > count and event.time - created[-count - 1][0] < seconds:
                self.add("channels_quota")
        if event.time - self._hours_since >= DAY:
            self._hours, self._hours_since = 0.0, event.time
        self._hours += hours
        if self._hours > FREE_HOURS_A_DAY:
            self.add("hours_quota")

    def _message_dropped(self, event: Event) -> None:
        if event.detail.get("why") in ("not_opened", "page_left", "grace"):
            self.add("message_before_connect")

    def _socket_opened(self, event: Event) -> None:
        if "two_tabs" in self._noted or event.client_id is None:
            return
        channel = self._channel_of(event.client_id)
        if channel is not None and sum(socket.opened_by is None for socket in channel.sockets_shown) > 1:
            self.add("two_tabs")

    def _request_cut(self, event: Event) -> None:
        self.add("request_cut")


_LOOKS: dict[str, Any] = {
    "token_created": Notes._token_created,
    "message_dropped": Notes._message_dropped,
    "socket_opened": Notes._socket_opened,
    "request_cut": Notes._request_cut,
}
