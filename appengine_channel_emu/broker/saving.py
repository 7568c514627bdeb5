"""What outlives a restart (behaviour.md 2, "Store"), and which parts of it the store has not seen.

They are gathered as they change, and handed over in batches. A message that is delivered and acknowledged between two
batches is never written, so saving costs by the number of sockets that changed and not by the number of messages.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice, takewhile
from typing import Generic, Protocol, TypeVar

from appengine_channel_emu.broker.channel import Channel, Socket, TokenRecord
from appengine_channel_emu.broker.receiver import Message
from appengine_channel_emu.broker.turn import Turn

Record = TypeVar("Record")

BATCH = 500
"""Records of a kind a batch at most, so that handing one over never holds the broker up."""

BATCH_MESSAGES = 2_000
BATCH_BYTES = 4 * 1024 * 1024
"""Messages a batch at most: a token that is made meanwhile is in the next, within the tenth of a second that a SIGKILL
may cost (behaviour.md 2)."""


@dataclass(frozen=True, slots=True)
class SavedToken:
    """A token; `expires` in seconds since the epoch, 0 once it has been timed out by hand."""

    token: str
    client_id: str
    expires: float


@dataclass(frozen=True, slots=True)
class SavedSocket:
    """A socket: its last acknowledged number, and the messages that follow `messages_after`.

    `unsettled` is set from an unclean start until the page says which number it has: the last number known then.
    """

    id: str
    token: str
    sdk_wire: bool
    attached: bool
    acknowledged: int
    unsettled: int | None
    messages_after: int
    messages: list[str]


@dataclass(slots=True)
class Changes:
    """What is to be written: everything here replaces what the store has under the same key.

    `connected` are the client ids that the app takes for connected, `connected_gone` those that it does not any more.
    """

    tokens: list[SavedToken] = field(default_factory=list)
    tokens_gone: list[str] = field(default_factory=list)
    sockets: list[SavedSocket] = field(default_factory=list)
    sockets_gone: list[str] = field(default_factory=list)
    connected: list[str] = field(default_factory=list)
    connected_gone: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        gone = self.tokens_gone or self.sockets_gone or self.connected_gone
        return bool(self.tokens or self.sockets or self.connected or gone)


@dataclass(slots=True)
class State:
    """All that a store holds.

    `clean` is false when the emulator that wrote it did not end by itself. `stale` is true when that one could not
    save at its end: what it accepted since its last save is not here, however long ago that was. `set_aside` says
    what was wrong with a file that could not be used, and where it is.
    """

    key: bytes
    clean: bool = True
    stale: bool = False
    set_aside: str | None = None
    tokens: list[SavedToken] = field(default_factory=list)
    sockets: list[SavedSocket] = field(default_factory=list)
    connected: list[str] = field(default_factory=list)


class Store(Protocol):
    """Where state outlives the process."""

    def load(self) -> State:
        """All that was saved; a new key when there is nothing."""

    def save(self, changes: Changes) -> None:
        """Write `changes`, all of them or none. Raises OSError when that cannot be done, for now.

        Raises `StoreLost` when all that was saved before is lost, too.
        """

    def tidy(self) -> None:
        """Give some of the space that is not needed any more back to the system; takes milliseconds."""

    def close(self, saved: bool) -> None:
        """Nothing will be saved after this; `saved`: all has been, so that the state is clean."""


class StoreLost(OSError):
    """The store is empty: whoever saves into it begins anew, with everything there is."""


class Ledger(Generic[Record]):
    """Records of one kind by their key: what the store has, and what it has not been given yet.

    What was taken counts as saved until it is given back. Its size is bounded by that of the records which there are
    and which the store has, for however long saving fails.
    """

    def __init__(self) -> None:
        # A dict takes half of a set's memory, and this has every page's.
        self._stored: dict[str, None] = {}
        self._changed: dict[str, Record] = {}
        self._gone: set[str] = set()
        self._taken: dict[str, Record] = {}
        self._taken_new: set[str] = set()
        self._taken_gone: list[str] = []

    def loaded(self, keys: Iterable[str]) -> None:
        """The store has these."""
        self._stored.update(dict.fromkeys(keys))

    def change(self, key: str, record: Record) -> None:
        """`record` is new, or has changed since the store got it."""
        self._changed[key] = record
        self._gone.discard(key)

    def remove(self, key: str) -> None:
        """The record is gone; the store hears of it only if it ever had it."""
        self._changed.pop(key, None)
        if key in self._stored:
            self._gone.add(key)

    def take_gone(self) -> list[str]:
        """Up to `BATCH` keys of records that are gone; a new batch begins with this."""
        self._taken, self._taken_new = {}, set()
        self._taken_gone = list(islice(self._gone, BATCH))
        self._gone.difference_update(self._taken_gone)
        # An empty table stays as large as it ever was.
        self._gone, self._changed = self._gone or set(), self._changed or {}
        self._forget(self._taken_gone)
        return self._taken_gone

    def take_changed(self) -> Iterator[Record]:
        """Up to `BATCH` records that have changed; those that are not asked for stay."""
        for key in list(islice(self._changed, BATCH)):
            record = self._taken[key] = self._changed.pop(key)
            if key not in self._stored:
                self._stored[key] = None
                self._taken_new.add(key)
            yield record

    def give_back(self) -> None:
        """What was taken last was not saved."""
        self.loaded(self._taken_gone)
        self._forget(self._taken_new)
        self._gone.update(key for key in self._taken_gone if key not in self._changed)
        returned = {key: record for key, record in self._taken.items() if key not in self._gone}
        self._gone -= self._taken_new
        self._changed = returned | self._changed
        self._taken, self._taken_new, self._taken_gone = {}, set(), []

    def forget_stored(self) -> None:
        """The store has lost all that it had."""
        self._stored.clear()
        self._gone.clear()
        self._taken, self._taken_new, self._taken_gone = {}, set(), []

    def _forget(self, keys: Iterable[str]) -> None:
        for key in keys:
            self._stored.pop(key, None)


class DirtySet:
    """What has changed since it was last handed over; all calls come inside the broker's turn."""

    def __init__(self, keep: bool, turn: Turn) -> None:
        self._keep = keep
        self._turn = turn
        self.on_urgent: Callable[[], None] | None = None
        """Called, outside the turn, when there is something that should not wait for the next batch."""
        self._tokens: Ledger[TokenRecord] = Ledger()
        self._sockets: Ledger[Socket] = Ledger()
        self._connected: Ledger[str] = Ledger()
        self._taken_after: list[tuple[Socket, int]] = []
        """The sockets of the last batch, and what each had stored before."""

    def loaded(self, state: State) -> None:
        """The store has what is in `state`."""
        if self._keep:
            self._tokens.loaded(token.token for token in state.tokens)
            self._sockets.loaded(socket.id for socket in state.sockets)
            self._connected.loaded(state.connected)

    def token(self, record: TokenRecord) -> None:
        """A new token."""
        if self._keep:
            self._tokens.change(record.token, record)
            self._hurry()

    def socket_at_once(self, socket: Socket) -> None:
        """A socket that was just opened, or whose record must not be left as it is."""
        self.socket(socket)
        if self._keep:
            self._hurry()

    def token_gone(self, record: TokenRecord) -> None:
        """A token that timed out."""
        if self._keep:
            self._tokens.remove(record.token)

    def socket(self, socket: Socket) -> None:
        """A socket, its messages, or what it has acknowledged."""
        if self._keep and socket.ended is None:
            self._sockets.change(socket.id, socket)

    def socket_ended(self, socket: Socket | SavedSocket) -> None:
        """A socket that ended, or that could not be taken up again."""
        if self._keep:
            self._sockets.remove(socket.id)

    def presence(self, channel: Channel) -> None:
        """What the app was last told of a client id."""
        if not self._keep:
            return
        if channel.presence_sent:
            self._connected.change(channel.client_id, channel.client_id)
        else:
            self._connected.remove(channel.client_id)

    def _hurry(self) -> None:
        if self.on_urgent is not None:
            self._turn.then(self.on_urgent)

    def take(self) -> Changes:
        """A batch of bounded size, which counts as saved from here on unless it is given back."""
        return Changes(
            tokens_gone=self._tokens.take_gone(),
            sockets_gone=self._sockets.take_gone(),
            connected_gone=self._connected.take_gone(),
            tokens=[SavedToken(each.token, each.client_id, each.expires) for each in self._tokens.take_changed()],
            sockets=self._take_sockets(),
            connected=list(self._connected.take_changed()),
        )

    def give_back(self) -> None:
        """The last batch was not saved: what it held is handed over again, as it is by then."""
        for ledger in (self._tokens, self._sockets, self._connected):
            ledger.give_back()
        for socket, after in self._taken_after:
            socket.stored = min(socket.stored, after)
        self._taken_after = []

    def forget_stored(self) -> None:
        """The store has lost all that it had; what there is must be given to it again."""
        for ledger in (self._tokens, self._sockets, self._connected):
            ledger.forget_stored()
        self._taken_after = []

    def _take_sockets(self) -> list[SavedSocket]:
        saved: list[SavedSocket] = []
        room = _Room()
        self._taken_after = []
        for socket in self._sockets.take_changed():
            saved.append(_saved_socket(socket, room))
            self._taken_after.append((socket, saved[-1].messages_after))
            if socket.stored < socket.last_number:
                self._sockets.change(socket.id, socket)
            if not room.left:
                break
        return saved


class _Room:
    """What a batch may still hold of messages."""

    def __init__(self) -> None:
        self._messages, self._bytes = BATCH_MESSAGES, BATCH_BYTES

    @property
    def left(self) -> bool:
        return self._messages > 0 and self._bytes > 0

    def take(self, message: Message) -> str:
        """Its text, which is in the batch from here on."""
        self._messages -= 1
        self._bytes -= message.size
        return message.text


def _saved_socket(socket: Socket, room: _Room) -> SavedSocket:
    after = max(socket.stored, socket.acknowledged)
    new = islice(socket.queue, after - socket.acknowledged, None)
    texts = [room.take(message) for message in takewhile(lambda _: room.left, new)]
    socket.stored = after + len(texts)
    return SavedSocket(
        socket.id,
        socket.token.token,
        socket.sdk_wire,
        socket.attached,
        socket.acknowledged,
        socket.unsettled if socket.may_lag else None,
        after,
        texts,
    )
