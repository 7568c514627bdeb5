"""What a script did, as events: the node that asked records them."""

from __future__ import annotations

from typing import Any

from appengine_channel_emu.broker.contract import BrokerOptions
from appengine_channel_emu.broker.drops import OVERFLOW
from appengine_channel_emu.broker.errors import (
    BacklogExceeded,
    ClosedByHand,
    EmulatorError,
    Replaced,
    SocketGone,
    TokenTimedOut,
)
from appengine_channel_emu.broker.turn import Turn

SOCKET_ERRORS: dict[str, type[EmulatorError]] = {
    each.__name__: each for each in (SocketGone, TokenTimedOut, BacklogExceeded, ClosedByHand, Replaced)
}
"""What ends a socket, by the names that scripts know."""

CLOSED = {
    "page_left": ("The page left.", "page_left"),
    "away": ("The page was not heard of within --resume-window.", "away"),
    "expired": ("Its token timed out.", "expired"),
    "overflow": (OVERFLOW.reason, "overflow"),
    "all_full": (
        "All sockets together had more unread bytes than --backlog-total allows, and this one the most.",
        "overflow",
    ),
    "by_hand": ("A socket was closed by hand.", "by_hand"),
    "replaced": ("A newer socket of the client id was opened (--tabs=single).", "replaced"),
}
"""Text and `detail["why"]` of the event, by what the script says."""


def record_happened(turn: Turn, options: BrokerOptions, happened: list[list[Any]]) -> None:
    """Record what a script did. Inside the turn."""
    for kind, client_id, socket, more in happened:
        about = {"client_id": client_id.decode() or None, "socket": socket.decode() or None}
        if kind == b"socket_opened":
            count, _, opened_by = more.decode().partition("|")
            detail = {"open": int(count)} | ({"opened_by": opened_by} if opened_by else {})
            turn.event("socket_opened", "A socket was opened.", **about, detail=detail)
        elif kind == b"socket_closed":
            text, why = CLOSED.get(more.decode(), ("A socket was closed.", more.decode()))
            turn.event("socket_closed", text, **about, detail={"why": why})
        elif kind == b"backlog_full":
            text = (
                f"The unread messages of all sockets have reached {options.backlog_total} bytes; sockets closed, those "
                f"with the most unread: {int(more)}. Pages that do not poll are the cause; --backlog-total allows more."
            )
            turn.event("backlog_full", text)
        elif kind == b"node_left":
            turn.event("node_left", f"Node {node_name(more.decode())} is gone; its sockets are open to all others.")


def node_name(id: str) -> str:
    """The name that a node was given, of what it is called in Redis; empty where nobody holds a socket."""
    return id.rpartition(".")[0]
