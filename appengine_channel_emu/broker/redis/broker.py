"""The broker's contract on a Redis: one node of a service of any number (behaviour.md 13, design.md)."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterable
from typing import Any

from appengine_channel_emu.broker.clock import Clock, Scheduler
from appengine_channel_emu.broker.contract import BrokerOptions, PresencePost, Resume
from appengine_channel_emu.broker.drops import fold
from appengine_channel_emu.broker.errors import (
    check_client_id,
    check_duration,
    check_message,
    fault_of_call,
)
from appengine_channel_emu.broker.figures import BrokerFigures
from appengine_channel_emu.broker.receiver import Message, Poll, PollAnswer, Receiver, Stream
from appengine_channel_emu.broker.redis.asking import Asking
from appengine_channel_emu.broker.redis.clock import SharedClock
from appengine_channel_emu.broker.redis.connection import RedisConnection
from appengine_channel_emu.broker.redis.control import SharedControl
from appengine_channel_emu.broker.redis.faults import SharedFaults
from appengine_channel_emu.broker.redis.holds import SharedAppRequests
from appengine_channel_emu.broker.redis.mirror import MirroredSocket, Mirrors
from appengine_channel_emu.broker.redis.node import Node, NodeOptions
from appengine_channel_emu.broker.redis.opening import Opening
from appengine_channel_emu.broker.redis.polling import Polling
from appengine_channel_emu.broker.redis.presence import SharedPresence
from appengine_channel_emu.broker.redis.record import Record, SharedEventLog, SharedJournal
from appengine_channel_emu.broker.redis.sending import Sending
from appengine_channel_emu.broker.redis.target import RedisTarget
from appengine_channel_emu.broker.results import NewToken, Opened, Sent
from appengine_channel_emu.broker.tokens import TokenMint, is_like_token, too_many_tokens
from appengine_channel_emu.broker.turn import ClockScheduler, Pending, Signal, Turn

STOP_SECONDS = 2.0
"""For what a node that stops has to tell Redis."""


class RedisBroker:
    """The `Broker` of one node, `name`, of the service `service` on the Redis at `target`.

    `address` is where people find this node.

    What needs Redis raises `Pending`. Polls and streams never wait for it: what ends their socket is raised by `take`
    and `take_next`. `post_presence` is as for the embedded broker; all nodes have one, or none has. With `clock` time
    is that one's, and not the service's: for tests, which move both.

    Raises `RedisRefused` where this Redis cannot be used, OSError where it cannot be reached, and ValueError with
    `--tabs=split`, where sockets of several nodes would have to take turns.
    """

    immediate = False

    def __init__(
        self,
        target: RedisTarget,
        service: str,
        name: str,
        options: BrokerOptions | None = None,
        post_presence: PresencePost | None = None,
        scheduler: Scheduler | None = None,
        clock: Clock | None = None,
        address: str = "",
    ) -> None:
        self.options = options = options or BrokerOptions()
        if options.tabs == "split":
            raise ValueError(
                "--tabs=split has sockets take turns, which several emulators cannot do; use fanout or single."
            )
        self._shared_clock = SharedClock() if clock is None else None
        self.clock: Clock = clock or self._shared_clock or SharedClock()
        if self._shared_clock is not None:
            self._shared_clock.ask_to_freeze = self._freeze
        self.events = SharedEventLog(options.event_log)
        self.journal = SharedJournal()
        self._turn = Turn(self.clock, self.events)
        self.figures = BrokerFigures(self.clock.now())
        self._asking = Asking(self._turn, options)
        self.faults = SharedFaults(self.note, self._asking)
        self._presence = SharedPresence(self._turn, post_presence, self.figures, self._presence_ended)
        self._asking.presence = self._presence
        self._record = Record(self.events, self.journal, self._exchange_record)
        self._mirrors = Mirrors(
            self._turn, self.figures, options, self._has_unsent, self._read_log, self._quiet, self._find_hold
        )
        self.journal.find = self._mirrors.pushed
        self.app_requests = SharedAppRequests(
            self._turn,
            scheduler or ClockScheduler(self._turn),
            options.push_after_answer,
            self._mirrors.release,
            lambda request, due: self._asking.ask("answered", request, due),
        )
        self._polling = Polling(self._turn, self._mirrors, self._asking, self.figures)
        grace, window = round(options.disconnect_after * 1000), round(options.resume_window * 1000)
        settings = f"{int(post_presence is not None)} {grace} {window} {target.database}"
        self.node = Node(
            self._turn,
            target,
            NodeOptions(service, name, settings, address),
            self._asking,
            self._mirrors,
            self._presence,
            self._record,
            self,
        )
        self._sending = Sending(
            self._turn, options, self.figures, self._asking, self.journal, self.app_requests, self.node
        )
        self._opening = Opening(self._asking, self._polling, self._presence, self.node, options)
        self.control = SharedControl(self._turn, self._asking, self._mirrors, self.journal, self.node)
        self.connection = self._asking.connection = RedisConnection(target, self.node)
        self.clock.follow(self)
        self.connection.open()

    # What apps ask

    def create_channel(
        self, client_id: str, duration_minutes: int | None = None, opened_by: str | None = None
    ) -> NewToken:
        """See `Broker`."""
        check_client_id(client_id)
        minutes = check_duration(duration_minutes)
        if fault_of_call(self.faults, "create", client_id) == "duplicate":
            self._create(client_id, minutes, opened_by)
        raise self._create(client_id, minutes, opened_by)

    def send_message(self, client_id: str, message: str | bytes, request_id: str | None = None) -> Sent:
        """See `Broker`."""
        text, replaced = check_message(message)
        fault = fault_of_call(self.faults, "send", client_id) if self.faults else None
        if replaced:
            self._note_replaced(client_id)
        raise self._sending.send(client_id, text, request_id, fault)

    def send_many(
        self, client_ids: Iterable[str], message: str | bytes, request_id: str | None = None
    ) -> dict[str, Sent]:
        """See `Broker`."""
        text, replaced = check_message(message)
        faults: dict[str, str | None] = dict.fromkeys(client_ids)
        if self.faults:
            # All are asked for before anything is sent: a fault that refuses one refuses the call.
            faults = {each: fault_of_call(self.faults, "send", each) for each in faults}
        if replaced:
            for each in faults:
                self._note_replaced(each)
        raise self._sending.send_many(faults, text, request_id)

    def client_id_of(self, token: str) -> str:
        """See `Broker`; what does not look like a token is no call."""
        if not self._mint.made(token):
            return token
        raise self._sending.client_id_of(token)

    # What pages ask

    def open(
        self, token: str, resume: Resume | None = None, attempt: str | None = None, browser: str | None = None
    ) -> Opened:
        """See `Broker`."""
        raise self._opening.open(token, resume, attempt, browser)

    def poll(self, socket_id: str, after: int, browser: str | None = None) -> Poll:
        """See `Broker`."""
        with self._turn:
            return self._polling.poll(socket_id, after, browser)

    def take(self, poll: Poll) -> PollAnswer:
        """See `Broker`."""
        with self._turn:
            return self._polling.take(poll)

    def stream(self, socket_id: str, after: int, wake: Callable[[], None], browser: str | None = None) -> Stream:
        """See `Broker`."""
        with self._turn:
            stream = Stream(socket_id, after, wake)
            self._polling.stream(stream, after, browser)
            return stream

    def take_next(self, stream: Stream) -> PollAnswer:
        """See `Broker`."""
        with self._turn:
            return self._polling.take_next(stream)

    def acknowledge(self, stream: Stream, number: int) -> None:
        """See `Broker`."""
        with self._turn:
            self._polling.acknowledge(stream, number)

    def release(self, receiver: Receiver) -> None:
        """See `Broker`."""
        with self._turn:
            self._polling.release(receiver)

    def close(self, socket_id: str) -> bool:
        """See `Broker`."""
        raise self._asking.ask_and_wait("end", socket_id, "page_left", "SocketGone", 0, told=bool)

    def client_id_of_socket(self, socket_id: str) -> str | None:
        """See `Broker`; of sockets that this node holds."""
        socket = self._mirrors.sockets.get(socket_id)
        return socket.channel.client_id if socket else None

    def when_unpolled(self, callback: Callable[[str, str], None]) -> None:
        """See `Broker`."""
        self._mirrors.on_unpolled = callback

    def is_unpolled(self, socket_id: str) -> bool:
        """See `Broker`."""
        with self._turn:
            socket = self._mirrors.sockets.get(socket_id)
            return socket is not None and socket.receiver is None and socket.deliverable > 0

    # What pages ask over the SDK's own wire

    def connect(self, token: str, browser: str | None = None) -> Signal:
        """See `Broker`."""
        raise self._opening.connect(token, browser)

    def poll_one(self, token: str, browser: str | None = None) -> Message | None:
        """See `Broker`."""
        self.figures.polls += 1
        raise self._opening.poll_one(token, browser)

    def disconnect(self, token: str) -> None:
        """See `Broker`."""
        raise self._opening.disconnect(token)

    # Presence, time, and the service around it

    def presence_done(
        self, client_id: str, connected: bool, status: int | None, problem: str = "", seconds: float | None = None
    ) -> None:
        """See `Broker`."""
        with self._turn:
            self._presence.done(client_id, connected, status, problem, seconds)

    def note(self, kind: str, text: str, client_id: str | None = None, detail: dict[str, Any] | None = None) -> None:
        """See `Broker`."""
        with self._turn:
            if kind == "request_cut":
                self.figures.cut += 1
            shown = None if client_id is None else self._shown(client_id)
            self._turn.event(kind, text, client_id=shown, detail=detail or {})
        self.connection.wake()

    def next_due(self) -> float | None:
        """See `Broker`: of this node's own timers. Those of the service run on the connection's thread."""
        with self._turn:
            return self._turn.timers.next_due()

    def run_due(self) -> None:
        """See `Broker`. From the first call on this node does what is due for the service, too."""
        self._turn.run_due()
        if not self.node.runs_timers:
            self.node.runs_timers = True
            self.node.tick()

    @property
    def why_away(self) -> str | None:
        """Why Redis is away at this moment, in words; None while it is there."""
        return self.connection.problem

    def shared_key(self, purpose: str) -> bytes:
        """A key that all nodes have, and nobody else: of the service's own, so that it lives as long as that one."""
        return hmac.digest(self._mint.key, b"key\0" + purpose.encode("ascii"), "sha256")

    def stop(self) -> None:
        """Leave the service: parked polls are answered, so that pages move to other nodes at once."""
        with self._turn:
            self._polling.stopping = True
        self.node.leave()
        self.connection.stop(STOP_SECONDS)

    # What the node is told

    def clock_moved(self, by: float, now: float, frozen: bool, late: float) -> None:
        """See `NodeHooks`."""
        if by:
            self._mirrors.travelled(by)
        if self._shared_clock is not None:
            self._shared_clock.synchronize(now, frozen, late)

    def request_answered(self, id: str, due: int) -> None:
        """See `NodeHooks`."""
        self.app_requests.over(id, due)

    def faults_changed(self) -> None:
        """See `NodeHooks`."""
        self.faults.refresh()

    def cut(self, socket_id: str) -> None:
        """See `NodeHooks`."""
        socket = self._mirrors.sockets.get(socket_id)
        if socket is not None and socket.receiver is not None:
            socket.receiver.cut = True
            self._turn.then(socket.receiver.wake)
            text = "The connection of a socket was cut by hand."
            self._turn.event("socket_cut", text, client_id=socket.channel.client_id, socket=socket_id)

    # Inside

    @property
    def _mint(self) -> TokenMint:
        return self.node.mint

    def _create(self, client_id: str, minutes: int, opened_by: str | None) -> Pending:
        token, expires = self._mint.make(self.clock.now() + minutes * 60)
        mark, folded = (opened_by or "").replace("|", "_"), fold(client_id)

        def told(found: Any) -> NewToken:
            if found[0] != b"made":
                error = too_many_tokens(self.options.max_tokens)
                self._turn.event("tokens_full", str(error))
                raise error
            detail: dict[str, object] = {"minutes": minutes}
            if opened_by is not None:
                detail["opened_by"] = opened_by
            self._turn.event("token_created", f"A token for {minutes} minutes.", client_id=client_id, detail=detail)
            return NewToken(token, expires)

        return self._asking.ask_and_wait(
            "create",
            token,
            round(expires * 1000),
            mark,
            client_id,
            self.options.max_tokens,
            "" if folded == client_id else folded,
            told=told,
        )

    def _note_replaced(self, client_id: str) -> None:
        self.note("message_mended", "Bytes that are not UTF-8 became U+FFFD.", client_id)

    def _shown(self, client_id: str) -> str:
        return f"{client_id[:8]}…" if is_like_token(client_id) else client_id[:256]

    def _presence_ended(self, client_id: str, connected: bool, fence: int) -> None:
        self._asking.ask("posted", client_id, int(connected), fence, told=lambda found: self._presence.ended(fence))

    def _exchange_record(self, *arguments: Any) -> None:
        self._asking.ask(
            "record", self._asking.name(), *arguments, told=self._record.exchanged, refused=self._record.refused
        )

    def _has_unsent(self) -> None:
        self.node.acknowledge_soon()

    def _read_log(self, socket: MirroredSocket) -> None:
        self.node.read_log(socket)

    def _find_hold(self, text: str) -> Any:
        return self.app_requests.find(text)

    def _quiet(self, socket: MirroredSocket, seconds: float) -> None:
        """It was not polled for as long as it stays attached: nobody holds it from here on."""
        if socket.id in self._mirrors.unsent:
            self._asking.ask("acknowledge", socket.channel.client_id, socket.id, socket.base, socket.acknowledged)
        self._mirrors.drop(socket)
        self._asking.ask(
            "detach",
            socket.id,
            round(seconds * 1000),
            again=lambda: socket.id not in self._mirrors.sockets and socket.id not in self._polling.claims,
        )

    def _freeze(self, frozen: bool) -> None:
        raise self._asking.ask_and_wait("freeze", int(frozen), told=lambda found: None)
