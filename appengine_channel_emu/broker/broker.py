"""The broker: owner of channels, tokens, sockets and messages. No HTTP, no sleeping, and no clock but its own."""

from __future__ import annotations

from collections.abc import Callable

from appengine_channel_emu.broker.app_requests import AppRequests
from appengine_channel_emu.broker.channel import Message, Socket, TokenRecord
from appengine_channel_emu.broker.clock import Clock
from appengine_channel_emu.broker.control import Control
from appengine_channel_emu.broker.delivery import Delivery, fitting
from appengine_channel_emu.broker.errors import Replaced, SocketGone, channel_service_error
from appengine_channel_emu.broker.events import EventLog
from appengine_channel_emu.broker.journal import Journal
from appengine_channel_emu.broker.later import ClockLater, Later
from appengine_channel_emu.broker.limits import check_client_id, check_duration, check_message
from appengine_channel_emu.broker.old_wire import OldWire
from appengine_channel_emu.broker.poll import Poll, PollAnswer
from appengine_channel_emu.broker.presence import Presence, PresencePost
from appengine_channel_emu.broker.restoring import STALE, restore
from appengine_channel_emu.broker.results import BrokerOptions, NewToken, Opened, Sent
from appengine_channel_emu.broker.saving import Unsaved
from appengine_channel_emu.broker.signal import Signal
from appengine_channel_emu.broker.snapshots import Snapshots
from appengine_channel_emu.broker.sockets import Sockets
from appengine_channel_emu.broker.state import Changes, State
from appengine_channel_emu.broker.token import new_key, random_id
from appengine_channel_emu.broker.tokens import Tokens
from appengine_channel_emu.broker.turn import Turn
from appengine_channel_emu.faults import Faults, Target


