"""Waitress's loop on epoll: a turn costs by what happens in it, not by how many connections are open.

Waitress's own loop asks every connection whether it is readable and writable, and rebuilds its poll table, at every
turn; with thousands of parked polls each message pays for that. Here a connection says itself when what it waits for
changes. Where there is no epoll the stock loop serves.
"""

from __future__ import annotations

import contextlib
import select
import time
from collections.abc import Callable
from typing import Any, Protocol

from waitress import wasyncore

TURN_SECONDS = 0.25
"""The longest turn: the precision of the polls' deadlines."""

HOUSEKEEPING_SECONDS = 1.0


class Loop(Protocol):
    """Serves the connections in waitress's socket map."""

    def add(self, channel: Any) -> None:
        """A connection was accepted."""

    def update(self, channel: Any) -> None:
        """What `channel` waits for may have changed; called under the channel's `loop_lock`."""

    def run(self, stopping: Callable[[], bool], each_turn: Callable[[], None]) -> None:
        """Serve until `stopping()`."""


class EpollLoop:
    """One epoll object for the listening sockets, the triggers and every connection."""

    def __init__(self, socket_map: dict[int, Any]) -> None:
        self._map = socket_map
        self._epoll = select.epoll()
        self._servers: list[Any] = []

    def add(self, channel: Any) -> None:
        """See `Loop`."""
        channel.events = select.EPOLLIN
        self._epoll.register(channel.fileno_or_none, channel.events)

    def update(self, channel: Any) -> None:
        """See `Loop`."""
        events = _events(channel)
        if events != channel.events:
            channel.events = events
            # It may have been closed by the other side at this very moment.
            with contextlib.suppress(OSError):
                self._epoll.modify(channel.fileno_or_none, events)

    def run(self, stopping: Callable[[], bool], each_turn: Callable[[], None]) -> None:
        """See `Loop`."""
        for descriptor, thing in self._map.items():
            self._epoll.register(descriptor, select.EPOLLIN)
            if hasattr(thing, "active_channels"):
                self._servers.append(thing)
        next_housekeeping = 0.0
        while not stopping():
            for descriptor, flags in self._epoll.poll(TURN_SECONDS):
                thing = self._map.get(descriptor)
                if thing is not None:
                    wasyncore.readwrite(thing, flags)
                    if hasattr(thing, "changed"):
                        thing.changed()
            each_turn()
            if time.monotonic() >= next_housekeeping:
                next_housekeeping = time.monotonic() + HOUSEKEEPING_SECONDS
                self._keep_house()

    def _keep_house(self) -> None:
        """What the stock loop does by asking at every turn: accept or not, and close idle connections."""
        for server in self._servers:
            due = server.next_channel_cleanup
            self._epoll.modify(server._fileno, select.EPOLLIN if server.readable() else 0)
            if server.next_channel_cleanup != due:
                for channel in list(server.active_channels.values()):
                    channel.changed()


class StockLoop:
    """Waitress's own loop."""

    def __init__(self, socket_map: dict[int, Any]) -> None:
        self._map = socket_map

    def add(self, channel: Any) -> None:
        """See `Loop`."""

    def update(self, channel: Any) -> None:
        """See `Loop`."""

    def run(self, stopping: Callable[[], bool], each_turn: Callable[[], None]) -> None:
        """See `Loop`."""
        while not stopping():
            wasyncore.poll2(TURN_SECONDS, self._map)
            each_turn()


def make_loop(socket_map: dict[int, Any]) -> Loop:
    """The best loop that this system has."""
    return EpollLoop(socket_map) if hasattr(select, "epoll") else StockLoop(socket_map)


def _events(channel: Any) -> int:
    return (select.EPOLLIN if channel.readable() else 0) | (select.EPOLLOUT if channel.writable() else 0)
