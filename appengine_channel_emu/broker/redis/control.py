"""What tests and the console see of the whole service, and do to it, from outside the Channel API."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from appengine_channel_emu.broker.control import LATEST_TIME, RECEIPTS_SHOWN, SOCKETS_SHOWN
from appengine_channel_emu.broker.drops import fold
from appengine_channel_emu.broker.journal import SentMessage
from appengine_channel_emu.broker.receiver import Way
from appengine_channel_emu.broker.redis.asking import LATER, Asking
from appengine_channel_emu.broker.redis.handshake import SCHEMA, info_facts
from appengine_channel_emu.broker.redis.happened import node_name
from appengine_channel_emu.broker.redis.mirror import Mirrors
from appengine_channel_emu.broker.redis.node import Node
from appengine_channel_emu.broker.redis.record import SharedJournal
from appengine_channel_emu.broker.results import ChannelList, ChannelSnapshot, Receipt, SocketSnapshot, Totals
from appengine_channel_emu.broker.turn import Pending, Turn

MOST_ALIKE = 50


class NodeSnapshot(NamedTuple):
    """A node of the service: its name and address, and how many sockets are there by what serves them."""

    id: str
    name: str
    address: str
    sockets: dict[str, int]


class SharedControl:
    """The `Control` of the service, at one node: what it gives comes with a `Pending`, which each method raises."""

    def __init__(self, turn: Turn, asking: Asking, mirrors: Mirrors, journal: SharedJournal, node: Node) -> None:
        self._turn = turn
        self._asking = asking
        self._mirrors = mirrors
        self._journal = journal
        self._node = node

    @property
    def travelled(self) -> float:
        """See `Control`; as the last heartbeat told it."""
        return self._node.travelled

    def channel(self, client_id: str) -> ChannelSnapshot | None:
        """See `Control`."""
        raise self._asking.ask_and_wait(
            "channel", client_id, SOCKETS_SHOWN, told=lambda found: self._snapshot(client_id, found)
        )

    def channels(self, search: str = "", limit: int = 100) -> ChannelList:
        """See `Control`."""

        def told(found: Any) -> ChannelList:
            total, matching, sockets, shown = found
            snapshots = [self._snapshot(client_id.decode(), what) for client_id, what in shown]
            return ChannelList(total, matching, sockets, [each for each in snapshots if each is not None])

        answer = Pending()
        folded = search.casefold()

        def matched(client_ids: list[str], total: int) -> Any:
            # Folding is Python's: Lua knows no letters but those of ASCII.
            matching = [each for each in client_ids if folded in each.casefold()] if search else client_ids
            count = len(matching) if search else total
            shown = matching[:limit]
            self._asking.ask_and_wait("channels", SOCKETS_SHOWN, total, count, *shown, told=told, pending=answer)
            return LATER

        raise self._client_ids(matched, answer, None if search else limit)

    def client_ids(self) -> list[str]:
        """See `Control`."""
        raise self._client_ids(lambda client_ids, total: client_ids, Pending(), None)

    def totals(self) -> Totals:
        """See `Control`."""

        def told(found: Any) -> Totals:
            client_ids, sockets, sdk, about = found
            ways = {"stream": 0, "poll": 0}
            for node in _nodes(about):
                for way in ways:
                    ways[way] += node.sockets.get(way, 0)
            none = max(0, sockets - sum(ways.values()))
            return Totals(client_ids, {**ways, "sdk": sdk, "none": none})

        raise self._asking.ask_and_wait("totals", told=told)

    def nodes(self) -> list[NodeSnapshot]:
        """The nodes of the service, as each last said of itself."""
        raise self._asking.ask_and_wait("totals", told=lambda found: _nodes(found[3]))

    def cluster(self) -> dict[str, Any]:
        """The nodes and their Redis, as plain JSON values; durations in seconds, memory in bytes."""
        began = time.monotonic()

        def told(found: Any) -> dict[str, Any]:
            heard, about, now, server, memory = found
            beats = {id.decode(): float(beat) for id, beat in zip(heard[::2], heard[1::2], strict=True)}
            nodes = [
                {
                    "id": each.id,
                    "name": each.name,
                    "address": each.address,
                    "sockets": each.sockets,
                    "heard": max(0.0, round((now - beats[each.id]) / 1000, 3)),
                    "self": each.id == self._node.id,
                }
                for each in _nodes(about)
                if beats.get(each.id, -1.0) >= 0
            ]
            facts = info_facts((server + memory).decode("utf-8", "replace"))
            redis = {
                "url": str(self._node.target),
                "version": facts.get("redis_version", "unknown"),
                "memory": int(facts.get("used_memory", 0)),
                "max_memory": int(facts.get("maxmemory", 0)) or None,
                "round_trip": round(time.monotonic() - began, 6),
                "epoch": self._node.epoch,
                "schema": SCHEMA,
            }
            nodes.sort(key=lambda node: (node["name"], node["address"]))
            return {"name": self._node.options.service, "nodes": nodes, "redis": redis}

        raise self._asking.ask_and_wait("cluster", told=told)

    def alike(self, client_id: str) -> list[str]:
        """See `Control`."""
        raise self._asking.ask_and_wait(
            "near", client_id, fold(client_id), 0, MOST_ALIKE, told=lambda found: [each.decode() for each, _ in found]
        )

    def receipts(self, sent: SentMessage) -> list[Receipt]:
        """See `Control`; of sockets that have ended nothing is known, and when only of this node's."""
        offset = self._journal.offsets.get(sent.number)
        if not offset:
            return []
        raise self._asking.ask_and_wait(
            "receipts",
            sent.client_id,
            offset,
            RECEIPTS_SHOWN,
            told=lambda found: [self._receipt(sent, *each) for each in found],
        )

    def sockets_of(self, client_id: str) -> list[str]:
        """See `Control`."""
        raise self._asking.ask_and_wait("sockets", client_id, told=lambda found: [each.decode() for each in found])

    def close(self, socket_id: str) -> bool:
        """See `Control`."""
        raise self._asking.ask_and_wait("end", socket_id, "by_hand", "ClosedByHand", 1, told=bool)

    def cut(self, socket_id: str) -> bool:
        """See `Control`: whichever node serves it is told."""
        raise self._asking.ask_and_wait("cut", socket_id, told=bool)

    def expire(self, socket_id: str) -> bool:
        """See `Control`."""
        raise self._asking.ask_and_wait("expire", socket_id, told=bool)

    def travel(self, seconds: float) -> None:
        """See `Control`."""
        if not seconds >= 0 or self._turn.now() + seconds > LATEST_TIME:
            raise ValueError("The clock is advanced by 0 seconds or more, and not past the year 2099.")
        answer = Pending()

        def told(found: Any) -> Any:
            more, to = found
            if more:
                self._asking.ask_and_wait("travel", 0, "", to, told=told, pending=answer)
                return LATER
            text = f"The clock was advanced by {seconds:g} s."
            self._turn.event("clock_advanced", text, detail={"seconds": seconds})
            return None

        by, name = round(seconds * 1000), self._asking.name()
        raise self._asking.ask_and_wait("travel", by, name, 0, told=told, pending=answer)

    def reset(self) -> None:
        """See `Control`."""

        def told(_: Any) -> None:
            self._turn.event("reset", "The emulator was reset.")

        raise self._asking.ask_and_wait("reset", told=told)

    def _client_ids(self, told: Callable[[list[str], int], Any], answer: Pending, most: int | None) -> Pending:
        """Ask for all client ids, or for `most` at least, in parts; `told` gets them, and how many there are."""
        known: dict[str, None] = {}

        def take(found: Any) -> Any:
            where, total, some = found
            known.update(dict.fromkeys(each.decode() for each in some))
            if where == b"0" or (most is not None and len(known) >= most):
                return told(list(known), int(total))
            ask(where)
            return LATER

        def ask(where: bytes) -> None:
            self._asking.ask_and_wait("client_ids", where, told=take, pending=answer)

        ask(b"0")
        return answer

    def _snapshot(self, client_id: str, found: Any) -> ChannelSnapshot | None:
        if found is None:
            return None
        tokens, told, posting, posting_since, last, count, shown = found
        return ChannelSnapshot(
            client_id,
            tokens,
            bool(told),
            count,
            [self._socket(*each) for each in shown],
            None if last is None else int(last) / 1000,
            None if posting is None else posting == b"1",
            None if posting_since is None else int(posting_since) / 1000,
        )

    def _socket(
        self,
        id: bytes,
        attached: bytes,
        wire: bytes,
        since: bytes,
        expires: int,
        opened_by: bytes,
        unread: int,
        unread_bytes: int,
        last_number: int,
        node: bytes,
    ) -> SocketSnapshot:
        mirrored = self._mirrors.sockets.get(id.decode())
        receiver = mirrored.receiver if mirrored is not None else None
        if mirrored is not None:
            # Acknowledgements reach Redis a little later.
            unread, unread_bytes = len(mirrored.queue), mirrored.queued_bytes
        return SocketSnapshot(
            id.decode(),
            "attached" if attached == b"1" else "detached",
            "dev" if wire == b"d" else "socket",
            int(since) / 1000,
            expires / 1000,
            unread,
            unread_bytes,
            last_number,
            receiver.transport if receiver is not None else None,
            opened_by.decode() or None,
            node_name(node.decode()) or None,
        )

    def _receipt(self, sent: SentMessage, id: bytes, acknowledged: int, opened_by: bytes, wire: bytes) -> Receipt:
        mirrored = self._mirrors.sockets.get(id.decode())
        way: Way | None = "sdk" if wire == b"d" else mirrored.way if mirrored is not None else None
        at = None
        if mirrored is not None and sent.queued is not None and mirrored in sent.queued.acknowledged:
            at, way = sent.queued.acknowledged[mirrored]
            acknowledged = True
        state: Any = "acknowledged" if acknowledged else "waiting"
        return Receipt(id.decode(), way, opened_by.decode() or None, at, state)


def _nodes(about: list[bytes]) -> list[NodeSnapshot]:
    found = []
    for id, text in zip(about[::2], about[1::2], strict=True):
        said = json.loads(text)
        name, address = said.pop("name", ""), said.pop("address", "")
        found.append(NodeSnapshot(id.decode(), name, address, said))
    return found
