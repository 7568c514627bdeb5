"""Polls and streams at this node: on the mirror of their socket, or waiting for the claim that makes one.

Nothing here waits for Redis. A poll whose claim has not been answered is parked like any other, and empty when its time
is up.
"""

from __future__ import annotations

from typing import Any

from appengine_channel_emu.broker.channel import QueuedMessage, TokenRecord
from appengine_channel_emu.broker.errors import SocketGone
from appengine_channel_emu.broker.figures import BrokerFigures
from appengine_channel_emu.broker.receiver import Poll, PollAnswer, Receiver, Stream
from appengine_channel_emu.broker.redis.asking import Asking
from appengine_channel_emu.broker.redis.happened import SOCKET_ERRORS
from appengine_channel_emu.broker.redis.mirror import MirroredSocket, Mirrors, entry_of
from appengine_channel_emu.broker.turn import Turn


class Claim:
    """A claim that Redis has been asked for; `receiver` is the newest one that waits for it, if one does."""

    __slots__ = ("after", "browser", "receiver")

    def __init__(self, after: int) -> None:
        self.after = after
        self.receiver: Receiver | None = None
        self.browser: str | None = None


class Polling:
    """Serves what pages poll; all calls come inside the broker's turn, but for those that say so."""

    def __init__(self, turn: Turn, mirrors: Mirrors, asking: Asking, figures: BrokerFigures) -> None:
        self._turn = turn
        self._mirrors = mirrors
        self._asking = asking
        self._figures = figures
        self.claims: dict[str, Claim] = {}
        self.stopping = False

    def poll(self, socket_id: str, after: int, browser: str | None) -> Poll:
        """See `Broker`; an error comes with `take`."""
        self._figures.polls += 1
        socket = self._mirror(socket_id, after)
        poll = Poll(socket_id, after, socket.channel.last_message_at if socket is not None else None)
        self._serve(poll, socket, after, browser)
        return poll

    def stream(self, stream: Stream, after: int, browser: str | None) -> None:
        """See `Broker`; an error comes with `take_next`."""
        self._figures.streams += 1
        self._serve(stream, self._mirror(stream.socket_id, after), after, browser)

    def take(self, poll: Poll) -> PollAnswer:
        """See `Broker`."""
        socket = self._serving(poll)
        if socket is None:
            self._leave_claim(poll)
            return PollAnswer([], poll.after)
        self._mirrors.rest(socket)
        messages = socket.fitting(socket.acknowledged)
        return PollAnswer(messages, socket.acknowledged + len(messages) if messages else poll.after)

    def take_next(self, stream: Stream) -> PollAnswer:
        """See `Broker`."""
        socket = self._serving(stream)
        messages = socket.fitting(stream.sent) if socket is not None else []
        stream.sent += len(messages)
        return PollAnswer(messages, stream.sent)

    def acknowledge(self, stream: Stream, number: int) -> None:
        """See `Broker`."""
        socket = self._mirrors.parked(stream)
        if socket is None:
            return
        if number > socket.last_number:
            raise SocketGone
        self._mirrors.acknowledge(socket, number)
        stream.sent = max(stream.sent, number)
        if socket.acknowledged + socket.deliverable > stream.sent:
            self._turn.then(stream.wake)

    def release(self, receiver: Receiver) -> None:
        """See `Broker`."""
        socket = self._mirrors.parked(receiver)
        if socket is not None:
            self._mirrors.rest(socket)
        self._leave_claim(receiver)

    def mirror(self, socket_id: str, token: TokenRecord, found: Any, browser: str | None) -> MirroredSocket:
        """The socket that a claim found is this node's from here on."""
        client_id, number, base, _, since, rows, last_message_at, more = found
        socket = MirroredSocket(
            socket_id, self._mirrors.channel(client_id.decode()), token, self._turn, int(number), int(base)
        )
        if since:
            socket.since = int(since) / 1000
        older = self._mirrors.sockets.get(socket_id)
        receiver = older.receiver if older is not None else None
        socket.browser = browser
        self._mirrors.add(socket)
        if last_message_at:
            socket.channel.last_message_at = int(last_message_at) / 1000
        for entry in map(entry_of, rows):
            self._mirrors.queue(socket, QueuedMessage(entry.text, self._mirrors.unread, entry.sent_at), entry)
        if more:
            self._mirrors.fill(socket)
        if receiver is not None:
            self._park(socket, receiver)
        else:
            self._mirrors.rest(socket)
        return socket

    def _mirror(self, socket_id: str, after: int) -> MirroredSocket | None:
        """The mirror, if it has all that the page has: where it has not, another node was faster, and Redis decides."""
        socket = self._mirrors.sockets.get(socket_id)
        if socket is None or socket_id in self.claims:
            return None
        if after > socket.last_number:
            self._mirrors.drop(socket)
            return None
        self._mirrors.acknowledge(socket, after)
        return socket

    def _serve(self, receiver: Receiver, socket: MirroredSocket | None, after: int, browser: str | None) -> None:
        if self.stopping:
            receiver.superseded = True
            self._turn.then(receiver.wake)
        elif socket is not None:
            self._park(socket, receiver)
            self._mirrors.polled_from(socket, browser)
        else:
            self._wait(receiver, after, browser)

    def _park(self, socket: MirroredSocket, receiver: Receiver) -> None:
        self._mirrors.park(socket, receiver)
        if isinstance(receiver, Stream):
            receiver.sent = max(receiver.sent, socket.acknowledged)
        if socket.deliverable:
            self._turn.then(receiver.wake)

    def _wait(self, receiver: Receiver, after: int, browser: str | None) -> None:
        claim = self.claims.get(receiver.socket_id)
        if claim is None:
            claim = self.claims[receiver.socket_id] = Claim(after)
            self._ask(receiver.socket_id, claim)
        elif claim.receiver is not None:
            claim.receiver.superseded = True
            self._turn.then(claim.receiver.wake)
        claim.receiver, claim.browser = receiver, browser
        claim.after = max(claim.after, after)

    def _ask(self, socket_id: str, claim: Claim) -> None:
        after = claim.after

        def told(found: Any) -> None:
            if found[0] == b"claimed" and claim.after > after and not self._has(found[5], claim.after):
                # A newer poll came meanwhile, and knows more than this reply.
                self._ask(socket_id, claim)
            else:
                self._claimed(socket_id, claim, found)

        def refused() -> None:
            # Its poll stays parked for its time; the next one asks again.
            self.claims.pop(socket_id, None)

        self._asking.ask("claim", socket_id, after, told=told, refused=refused)

    def _has(self, found: Any, after: int) -> bool:
        return bool(found[7] or after <= int(found[1]) + len(found[5]))

    def _claimed(self, socket_id: str, claim: Claim, found: Any) -> None:
        if self.claims.get(socket_id) is claim:
            del self.claims[socket_id]
        receiver = claim.receiver
        if found[0] != b"claimed":
            socket = self._mirrors.sockets.get(socket_id)
            error = SOCKET_ERRORS.get(found[0].decode(), SocketGone)
            if socket is not None:
                self._mirrors.drop(socket, error)
            if receiver is not None:
                receiver.ended = error
                self._turn.then(receiver.wake)
            return
        _, client_id, expires, opened_by, _, what = found
        token = TokenRecord(what[3].decode(), client_id.decode(), expires / 1000, opened_by.decode() or None)
        socket = self.mirror(socket_id, token, what, claim.browser)
        self._mirrors.acknowledge(socket, claim.after)
        if receiver is not None:
            self._park(socket, receiver)

    def _leave_claim(self, receiver: Receiver) -> None:
        claim = self.claims.get(receiver.socket_id)
        if claim is not None and claim.receiver is receiver:
            claim.receiver = None

    def _serving(self, receiver: Receiver) -> MirroredSocket | None:
        if receiver.ended is not None:
            raise receiver.ended()
        return self._mirrors.parked(receiver)
