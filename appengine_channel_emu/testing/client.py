"""A client of a channel for tests: what a page does with `goog.appengine.Channel`, in Python."""

from __future__ import annotations

import contextlib
import json
import time
from dataclasses import dataclass
from typing import Literal

from appengine_channel_emu.testing.shown import hide_where, named_shortly
from appengine_channel_emu.testing.story import tell
from appengine_channel_emu.testing.stream import StreamOrPoll
from appengine_channel_emu.testing.transports import Answerable, EmulatorAway, OverHTTP, Reply, Transport

RETRY_SECONDS = 0.2
"""Between two tries to reach an emulator that has gone."""


@named_shortly
class NoMessage(AssertionError):
    """`receive` got nothing.

    The text says why, the likeliest reason first: what became of the messages to this client id and to those that are
    easily mistaken for it, whether its token was refused, what the app's presence handlers have raised, which faults
    are in force. `ChannelClient.explain` tells the same at any time.
    """


_hidden = hide_where(NoMessage, EmulatorAway)


@dataclass(frozen=True, slots=True)
class ChannelError:
    """What a page's onerror is given; the code is 0 when the emulator stayed away too long."""

    code: int
    description: str


class ChannelClient:
    """One page with one socket on the channel of `token`.

    `emulator` is the URL of a running emulator, or the transport that an in-process `Emulator` hands out. Between
    calls it holds a poll parked, as a page does, so moving the clock does not make it look like one that vanished.
    With the `transport` "stream" it waits over a WebSocket instead, where the emulator has one and it works; `streams`
    says whether it does. An emulator that goes and comes back within the resume window is not noticed. When a message
    does not come, `explain` says what is known of it.
    """

    def __init__(self, emulator: str | Transport, token: str, *, transport: Literal["poll", "stream"] = "poll") -> None:
        self._transport: Transport = OverHTTP(emulator) if isinstance(emulator, str) else emulator
        self._wants_stream = transport == "stream"
        self._stream: StreamOrPoll | None = None
        self.token = token
        self.client_id: str | None = None
        self._socket: str | None = None
        self._after = 0
        self._poll: Answerable | None = None
        self._received: list[str] = []
        self._unread = 0
        self._closed = False
        self._end_is = ""
        self._error: ChannelError | None = None
        self._resume_window = 0.0
        self._away_since: float | None = None

    def __enter__(self) -> ChannelClient:
        return self.open()

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def open(self) -> ChannelClient:
        """Open the socket. A token that is refused shows in `error` and `closed`, as it does in a page.

        Raises `EmulatorAway`, a ConnectionError, when no emulator answers.
        """
        __tracebackhide__ = _hidden
        reply = self._transport.request("GET", "/_ah/channel/open", {"channel": self.token})
        if reply.status == 200:
            opened = json.loads(reply.body)
            self._socket, self._after, self.client_id = opened["socket"], opened["next"], opened["client"]
            self._resume_window = opened["resume"]
            self._stream = None
            if self._wants_stream and opened.get("stream") and isinstance(self._transport, OverHTTP):
                self._stream = StreamOrPoll(self._transport)
            self._closed, self._error, self._end_is = False, None, ""
            self._start_poll()
        else:
            self._end(reply.status, reply.reason)
        return self

    def receive(self, timeout: float = 2.0) -> str:
        """The next message, waiting up to `timeout` seconds of real time.

        Raises `NoMessage`, an AssertionError, when none comes, at once if the page is closed or was never opened.
        """
        __tracebackhide__ = _hidden
        give_up = time.monotonic() + timeout
        while True:
            if self._unread < len(self._received):
                self._unread += 1
                return self._received[self._unread - 1]
            self._pump(max(0.0, give_up - time.monotonic()), everything=False)
            if self._unread < len(self._received):
                continue
            if self._closed or self._socket is None or time.monotonic() >= give_up:
                waited = f"receive() has waited {timeout:g} s. " if timeout > 0 and self._poll is not None else ""
                raise NoMessage(self._story(waited))

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
    def streams(self) -> bool:
        """Whether messages come over a WebSocket at this moment."""
        self._pump(0)
        return self._stream is not None and self._stream.streams

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

    def explain(self) -> str:
        """Why no message comes, or what became of those that did: several lines, the likeliest reason first.

        It is what `NoMessage` says, at any time and of any page: one that is open, was refused or never opened, or is
        closed. Below each reason stands what to do about it. Never raises, not even if the emulator has gone.

        `print(page.explain())` in a test, or in a debugger, tells the story so far.
        """
        self._pump(0)
        return self._story()

    def close(self) -> None:
        """Close the socket, and tell the emulator."""
        if self._socket is not None and not self._closed:
            with contextlib.suppress(EmulatorAway):
                self._transport.request("POST", "/_ah/channel/close", {"socket": self._socket})
            self._end_is = "This page has closed its socket."
        self.vanish()

    def vanish(self) -> None:
        """Go away without a word, as a page that crashes does."""
        if self._poll is not None:
            self._poll.abandon()
            self._poll = None
        if not self._closed:
            self._end_is = self._end_is or "This page has gone without a word: vanish() was called."
        self._closed = True

    def leave(self) -> None:
        """Take what has come, and close; the emulator may be gone."""
        with contextlib.suppress(EmulatorAway):
            self._pump(0)
            self.close()

    def _start_poll(self) -> None:
        start = self._stream.start if self._stream is not None else self._transport.start
        self._poll = start("/_ah/channel/poll", {"socket": self._socket, "after": self._after})

    def _pump(self, timeout: float, everything: bool = True) -> None:
        """Take every answer that is there, or the next alone, waiting up to `timeout` seconds for it."""
        give_up = time.monotonic() + timeout
        while self._poll is not None:
            try:
                reply = self._poll.result(max(0.0, give_up - time.monotonic()))
                problem = f"{reply.status} {reply.reason}" if reply is not None and reply.status >= 500 else ""
            except EmulatorAway as error:
                reply, problem = None, str(error)
            if problem:
                self._poll = None
                if not self._come_back(problem, give_up):
                    return
                continue
            self._away_since = None
            if reply is None or not self._take(reply) or not everything:
                return
            give_up = 0.0

    def _take(self, reply: Reply) -> bool:
        """Take an answer, and poll again; whether there may be more."""
        if reply.status != 200:
            self._poll = None
            self._end(reply.status, reply.reason)
            return False
        answer = json.loads(reply.body)
        first = answer["next"] - len(answer["messages"]) + 1
        self._received += answer["messages"][max(0, self._after + 1 - first) :]
        self._after = answer["next"]
        self._start_poll()
        return bool(answer["messages"])

    def _come_back(self, problem: str, give_up: float) -> bool:
        """Poll again after `problem` with a poll; False when the time is up, of the caller or of the resume window."""
        now = time.monotonic()
        first, self._away_since = self._away_since is None, self._away_since or now
        if now - self._away_since > self._resume_window:
            self._end(0, problem)
            return False
        if not first:
            time.sleep(max(0.0, min(RETRY_SECONDS, give_up - now)))
        self._start_poll()
        return first or time.monotonic() < give_up

    def _end(self, code: int, description: str) -> None:
        self._error = ChannelError(code, description)
        self._closed = True

    def _story(self, waited: str = "") -> str:
        return tell(self._transport, self.client_id, self.token, [f"{waited}{self._state()}"])

    def _state(self) -> str:
        """How the page's own end stands, in one line."""
        number = len(self._received)
        arrived = f"{number or 'No'} message{'' if number == 1 else 's'} arrived"
        if self._error is not None and self._socket is None:
            return f"open() was refused: {self._error.code} {self._error.description}"
        if self._error is not None:
            return f"The socket of this page has ended: {self._error.code} {self._error.description} {arrived} before."
        if self._end_is:
            return f"{self._end_is} {arrived} before."
        if self._socket is None:
            return "This page was never opened: call open(), or use it in a with block."
        if self._away_since is not None:
            return f"This page has lost its connection, and goes on trying. {arrived} so far."
        way = "over a WebSocket" if self._stream is not None and self._stream.streams else "by long polls"
        return f"The socket of this page is open, {way}. {arrived} so far."
