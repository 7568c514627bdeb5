"""A client of a channel for tests: what a page does with `goog.appengine.Channel`, in Python."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass

from appengine_channel_emu.testing.transports import OverHTTP, Pending, Reply, Transport


class NoMessage(AssertionError):
    """`receive` got nothing; the text says what came close."""


@dataclass(frozen=True, slots=True)
class ChannelError:
    """What a page's onerror is given."""

    code: int
    description: str


class ChannelClient:
    """One page with one socket on the channel of `token`.

    `emulator` is the URL of a running emulator, or the transport that an in-process `Emulator` hands out. Between
    calls it holds a poll parked, as a page does, so moving the clock does not make it look like one that vanished.
    """

    def __init__(self, emulator: str | Transport, token: str) -> None:
        self._transport: Transport = OverHTTP(emulator) if isinstance(emulator, str) else emulator
        self.token = token
        self.client_id: str | None = None
        self._socket: str | None = None
        self._after = 0
        self._poll: Pending | None = None
        self._received: list[str] = []
        self._unread = 0
        self._closed = False
        self._error: ChannelError | None = None

    def open(self) -> ChannelClient:
        """Open the socket. A token that is refused shows in `error` and `closed`, as it does in a page."""
        reply = self._transport.request("GET", "/_ah/channel/open", {"channel": self.token})
        if reply.status == 200:
            opened = json.loads(reply.body)
            self._socket, self.client_id = opened["socket"], opened["client"]
            self._closed = False
            self._start_poll()
        else:
            self._end(reply)
        return self

    def receive(self, timeout: float = 2.0) -> str:
        """The next message, waiting up to `timeout` seconds of real time; raises `NoMessage`."""
        give_up = time.monotonic() + timeout
        while True:
            self._pump(max(0.0, give_up - time.monotonic()) if self._unread == len(self._received) else 0)
            if self._unread < len(self._received):
                self._unread += 1
                return self._received[self._unread - 1]
            if self._closed or time.monotonic() >= give_up:
                raise NoMessage(self._why(timeout))

    def take_messages(self) -> list[str]:
        """The messages that `receive` would give one by one, without waiting; empty if there are none."""
        self._pump(0)
        taken = self._received[self._unread :]
        self._unread = len(self._received)
        return taken

    @property
    def messages(self) -> list[str]:
        """All messages so far."""
        self._pump(0)
        return list(self._received)

    @property
    def closed(self) -> bool:
        """Whether onclose would have been called."""
        self._pump(0)
        return self._closed

    @property
    def error(self) -> ChannelError | None:
        """What onerror would have been given."""
        self._pump(0)
        return self._error

    def close(self) -> None:
        """Close the socket, and tell the emulator."""
        if self._socket is not None and not self._closed:
            self._transport.request("POST", "/_ah/channel/close", {"socket": self._socket})
        self.vanish()

    def vanish(self) -> None:
        """Go away without a word, as a page that crashes does."""
        if self._poll is not None:
            self._poll.abandon()
            self._poll = None
        self._closed = True

    def _start_poll(self) -> None:
        self._poll = self._transport.start("/_ah/channel/poll", {"socket": self._socket, "after": self._after})

    def _pump(self, timeout: float) -> None:
        """Take every answer that is there, waiting up to `timeout` seconds for the first."""
        while self._poll is not None:
            reply = self._poll.result(timeout)
            if reply is None:
                return
            timeout = 0
            if reply.status != 200:
                self._poll = None
                self._end(reply)
                return
            answer = json.loads(reply.body)
            first = answer["next"] - len(answer["messages"]) + 1
            self._received += answer["messages"][max(0, self._after + 1 - first) :]
            self._after = answer["next"]
            self._start_poll()
            if not answer["messages"]:
                return

    def _end(self, reply: Reply) -> None:
        self._error = ChannelError(reply.status, reply.reason)
        self._closed = True

    def _why(self, timeout: float) -> str:
        if self._error is not None:
            return f"no message: the socket was closed with {self._error.code} {self._error.description}"
        if self._closed:
            return "no message: the socket is closed"
        near = "".join(f"; {each}" for each in self._near_misses())
        return f"no message to {self.client_id!r} within {timeout:g} s; {len(self._received)} arrived before{near}"

    def _near_misses(self) -> list[str]:
        reply = self._transport.request("GET", "/_emu/near-misses", {"client_id": self.client_id})
        return list(json.loads(reply.body)["near_misses"]) if reply.status == 200 else []
