"""The broker: owner of channels, tokens, sockets and messages. No HTTP, no sleeping, and no clock but its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from appengine_channel_emu.broker.app_requests import EmbeddedAppRequests
from appengine_channel_emu.broker.channel import Socket, TokenRecord
from appengine_channel_emu.broker.clock import Clock, Scheduler
from appengine_channel_emu.broker.contract import (
    BrokerOptions,
    Message,
    NewToken,
    Opened,
    Poll,
    PollAnswer,
    PresencePost,
    Sent,
)
from appengine_channel_emu.broker.control import EmbeddedControl
from appengine_channel_emu.broker.delivery import Delivery, fitting
from appengine_channel_emu.broker.errors import (
    Replaced,
    SocketGone,
    channel_service_error,
    check_client_id,
    check_duration,
    check_message,
)
from appengine_channel_emu.broker.events import EventLog, Journal
from appengine_channel_emu.broker.old_wire import OldWire
from appengine_channel_emu.broker.presence import Presence
from appengine_channel_emu.broker.restoring import STALE, restore
from appengine_channel_emu.broker.saving import Changes, State, Unsaved
from appengine_channel_emu.broker.snapshots import EmbeddedSnapshots
from appengine_channel_emu.broker.sockets import Sockets
from appengine_channel_emu.broker.tokens import Tokens, new_key, random_id
from appengine_channel_emu.broker.turn import ClockScheduler, Signal, Turn
from appengine_channel_emu.faults import Faults, Target


class EmbeddedBroker:
    """The `Broker` in this process.

    `post_presence(client_id, connected)` is called outside the broker's lock when the app is to be told of a
    client; `presence_done` must follow. Without it presence is off.

    What waits for browsers (`AppRequests`) waits on `scheduler`, by default on the clock. With `keep_changes` a store
    is to be given what changes: see `take_changes`.
    """

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
        self.faults = Faults(self.note)
        self._unsaved = Unsaved(keep_changes, self._turn)
        self._presence = Presence(self._turn, post_presence, self.options.disconnect_after)
        window = self.options.resume_window
        # With --tabs=single the older socket makes room itself.
        most = self.options.max_sockets + (self.options.tabs == "single")
        self._sockets = Sockets(self._turn, self._presence, self._unsaved, window, most)
        key = state.key if state else new_key()
        self._tokens = Tokens(self._turn, self._sockets, self._unsaved, key, self.options.max_tokens)
        self._delivery = Delivery(self._turn, self._sockets, self._unsaved, self.options, self.journal)
        self.app_requests = EmbeddedAppRequests(
            self._turn, scheduler or ClockScheduler(self._turn), self.options.push_after_answer, self._delivery.release
        )
        self._old_wire = OldWire(self._turn, self._sockets, self._unsaved, window)
        self.snapshots = EmbeddedSnapshots(self._turn, self._sockets, self._tokens.by_client_id)
        self.control = EmbeddedControl(self._turn, self._sockets, self._tokens, self.journal, clock)
        clock.follow(self)
        if state is not None:
            with self._turn:
                self._unsaved.loaded(state)
                restore(state, self._turn, self._sockets, self._presence, self._unsaved, self._tokens.add)

    # The server API

    def create_channel(self, client_id: str, duration_minutes: int | None = None) -> NewToken:
        """See `Broker`."""
        check_client_id(client_id)
        minutes = check_duration(duration_minutes)
        twice = self._meets_fault("create", client_id) == "duplicate"
        with self._turn:
            if twice:
                self._tokens.create(client_id, minutes)
            record = self._tokens.create(client_id, minutes)
            self._turn.event(
                "token_created", f"A token for {minutes} minutes.", client_id=client_id, detail={"minutes": minutes}
            )
        return NewToken(record.token, record.expires)

    def send_message(self, client_id: str, message: str | bytes, request_id: str | None = None) -> Sent:
        """See `Broker`."""
        text, mended = check_message(message)
        fault = self._fault_of_send(client_id)
        with self._turn:
            return self._send(client_id, text, mended, request_id, fault)

    def send_many(
        self, client_ids: Iterable[str], message: str | bytes, request_id: str | None = None
    ) -> dict[str, Sent]:
        """See `Broker`."""
        text, mended = check_message(message)
        # All are asked for before anything is sent: a fault that refuses one refuses the call.
        faults = {each: self._fault_of_send(each) for each in dict.fromkeys(client_ids)}
        with self._turn:
            return {each: self._send(each, text, mended, request_id, fault) for each, fault in faults.items()}

    # The page's side

    def open(
        self,
        token: str,
        resume: tuple[str, int] | None = None,
        attempt: str | None = None,
        browser: str | None = None,
    ) -> Opened:
        """See `Broker`."""
        with self._turn:
            record = self._tokens.valid(token)
            socket = self._resumable(record, resume)
            if socket is None:
                socket = record.attempted(attempt) or self._open(record, attempt)
                after = socket.acknowledged
            else:
                assert resume is not None
                after = resume[1]
                self._resume(socket, record)
            self._polled_from(browser, socket)
            told = self._presence.opening(socket.channel)
            return Opened(socket.id, record.client_id, after, record.expires, told)

    def poll(self, socket_id: str, after: int, browser: str | None = None) -> Poll:
        """See `Broker`."""
        with self._turn:
            socket = self._sockets.find(socket_id)
            if not self._settle(socket, after) or socket.old_wire or after > socket.last_number:
                raise SocketGone
            if after > socket.acknowledged:
                socket.acknowledge(after)
                self._unsaved.socket(socket)
            if socket.poll is not None:
                self._turn.then(socket.poll.ready.set)
            poll = socket.poll = Poll(socket_id, after, socket.channel.last_message_at)
            self._polled_from(browser, socket)
            self._sockets.attach(socket)
            if socket.deliverable:
                poll.ready.set()
            return poll

    def take(self, poll: Poll) -> PollAnswer:
        """See `Broker`."""
        with self._turn:
            if poll.ended is not None:
                raise poll.ended()
            socket = self._parked(poll)
            if socket is None:
                return PollAnswer([], poll.after)
            self._unpark(socket)
            messages = fitting(socket)
            return PollAnswer(messages, socket.acknowledged + len(messages) if messages else poll.after)

    def release(self, poll: Poll) -> None:
        """See `Broker`."""
        if self._parked(poll) is None:
            return  # It was answered, or a newer one took over; neither is ever undone.
        with self._turn:
            socket = self._parked(poll)
            if socket is not None:
                self._unpark(socket)

    def close(self, socket_id: str) -> bool:
        """See `Broker`."""
        with self._turn:
            socket = self._sockets.get(socket_id)
            if socket is None or socket.old_wire:
                return False
            self._sockets.end(socket, SocketGone, "The page closed its socket.")
            return True

    # The old wire

    def connect(self, token: str, browser: str | None = None) -> Signal:
        """See `Broker`."""
        with self._turn:
            socket, new = self._old_wire.touch(self._tokens.valid(token))
            self._polled_from(browser, socket)
            if new:
                self._replace_older(socket)
            return self._presence.opening(socket.channel)

    def poll_one(self, token: str, browser: str | None = None) -> Message | None:
        """See `Broker`."""
        with self._turn:
            socket, new = self._old_wire.touch(self._tokens.valid(token))
            self._polled_from(browser, socket)
            if new:
                self._replace_older(socket)
            return self._old_wire.pop(socket)

    def disconnect(self, token: str) -> None:
        """See `Broker`."""
        with self._turn:
            socket = self._tokens.valid(token).old_wire_socket
            if socket is not None:
                self._sockets.end(socket, SocketGone, "The page disconnected.")

    def client_id_of(self, token: str) -> str:
        """See `Broker`."""
        with self._turn:
            return self._tokens.client_id_of(token)

    def client_id_of_socket(self, socket_id: str) -> str | None:
        """See `Broker`."""
        # One look at one table: it needs no turn.
        socket = self._sockets.get(socket_id)
        return socket.channel.client_id if socket else None

    # Presence, time, and what is kept

    def presence_done(self, client_id: str, connected: bool, status: int | None, problem: str = "") -> None:
        """See `Broker`."""
        with self._turn:
            channel = self._sockets.channels.get(client_id)
            kind = "presence_sent" if status is not None and status < 400 else "presence_failed"
            what = "connected" if connected else "disconnected"
            answered = f"The app answered {status} to /_ah/channel/{what}/."
            text = f"The app was told: {what}." if kind == "presence_sent" else problem or answered
            self._turn.event(kind, text, client_id=client_id, detail={"presence": what, "status": status})
            if channel is None or channel.posting is not connected:
                return  # a reset came in between
            self._presence.done(channel, connected)
            self._unsaved.told(channel)
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
        self._unsaved.on_urgent = callback

    def when_unpolled(self, callback: Callable[[str], None]) -> None:
        """See `Broker`."""
        self._delivery.on_unpolled = callback

    def take_changes(self) -> Changes:
        """What a store has not been given yet, in a batch of bounded size; empty when there is nothing.

        A batch that cannot be saved is given back (`give_back_changes`) before the next is taken.
        """
        with self._turn:
            return self._unsaved.take()

    def give_back_changes(self) -> None:
        """The last batch was not saved: it comes again, as things are by then."""
        with self._turn:
            self._unsaved.give_back()

    def save_anew(self) -> None:
        """The store has lost what it had: `take_changes` gives everything there is."""
        with self._turn:
            self._unsaved.forget_stored()
            self._tokens.save_all()
            self._sockets.save_all()

    def note(self, kind: str, text: str, client_id: str | None = None) -> None:
        """See `Broker`."""
        with self._turn:
            self._turn.event(kind, text, client_id=client_id)

    def _fault_of_send(self, client_id: str) -> str | None:
        return self._meets_fault("send", self.client_id_of(client_id)) if self.faults else None

    def _meets_fault(self, stage: str, client_id: str) -> str | None:
        """Refuse the call if a fault says so; else the fault's action, if there is one: drop or duplicate."""
        actions = ("error", "drop", "duplicate") if stage == "send" else ("error", "duplicate")
        fault = self.faults.pick(stage, Target((client_id,)), actions)
        if fault is not None and fault.error is not None:
            raise channel_service_error(fault.error, "A fault on request.")
        return fault.action if fault else None

    # Inside a turn

    def _send(self, client_id: str, text: str, mended: bool, request_id: str | None, fault: str | None) -> Sent:
        if fault == "drop":
            return Sent(0, "A fault on request.")
        client_id = self._tokens.client_id_of(client_id)
        if mended:
            self._turn.event("message_mended", "Bytes that are not UTF-8 became U+FFFD.", client_id=client_id[:256])
        hold = self.app_requests.hold(request_id)
        if fault == "duplicate":
            self._delivery.send(client_id, text, self._tokens.by_client_id, hold)
        return self._delivery.send(client_id, text, self._tokens.by_client_id, hold)

    def _resumable(self, record: TokenRecord, resume: tuple[str, int] | None) -> Socket | None:
        if resume is None:
            return None
        id, after = resume
        socket = self._sockets.get(id)
        if socket is None or socket.old_wire or socket.channel.client_id != record.client_id:
            return None
        settled = self._settle(socket, after)
        return socket if settled and socket.acknowledged <= after <= socket.last_number else None

    def _settle(self, socket: Socket, after: int) -> bool:
        """What the page says first after a restart; False if the socket has ended by it."""
        if socket.unsettled is None:
            return True
        if not socket.settle(after):
            self._sockets.end(socket, SocketGone, STALE)
            return False
        if socket.may_lag:
            # At once: were it forgotten, a second unclean stop would renumber what the page has by then.
            self._unsaved.socket_at_once(socket)
        return True

    def _resume(self, socket: Socket, record: TokenRecord) -> None:
        socket.token.drop(socket)
        socket.token = record
        record.hold(socket)
        self._sockets.attach(socket)
        if socket.poll is None:
            self._sockets.rest(socket)
        self._unsaved.socket(socket)

    def _polled_from(self, browser: str | None, socket: Socket) -> None:
        """`socket` belongs to a page in `browser`; what waits for another one's answer waits no longer."""
        if socket.browser == browser:
            return
        socket.browser = browser
        if socket.holds is not None:
            socket.holds = None
            self._delivery.release(socket)

    def _open(self, record: TokenRecord, attempt: str | None) -> Socket:
        socket = self._sockets.open(random_id(), record, old_wire=False)
        if attempt is not None:
            socket.attempt = attempt
            record.attempts[attempt] = socket
        self._replace_older(socket)
        return socket

    def _replace_older(self, newer: Socket) -> None:
        if self.options.tabs != "single":
            return
        for socket in list(newer.channel.sockets.values()):
            if socket is not newer:
                self._sockets.end(socket, Replaced, "A newer socket of the client id was opened (--tabs=single).")

    def _parked(self, poll: Poll) -> Socket | None:
        """The socket that `poll` is parked on."""
        socket = self._sockets.get(poll.socket_id)
        return socket if socket is not None and socket.poll is poll else None

    def _unpark(self, socket: Socket) -> None:
        socket.poll = None
        self._sockets.rest(socket)
