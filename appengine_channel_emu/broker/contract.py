"""The contract of a broker: its options, and what may be asked of it.

`EmbeddedBroker` (broker.py) is the one that lives in this process. Who does not make a broker knows this file,
results.py and receiver.py alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from appengine_channel_emu.broker.clock import Clock
from appengine_channel_emu.broker.events import EVENT_LOG_LENGTH, EventLog
from appengine_channel_emu.broker.figures import BrokerFigures
from appengine_channel_emu.broker.journal import Journal, SentMessage
from appengine_channel_emu.broker.receiver import Message, Poll, PollAnswer, Receiver, Stream
from appengine_channel_emu.broker.results import ChannelList, ChannelSnapshot, NewToken, Opened, Receipt, Sent, Totals
from appengine_channel_emu.broker.turn import Signal
from appengine_channel_emu.faults import Faults

PresencePost = Callable[[str, bool], None]
"""Called with a client id and whether it connected; starts the POST, and `Broker.presence_done` ends it."""

Resume = tuple[str, int]
"""The id of a former socket, and the number of the last message that the page has from it."""


@dataclass(frozen=True, slots=True)
class BrokerOptions:
    """How a broker behaves where a user may choose; durations in seconds, see behaviour.md 3 and 4."""

    tabs: Literal["fanout", "split", "single"] = "fanout"
    resume_window: float = 60.0
    disconnect_after: float = 2.0
    backlog_messages: int = 1_000
    backlog_bytes: int = 8 * 1024 * 1024
    backlog_total: int = 256 * 1024 * 1024
    max_sockets: int = 1_000
    max_tokens: int = 200_000
    event_log: int = EVENT_LOG_LENGTH
    push_after_answer: float = 0.0


class AppRequests(Protocol):
    """The app's requests that run: a push does not overtake the answer of the request that sent it (behaviour.md 3).

    A `browser` is a text that tells browsers apart, None where that cannot be known.
    """

    @property
    def matter(self) -> bool:
        """Whether anything is held at all."""

    def begin(self, browser: str | None, navigation: bool) -> str:
        """A request of `browser` begins; `end` must follow. Returns what names it in a send, unguessable."""

    def end(self, id: str) -> None:
        """The last byte of its answer has left, or its connection is lost; idempotent."""


class Control(Protocol):
    """What tests and the console see and do from outside the Channel API.

    The methods that do something to one socket return whether there is such a socket.
    """

    @property
    def travelled(self) -> float:
        """Seconds by which `travel` has moved the clock on."""

    def channel(self, client_id: str) -> ChannelSnapshot | None:
        """The channel to `client_id` at this moment, if there is one or a valid token for one."""

    def channels(self, search: str = "", limit: int = 100) -> ChannelList:
        """Channels whose client id contains `search`, in whatever case, those with sockets first; `limit` at most."""

    def totals(self) -> Totals:
        """How much there is of what."""

    def alike(self, client_id: str) -> list[str]:
        """Client ids with a valid token that differ in case, white space or normal form alone; the first few."""

    def receipts(self, sent: SentMessage) -> list[Receipt]:
        """What became of a message of the journal on each socket; `RECEIPTS_SHOWN` at most."""

    def client_ids(self) -> list[str]:
        """Every client id with a channel or a valid token."""

    def sockets_of(self, client_id: str) -> list[str]:
        """The ids of the sockets of `client_id`."""

    def close(self, socket_id: str) -> bool:
        """Close a socket, as a server does that is done with it: its page gets onclose alone."""

    def cut(self, socket_id: str) -> bool:
        """Break the connection of its poll or stream, if there is one: the page goes on with its next poll."""

    def expire(self, socket_id: str) -> bool:
        """Let the token of a socket time out at once: every socket of that token gets the 401."""

    def travel(self, seconds: float) -> None:
        """Move the clock on, through every timer on the way; sockets that are attached stay so (behaviour.md 10).

        Raises ValueError for a negative number of seconds and for one that leads past the year 2099.
        """

    def reset(self) -> None:
        """As after a first start: no token, socket, message or event is left; the clock stays.

        The app is told nothing. Pages that are open get what a page gets whose socket is gone.
        """


class Broker(Protocol):
    """The Channel API's server side. Every method may be called from any thread, and none blocks.

    What cannot be known at once is a `Signal`: `Opened.presence_sent`, `Poll.ready`.
    """

    @property
    def immediate(self) -> bool:
        """Whether every call is answered at once: a broker elsewhere may raise `Pending` instead."""

    @property
    def options(self) -> BrokerOptions:
        """What it was made with."""

    @property
    def clock(self) -> Clock:
        """The time that everything here is measured in."""

    @property
    def events(self) -> EventLog:
        """What happened, and why."""

    @property
    def journal(self) -> Journal:
        """The latest messages, with their texts."""

    @property
    def figures(self) -> BrokerFigures:
        """What was counted since the start."""

    @property
    def faults(self) -> Faults:
        """The faults in force."""

    @property
    def app_requests(self) -> AppRequests:
        """The app's requests that run."""

    @property
    def control(self) -> Control:
        """What the console and tests see and do."""

    # What apps ask

    def create_channel(
        self, client_id: str, duration_minutes: int | None = None, opened_by: str | None = None
    ) -> NewToken:
        """A token for `client_id`. Raises `InvalidChannelKey`, `InvalidChannelTokenDuration` or `TooManyTokens`.

        `opened_by` names a tool that opens the socket itself, such as `console`: what is said of its sockets says so.
        """

    def send_message(self, client_id: str, message: str | bytes, request_id: str | None = None) -> Sent:
        """Send `message` to every socket of `client_id`, which may be a valid token. Raises `BadMessage`.

        It succeeds when nobody is there, as the real one does (facts.md 1.0); `Sent.reason` then says why.
        `request_id` names the app's request that sends it, see `AppRequests`; one that is not known means nothing.
        """

    def send_many(
        self, client_ids: Iterable[str], message: str | bytes, request_id: str | None = None
    ) -> dict[str, Sent]:
        """`send_message` to each of `client_ids`, which may be valid tokens, in their order: one message in one turn.

        Each client id gets it once, however often it is named. What is refused is sent to none of them. The outcomes
        are those of each name. The message is one event; what reaches nobody has its own for the first few.
        """

    def client_id_of(self, token: str) -> str:
        """The client id of a valid token; anything else is given back as it is."""

    # What pages ask

    def open(
        self, token: str, resume: Resume | None = None, attempt: str | None = None, browser: str | None = None
    ) -> Opened:
        """Open a socket with `token`, or go on with a former one.

        A socket that is gone, or of another client id, is not resumed: a new one is opened. A page that never got
        the answer asks again with the same `attempt`, and gets the socket of the first time. Raises `InvalidToken`,
        `TokenTimedOut` or `TooManySockets`.
        """

    def poll(self, socket_id: str, after: int, browser: str | None = None) -> Poll:
        """A poll of a page that has all messages up to number `after`; it takes over from an older one, or a stream.

        Exactly one of `take` and `release` is called with it in the end; further calls do nothing. Raises
        `TokenTimedOut`, or a `SocketError` when there is no such socket any more or `after` is a number that was
        never sent.
        """

    def take(self, poll: Poll) -> PollAnswer:
        """The answer to `poll`, as things stand at this moment: empty if nothing waits.

        Raises `TokenTimedOut` or a `SocketError` when the socket ended. The messages stay queued until a later poll
        says that the page has them.
        """

    def stream(self, socket_id: str, after: int, wake: Callable[[], None], browser: str | None = None) -> Stream:
        """A stream to a page that has all messages up to number `after`; it takes over from an older one, or a poll.

        `wake` must be quick, see `Receiver`; what waits already need not call it. `release` is called with the stream
        in the end. Raises what `poll` raises.
        """

    def take_next(self, stream: Stream) -> PollAnswer:
        """The messages behind `stream.sent` that may leave and that its page has room for; empty if there are none.

        A page has room for what one answer to a poll holds, counted from the first message that it has not
        acknowledged. The messages stay queued until it has. Raises `TokenTimedOut` or a `SocketError` when the socket
        ended.
        """

    def acknowledge(self, stream: Stream, number: int) -> None:
        """The page of `stream` has all messages up to `number`; a number that is known already means nothing.

        Nor does any number once the stream is superseded or its socket has ended. Raises `SocketGone` for a number that
        was never sent.
        """

    def release(self, receiver: Receiver) -> None:
        """The client of `receiver` is gone, or has been answered: it is on the socket no longer."""

    def close(self, socket_id: str) -> bool:
        """The page closed its socket; whether there was one."""

    def client_id_of_socket(self, socket_id: str) -> str | None:
        """Whose socket it is, if there is one."""

    def when_unpolled(self, callback: Callable[[str, str], None]) -> None:
        """Call `callback`, which must be quick, when a message comes for a socket that has no poll and no stream.

        It is given the socket's id and the browser that last polled it; nothing is said where that is not known.
        """

    def is_unpolled(self, socket_id: str) -> bool:
        """Whether the socket has a message that may leave, and neither a poll nor a stream."""

    # What pages ask over the SDK's own wire (facts.md 4.1)

    def connect(self, token: str, browser: str | None = None) -> Signal:
        """`command=connect`: a signal that is set once the app has been told. Raises a `TokenError`."""

    def poll_one(self, token: str, browser: str | None = None) -> Message | None:
        """`command=poll`: the next message, if there is one. Raises a `TokenError`."""

    def disconnect(self, token: str) -> None:
        """`command=disconnect`. Raises a `TokenError`."""

    # What the emulator around it says and does

    def presence_done(
        self, client_id: str, connected: bool, status: int | None, problem: str = "", seconds: float | None = None
    ) -> None:
        """The POST that tells the app has ended: with the app's status, or with none because of `problem`.

        It has taken `seconds` of the machine's time, where that is known.
        """

    def note(self, kind: str, text: str, client_id: str | None = None, detail: dict[str, Any] | None = None) -> None:
        """Record an event of the layers around the broker; `detail` holds plain JSON values."""

    def next_due(self) -> float | None:
        """When `run_due` has something to do, in seconds of the clock."""

    def run_due(self) -> None:
        """Do what is due: expiry, detachment, presence. To be called several times a second."""
