"""Taking up what a former process saved (behaviour.md 2, "Store")."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from appengine_channel_emu.broker.channel import QueuedMessage, Socket, TokenRecord
from appengine_channel_emu.broker.errors import SocketGone
from appengine_channel_emu.broker.presence import Presence
from appengine_channel_emu.broker.saving import SavedSocket, State, Unsaved
from appengine_channel_emu.broker.sockets import Sockets
from appengine_channel_emu.broker.turn import Turn

AddToken = Callable[[str, str, float], TokenRecord]

STALE = "The saved state is not the last one: messages of this socket may be missing, and its page is told."


def restore(
    state: State, turn: Turn, sockets: Sockets, presence: Presence, unsaved: Unsaved, add_token: AddToken
) -> None:
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
            _take_up(saved, tokens[saved.token], state, sockets, turn)
        else:
            unsaved.socket_ended(saved)
            turn.event("socket_closed", "The token of a socket was not saved.", socket=saved.id)
    for channel in list(sockets.channels.values()):
        channel.empty_since = turn.uptime()
        # Not at once: there is no app yet that could be told.
        turn.timers.set(turn.now(), partial(presence.update, channel))
        sockets.forget_idle(channel)
    _tell(state, turn)


def _take_up(saved: SavedSocket, record: TokenRecord, state: State, sockets: Sockets, turn: Turn) -> None:
    socket = Socket(saved.id, sockets.channel(record.client_id), record, saved.old_wire, turn)
    socket.acknowledged = saved.acknowledged
    for text in saved.messages:
        socket.append(QueuedMessage(text, sockets.unread))
    socket.stored = socket.last_number
    socket.may_lag = saved.unsettled is not None or not state.clean
    socket.unsettled = socket.last_number if saved.unsettled is None else saved.unsettled
    sockets.restore(socket, saved.attached and not state.stale)
    if state.stale:
        sockets.end(socket, SocketGone, STALE, quietly=True)


def _tell(state: State, turn: Turn) -> None:
    if state.set_aside is not None:
        turn.event("state_set_aside", state.set_aside)
    if state.stale:
        turn.event(
            "stale_start",
            "The saved state is not the last one: saving had failed when the emulator ended, or its files were damaged "
            "or replaced. What was accepted since is lost. "
            f"Sockets closed, which tells their pages: {len(state.sockets)}.",
        )
    elif not state.clean:
        turn.event("unclean_start", "The emulator was killed: messages of its last second may be lost.")
