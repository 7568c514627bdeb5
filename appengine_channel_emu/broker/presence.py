"""Presence: telling the app, once and in order, that a client id has connected or disconnected (behaviour.md 4)."""

from __future__ import annotations

from functools import partial

from appengine_channel_emu.broker.channel import Channel
from appengine_channel_emu.broker.contract import PresencePost
from appengine_channel_emu.broker.figures import BrokerFigures
from appengine_channel_emu.broker.saving import DirtySet
from appengine_channel_emu.broker.turn import Signal, Turn


class Presence:
    """Decides what the app is told of each channel; all calls come inside the broker's turn.

    At most one POST of a client id is on its way, so that connected and disconnected never swap (facts.md 5.4).
    """

    def __init__(
        self, turn: Turn, dirty: DirtySet, post: PresencePost | None, disconnect_after: float, figures: BrokerFigures
    ) -> None:
        self._turn = turn
        self._figures = figures
        self._dirty = dirty
        self._post = post
        self._disconnect_after = disconnect_after

    def opening(self, channel: Channel) -> Signal:
        """A signal that is set once the app has been told of the connected client, or need not be."""
        signal = Signal()
        if self._post is None or (channel.presence_sent and channel.posting is None):
            self._turn.then(signal.set)
        else:
            channel.openings += (signal,)
        return signal

    def update(self, channel: Channel) -> None:
        """Start what is due after the number of attached sockets of `channel` may have changed."""
        if self._post is None or channel.posting is not None:
            return
        if channel.attached:
            if channel.timer is not None:
                channel.timer.cancel()
                channel.timer = None
            if not channel.presence_sent:
                self._start(channel, True)
        elif channel.presence_sent and channel.timer is None:
            left = channel.empty_since + self._disconnect_after - self._turn.uptime()
            if left <= 0:
                self._start(channel, False)
            else:
                channel.timer = self._turn.after(left, self._grace_over, channel)

    def done(
        self,
        client_id: str,
        channel: Channel | None,
        connected: bool,
        status: int | None,
        problem: str = "",
        seconds: float | None = None,
    ) -> None:
        """The POST that told the app `connected` has ended, well or badly; `channel` is there unless it was reset."""
        self._figures.presence["connected" if connected else "disconnected", status] += 1
        kind, text, detail = presence_event(connected, status, problem, seconds)
        self._turn.event(kind, text, client_id=client_id, detail=detail)
        if channel is None or channel.posting is not connected:
            return  # a reset came in between
        channel.posting = None
        channel.presence_sent = connected
        self._dirty.presence(channel)
        self.update(channel)
        if channel.posting is None:
            for signal in channel.openings:
                self._turn.then(signal.set)
            channel.openings = ()

    def _grace_over(self, channel: Channel) -> None:
        channel.timer = None
        self.update(channel)

    def _start(self, channel: Channel, connected: bool) -> None:
        post, client_id = self._post, channel.client_id
        assert post is not None
        channel.posting = connected
        channel.posting_since = self._turn.now()
        self._turn.then(partial(post, client_id, connected))


def presence_event(
    connected: bool, status: int | None, problem: str, seconds: float | None
) -> tuple[str, str, dict[str, object]]:
    """Kind, text and detail of the event that says how a POST has ended."""
    sent = status is not None and status < 400
    what = "connected" if connected else "disconnected"
    detail: dict[str, object] = {"presence": what, "status": status}
    if seconds is not None:
        detail["milliseconds"] = round(seconds * 1000, 1)
    if sent:
        return "presence_sent", f"The app was told: {what}. It answered {status}{_in(seconds)}.", detail
    return "presence_failed", problem or f"The app answered {status} to /_ah/channel/{what}/.", detail


def _in(seconds: float | None) -> str:
    return "" if seconds is None else f" in {seconds * 1000:.0f} ms"
