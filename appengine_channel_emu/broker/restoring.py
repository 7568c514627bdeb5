"""Taking up what a former process saved (behaviour.md 2, "Store")."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from appengine_channel_emu.broker.channel import Message, Socket, TokenRecord
from appengine_channel_emu.broker.presence import Presence
from appengine_channel_emu.broker.sockets import Sockets
from appengine_channel_emu.broker.state import SavedSocket, State
from appengine_channel_emu.broker.turn import Turn

AddToken = Callable[[str, str, float], TokenRecord]


def restore(state: State, turn: Turn, sockets: Sockets, presence: Presence, add_token: AddToken) -> None:
    """Fill an empty broker, inside its turn.

    Sockets that were attached have their five seconds from this moment on, so that a short restart is no event to
    the app. A token that timed out meanwhile ends its sockets by its timer, as any other.
    """
    tokens = {token.token: add_token(token.token, token.client_id, token.expires) for token in state.tokens}
    for client_id in state.told:
        sockets.channel(client_id).told = True
    for saved in state.sockets:
        # In a state that was not closed cleanly, a socket's token may be missing.
        if saved.token in tokens:
            socket = _socket(saved, tokens[saved.token], sockets, turn.now())
            if socket.unsettled is None and not state.clean:
                socket.unsettled = socket.last_number
            sockets.restore(socket, saved.attached)
    for channel in list(sockets.channels.values()):
        channel.empty_since = turn.now()
        # Not at once: there is no app yet that could be told.
        turn.timers.set(turn.now(), partial(presence.update, channel))
    if not state.clean:
        turn.event("unclean_start", "The emulator was killed: messages of its last second may be lost.")


def _socket(saved: SavedSocket, record: TokenRecord, sockets: Sockets, now: float) -> Socket:
    socket = Socket(saved.id, sockets.channel(record.client_id), record, saved.old_wire, now)
    socket.acknowledged = saved.acknowledged
    socket.unsettled = saved.unsettled
    for text in saved.messages:
        socket.append(Message(text, sockets.unread))
    socket.stored = socket.last_number
    return socket
