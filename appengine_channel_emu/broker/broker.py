"""The broker: owner of channels, tokens, sockets and messages. No HTTP, no sleeping, and no clock but its own."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any, ClassVar

from appengine_channel_emu.broker.app_requests import EmbeddedAppRequests
from appengine_channel_emu.broker.channel import Socket
from appengine_channel_emu.broker.clock import Clock, Scheduler
from appengine_channel_emu.broker.contract import AppRequests, BrokerOptions, Control, PresencePost, Resume
from appengine_channel_emu.broker.control import EmbeddedControl
from appengine_channel_emu.broker.delivery import Delivery
from appengine_channel_emu.broker.drops import BY_FAULT
from appengine_channel_emu.broker.errors import (
    SocketGone,
    check_client_id,
    check_duration,
    check_message,
    fault_of_call,
)
from appengine_channel_emu.broker.events import EventLog
from appengine_channel_emu.broker.figures import BrokerFigures
from appengine_channel_emu.broker.journal import Journal
from appengine_channel_emu.broker.presence import Presence
from appengine_channel_emu.broker.receiver import Message, Poll, PollAnswer, Receiver, Stream
from appengine_channel_emu.broker.results import NewToken, Opened, Sent
from appengine_channel_emu.broker.saving import Changes, DirtySet, State
from appengine_channel_emu.broker.sockets import Sockets
from appengine_channel_emu.broker.tokens import Tokens, new_key
from appengine_channel_emu.broker.turn import ClockScheduler, Signal, Turn
from appengine_channel_emu.faults import Faults

_MENDED = "Bytes that are not UTF-8 became U+FFFD."


class EmbeddedBroker:
    """The `Broker` in this process.

    `post_presence(client_id, connected)` is called outside the broker's lock when the app is to be told of a
    client; `presence_done` must follow. Without it presence is off.

    What waits for browsers (`AppRequests`) waits on `scheduler`, by default on the clock. With `keep_changes` a store
    is to be given what changes: see `take_changes`.
    """

    immediate: ClassVar[bool] = True

    def __init__(
        self,
        clock: Clock,
        options: BrokerOptions | None = None,
        post_presence: PresencePost | None = None,
        state: State | None = None,
        keep_changes: bool = False,
        scheduler: Scheduler | None = None,
    ) -> None:
        self.options = options or BrokerOptions()
        self.clock = clock
        self.events = EventLog(self.options.event_log)
        self._turn = Turn(clock, self.events)
        self.journal = Journal()
        self.figures = BrokerFigures(clock.now())
        self.faults = Faults(self.note)
        self._dirty = DirtySet(keep_changes, self._turn)
        disconnect_after = self.options.disconnect_after
        self._presence = Presence(self._turn, self._dirty, post_presence, disconnect_after, self.figures)
        self._sockets = Sockets(self._turn, self._presence, self._dirty, self.options, self.figures)
        key = state.key if state else new_key()
        self._tokens = Tokens(self._turn, self._sockets, self._dirty, key, self.options.max_tokens)
        self._delivery = Delivery(self._turn, self._sockets, self._tokens, self._dirty, self.options, self.journal)
        self.app_requests: AppRequests
        self.app_requests = self._requests = EmbeddedAppRequests(
            self._turn, scheduler or ClockScheduler(self._turn), self.options.push_after_answer, self._delivery.release
        )
        self.control: Control = EmbeddedControl(self._turn, self._sockets, self._tokens, self.journal)
        clock.follow(self)
        if state is not None:
            with self._turn:
                self._restore(state)

    # What apps ask

    def create_channel(
        self, client_id: str, duration_minutes: int | None = None, opened_by: str | None = None
    ) -> NewToken:
        """See `Broker`."""
        check_client_id(client_id)
        minutes = check_duration(duration_minutes)
        twice = bool(self.faults) and fault_of_call(self.faults, "create", client_id) == "duplicate"
        with self._turn:
            if twice:
                self._tokens.create(client_id, minutes, opened_by)
            record = self._tokens.create(client_id, minutes, opened_by)
            text, detail = _token_created(minutes, opened_by)
            self._turn.event("token_created", text, client_id=client_id, detail=detail)
        return NewToken(record.token, record.expires)

    def send_message(self, client_id: str, message: str | bytes, request_id: str | None = None) -> Sent:
        """See `Broker`."""
        text, replaced = check_message(message)
        fault = fault_of_call(self.faults, "send", self.client_id_of(client_id)) if self.faults else None
        with self._turn:
            if fault is not None or replaced:
                return self._send(client_id, text, replaced, request_id, fault)
            hold = None if request_id is None else self._requests.hold(request_id)
            return self._delivery.send(self._tokens.client_id_of(client_id), text, hold)

    def send_many(
        self, client_ids: Iterable[str], message: str | bytes, request_id: str | None = None
    ) -> dict[str, Sent]:
        """See `Broker`."""
        text, replaced = check_message(message)
        with self._turn:
            whom = {name: self._tokens.client_id_of(name) for name in client_ids}
        one_each = dict.fromkeys(whom.values())
        # All are asked for before anything is sent: a fault that refuses one refuses the call.
        faults = {each: fault_of_call(self.faults, "send", each) for each in one_each} if self.faults else {}
        with self._turn:
            if faults:
                sent = {each: self._send(each, text, replaced, request_id, fault) for each, fault in faults.items()}
            else:
                if replaced and whom:
                    self._turn.event("message_mended", _MENDED)
                sent = self._delivery.send_many(one_each, text, self._requests.hold(request_id))
        return {name: sent[client_id] for name, client_id in whom.items()}

    def client_id_of(self, token: str) -> str:
        """See `Broker`."""
        with self._turn:
            return self._tokens.client_id_of(token)

    # What pages ask

    def open(
        self, token: str, resume: Resume | None = None, attempt: str | None = None, browser: str | None = None
    ) -> Opened:
        """See `Broker`."""
        with self._turn:
            record = self._tokens.valid(token)
            socket = None if resume is None else self._sockets.resume(record, *resume)
            if socket is None or resume is None:
                socket = self._sockets.open(record, attempt=attempt)
                after = socket.acknowledged
            else:
                after = resume[1]
            self._delivery.polled_from(browser, socket)
            presence_sent = self._presence.opening(socket.channel)
            return Opened(socket.id, record.client_id, after, record.expires, presence_sent)

    def poll(self, socket_id: str, after: int, browser: str | None = None) -> Poll:
        """See `Broker`."""
        with self._turn:
            self.figures.polls += 1
            socket = self._sockets.arrive(socket_id, after)
            poll = Poll(socket.id, after, socket.channel.last_message_at)
            self._sockets.park(socket, poll)
            if browser != socket.browser:
                self._delivery.polled_from(browser, socket)
            if socket.queue and socket.deliverable:
                poll.ready.set()
            return poll

    def take(self, poll: Poll) -> PollAnswer:
        """See `Broker`."""
        with self._turn:
            socket = self._serving(poll)
            if socket is None:
                return PollAnswer([], poll.after)
            self._sockets.unpark(socket)
            acknowledged = socket.acknowledged
            messages = socket.fitting(acknowledged) if socket.queue else []
            return PollAnswer(messages, acknowledged + len(messages) if messages else poll.after)

    def stream(self, socket_id: str, after: int, wake: Callable[[], None], browser: str | None = None) -> Stream:
        """See `Broker`."""
        with self._turn:
            socket = self._sockets.arrive(socket_id, after)
            self.figures.streams += 1
            stream = Stream(socket.id, socket.acknowledged, wake)
            self._sockets.park(socket, stream)
            self._delivery.polled_from(browser, socket)
            return stream

    def take_next(self, stream: Stream) -> PollAnswer:
        """See `Broker`."""
        with self._turn:
            socket = self._serving(stream)
            messages = socket.fitting(stream.sent) if socket is not None else []
            stream.sent += len(messages)
            return PollAnswer(messages, stream.sent)

    def acknowledge(self, stream: Stream, number: int) -> None:
        """See `Broker`."""
        with self._turn:
            socket = self._sockets.parked(stream)
            if socket is None:
                return
            self._sockets.acknowledge(socket, number)
            # A page may have more than this stream has brought it, by a poll that was answered as the stream began.
            stream.sent = max(stream.sent, number)
            if socket.acknowledged + socket.deliverable > stream.sent:
                self._turn.then(stream.wake)

    def release(self, receiver: Receiver) -> None:
        """See `Broker`."""
        if self._sockets.parked(receiver) is None:
            return  # It was answered, or a newer one took over; neither is ever undone.
        with self._turn:
            socket = self._sockets.parked(receiver)
            if socket is not None:
                self._sockets.unpark(socket)

    def close(self, socket_id: str) -> bool:
        """See `Broker`."""
        with self._turn:
            socket = self._sockets.get(socket_id)
            if socket is None or socket.sdk_wire:
                return False
            self._sockets.end(socket, SocketGone, "The page left.")
            return True

    def client_id_of_socket(self, socket_id: str) -> str | None:
        """See `Broker`."""
        # One look at one table: it needs no turn.
        socket = self._sockets.get(socket_id)
        return socket.channel.client_id if socket else None

    # What pages ask over the SDK's own wire

    def connect(self, token: str, browser: str | None = None) -> Signal:
        """See `Broker`."""
        with self._turn:
            socket = self._sockets.touch(self._tokens.valid(token))
            self._delivery.polled_from(browser, socket)
            return self._presence.opening(socket.channel)

    def poll_one(self, token: str, browser: str | None = None) -> Message | None:
        """See `Broker`."""
        with self._turn:
            self.figures.polls += 1
            socket = self._sockets.touch(self._tokens.valid(token))
            self._delivery.polled_from(browser, socket)
            return self._sockets.pop(socket)

    def disconnect(self, token: str) -> None:
        """See `Broker`."""
        with self._turn:
            socket = self._tokens.valid(token).sdk_wire_socket
            if socket is not None:
                self._sockets.end(socket, SocketGone, "The page left.")

    # Presence, time, and what is kept

    def presence_done(
        self, client_id: str, connected: bool, status: int | None, problem: str = "", seconds: float | None = None
    ) -> None:
        """See `Broker`."""
        with self._turn:
            channel = self._sockets.channels.get(client_id)
            self._presence.done(client_id, channel, connected, status, problem, seconds)
            if channel is not None:
                self._sockets.forget_idle(channel)

    def next_due(self) -> float | None:
        """See `Broker`."""
        with self._turn:
            return self._turn.timers.next_due()

    def run_due(self) -> None:
        """See `Broker`."""
        self._turn.run_due()

    def when_urgent(self, callback: Callable[[], None]) -> None:
        """Call `callback`, which must be quick, when there is something that should be saved at once."""
        self._dirty.on_urgent = callback

    def when_unpolled(self, callback: Callable[[str, str], None]) -> None:
        """See `Broker`."""
        self._delivery.on_unpolled = callback

    def is_unpolled(self, socket_id: str) -> bool:
        """See `Broker`."""
        with self._turn:
            socket = self._sockets.get(socket_id)
            return socket is not None and socket.receiver is None and socket.deliverable > 0

    def take_changes(self) -> Changes:
        """What a store has not been given yet, in a batch of bounded size; empty when there is nothing.

        A batch that cannot be saved is given back (`give_back_changes`) before the next is taken.
        """
        with self._turn:
            return self._dirty.take()

    def give_back_changes(self) -> None:
        """The last batch was not saved: it comes again, as things are by then."""
        with self._turn:
            self._dirty.give_back()

    def save_anew(self) -> None:
        """The store has lost what it had: `take_changes` gives everything there is."""
        with self._turn:
            self._dirty.forget_stored()
            self._tokens.save_all()
            self._sockets.save_all()

    def note(self, kind: str, text: str, client_id: str | None = None, detail: dict[str, Any] | None = None) -> None:
        """See `Broker`."""
        with self._turn:
            if kind == "request_cut":
                self.figures.cut += 1
            shown = None if client_id is None else self._tokens.shown(client_id)
            self._turn.event(kind, text, client_id=shown, detail=detail or {})

    # Inside a turn

    def _serving(self, receiver: Receiver) -> Socket | None:
        """The socket that `receiver` is parked on, if it still is; raises what has ended it."""
        if receiver.ended is not None:
            raise receiver.ended()
        return self._sockets.parked(receiver)

    def _send(self, client_id: str, text: str, replaced: bool, request_id: str | None, fault: str | None) -> Sent:
        client_id = self._tokens.client_id_of(client_id)
        if fault == "drop":
            return self._delivery.drop(client_id, text, BY_FAULT)
        if replaced:
            shown = self._tokens.shown(client_id)
            self._turn.event("message_mended", _MENDED, client_id=shown)
        hold = self._requests.hold(request_id)
        if fault == "duplicate":
            self._delivery.send(client_id, text, hold)
        return self._delivery.send(client_id, text, hold)

    def _restore(self, state: State) -> None:
        """Take up what a former process saved (behaviour.md 2, "Store")."""
        self._dirty.loaded(state)
        self._sockets.restore(state, self._tokens.restore(state.tokens))
        if state.set_aside is not None:
            self._turn.event("state_set_aside", state.set_aside)
        if state.stale:
            self._turn.event(
                "stale_start",
                "The saved state is not the last one: saving had failed when the emulator ended, or its files were "
                "damaged or replaced. What was accepted since is lost. "
                f"Sockets closed, which tells their pages: {len(state.sockets)}.",
            )
        elif not state.clean:
            self._turn.event("unclean_start", "The emulator was killed: messages of its last second may be lost.")


@functools.lru_cache(maxsize=256)
def _token_created(minutes: int, opened_by: str | None) -> tuple[str, dict[str, object]]:
    """Text and detail of the event. Shared: thousands of these events are kept, and nearly all are alike."""
    detail: dict[str, object] = {"minutes": minutes}
    return f"A token for {minutes} minutes.", detail if opened_by is None else detail | {"opened_by": opened_by}