class Broker:
    """The Channel API's server side. Every method may be called from any thread, and none blocks.

    `post_presence(client_id, connected)` is called outside the broker's lock when the app is to be told of a
    client; `presence_done` must follow. Without it presence is off.

    A `browser` is a text that tells browsers apart, None where that cannot be known: see `AppRequests`. What waits for
    them waits on `later`, by default on the clock.
    """

    def __init__(
        self,
        clock: Clock,
        options: BrokerOptions | None = None,
        post_presence: PresencePost | None = None,
        state: State | None = None,
        keep_changes: bool = False,
        later: Later | None = None,
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
        self.app_requests = AppRequests(
            self._turn, later or ClockLater(self._turn), self.options.push_after_answer, self._delivery.release
        )
        self._old_wire = OldWire(self._turn, self._sockets, self._unsaved, window)
        self.snapshots = Snapshots(self._turn, self._sockets, self._tokens.by_client_id)
        self.control = Control(self._turn, self._sockets, self._tokens, self.journal, clock)
        clock.follow(self)
        if state is not None:
            with self._turn:
                self._unsaved.loaded(state)
                restore(state, self._turn, self._sockets, self._presence, self._unsaved, self._tokens.add)

    # The server API

    def create_channel(self, client_id: str, duration_minutes: int | None = None) -> NewToken:
        """A token for `client_id`. Raises `InvalidChannelKey`, `InvalidChannelTokenDuration` or `TooManyTokens`."""
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
        """Send `message` to every socket of `client_id`, which may be a valid token. Raises `BadMessage`.

        It succeeds when nobody is there, as the real one does (facts.md 1.0); `Sent.reason` then says why.
        `request_id` names the app's request that sends it, see `AppRequests`; one that is not known means nothing.
        """
        text, mended = check_message(message)
        trouble = self._meets_fault("send", self.client_id_of(client_id)) if self.faults else None
        if trouble == "drop":
            return Sent(0, "A fault on request.")
        with self._turn:
            client_id = self._tokens.client_id_of(client_id)
            if mended:
                self._turn.event("message_mended", "Bytes that are not UTF-8 became U+FFFD.", client_id=client_id[:256])
            hold = self.app_requests.hold(request_id)
            if trouble == "duplicate":
                self._delivery.send(client_id, text, self._tokens.by_client_id, hold)
            return self._delivery.send(client_id, text, self._tokens.by_client_id, hold)

    # The page's side

    def open(
        self,
        token: str,
        resume: tuple[str, int] | None = None,
        attempt: str | None = None,
        browser: str | None = None,
    ) -> Opened:
        """Open a socket with `token`, or go on with a former one: its id, and the last number the page has.

        A socket that is gone, or of another client id, is not resumed: a new one is opened. A page that never got
        the answer asks again with the same `attempt`, and gets the socket of the first time. Raises `InvalidToken`,
        `TokenTimedOut` or `TooManySockets`.
        """
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
        """A poll of a page that has all messages up to number `after`; it takes over from an older one.

        Raises `TokenTimedOut`, or a `SocketError` when there is no such socket any more or `after` is a number
        that was never sent.
        """
        with self._turn:
            socket = self._sockets.find(socket_id)
            if not self._settle(socket, after) or socket.old_wire or after > socket.last_number:
                raise SocketGone
            if after > socket.acknowledged:
                socket.acknowledge(after)
                self._unsaved.socket(socket)
            older = socket.poll
            if older is not None:
                older.superseded = True
                self._turn.then(older.ready.set)
            poll = socket.poll = Poll(self, socket, after)
            self._polled_from(browser, socket)
            self._sockets.attach(socket)
            if socket.deliverable:
                poll.ready.set()
            return poll

    def take(self, poll: Poll) -> PollAnswer:
        """See `Poll.take`."""
        with self._turn:
            socket = poll.socket
            self._unpark(poll)
            if socket.ended is not None and not poll.superseded:
                raise socket.ended()
            if poll.superseded or socket.ended is not None:
                return PollAnswer([], poll.after)
            messages = fitting(socket)
            return PollAnswer(messages, socket.acknowledged + len(messages) if messages else poll.after)

    def release(self, poll: Poll) -> None:
        """See `Poll.release`."""
        if poll.socket.poll is not poll:
            return  # It was answered, or a newer one took over; neither is ever undone.
        with self._turn:
            self._unpark(poll)

    def close(self, socket_id: str) -> bool:
        """The page closed its socket; whether there was one."""
        with self._turn:
            socket = self._sockets.get(socket_id)
            if socket is None or socket.old_wire:
                return False
            self._sockets.end(socket, SocketGone, "The page closed its socket.")
            return True

    # The old wire

    def connect(self, token: str, browser: str | None = None) -> Signal:
        """`command=connect`: a signal that is set once the app has been told. Raises a `TokenError`."""
        with self._turn:
            socket, new = self._old_wire.touch(self._tokens.valid(token))
            self._polled_from(browser, socket)
            if new:
                self._replace_older(socket)
            return self._presence.opening(socket.channel)

    def poll_one(self, token: str, browser: str | None = None) -> Message | None:
        """`command=poll`: the next message, if there is one. Raises a `TokenError`."""
        with self._turn:
            socket, new = self._old_wire.touch(self._tokens.valid(token))
            self._polled_from(browser, socket)
            if new:
                self._replace_older(socket)
            return self._old_wire.pop(socket)

    def disconnect(self, token: str) -> None:
        """`command=disconnect`. Raises a `TokenError`."""
        with self._turn:
            socket = self._tokens.valid(token).old_wire_socket
            if socket is not None:
                self._sockets.end(socket, SocketGone, "The page disconnected.")

    def client_id_of(self, token: str) -> str:
        """The client id of a valid token; anything else is given back as it is."""
        with self._turn:
            return self._tokens.client_id_of(token)

    def client_id_of_socket(self, socket_id: str) -> str | None:
        """Whose socket it is, if there is one."""
        with self._turn:
            socket = self._sockets.get(socket_id)
            return socket.channel.client_id if socket else None

    # Presence, time, and what is kept

    def presence_done(self, client_id: str, connected: bool, status: int | None, trouble: str = "") -> None:
        """The POST that tells the app has ended: with the app's status, or with none because of `trouble`."""
        with self._turn:
            channel = self._sockets.channels.get(client_id)
            kind = "presence_sent" if status is not None and status < 400 else "presence_failed"
            what = "connected" if connected else "disconnected"
            answered = f"The app answered {status} to /_ah/channel/{what}/."
            text = f"The app was told: {what}." if kind == "presence_sent" else trouble or answered
            self._turn.event(kind, text, client_id=client_id, detail={"presence": what, "status": status})
            if channel is None or channel.posting is not connected:
                return  # a reset came in between
            self._presence.done(channel, connected)
            self._unsaved.told(channel)
            self._sockets.forget_idle(channel)

    def next_due(self) -> float | None:
        """When `run_due` has something to do, in seconds of the clock."""
        with self._turn:
            return self._turn.timers.next_due()

    def run_due(self) -> None:
        """Do what is due: expiry, detachment, presence."""
        self._turn.run_due()

    def when_urgent(self, callback: Callable[[], None]) -> None:
        """Call `callback`, which must be quick, when there is something that should be saved at once."""
        self._unsaved.on_urgent = callback

    def when_unpolled(self, callback: Callable[[str], None]) -> None:
        """Call `callback`, which must be quick, with the id of a socket that has a message and no poll parked."""
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
        """Record an event of the layers around the broker."""
        with self._turn:
            self._turn.event(kind, text, client_id=client_id)

    def _meets_fault(self, stage: str, client_id: str) -> str | None:
        """Refuse the call if a fault says so; else the fault's action, if there is one: drop or duplicate."""
        actions = ("error", "drop", "duplicate") if stage == "send" else ("error", "duplicate")
        fault = self.faults.pick(stage, Target((client_id,)), actions)
        if fault is not None and fault.error is not None:
            raise channel_service_error(fault.error, "A fault on request.")
        return fault.action if fault else None

    # Inside a turn

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

    def _unpark(self, poll: Poll) -> None:
        socket = poll.socket
        if socket.poll is poll:
            socket.poll = None
            if socket.ended is None:
                self._sockets.rest(socket)
