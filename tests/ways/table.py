"""All ways in which a message does not arrive, by the question of docs/messages-do-not-arrive.md that leads to them."""

from __future__ import annotations

from tests.ways import addressed, arrived, connected, opened, presence, sent
from tests.ways.way import Way

TABLES: dict[str, tuple[Way, ...]] = {
    "Was it sent, and to this emulator?": sent.WAYS,
    "To which client id?": addressed.WAYS,
    "Has the page opened a socket?": opened.WAYS,
    "Is the socket still open?": connected.WAYS,
    "Was it to be sent when a page comes or goes?": presence.WAYS,
    "Is it on its way, or in the page already?": arrived.WAYS,
}
"""By the heading of each."""

WAYS = tuple(way for ways in TABLES.values() for way in ways)
