"""One node of the service: its name, its heartbeat, what is published to it, and how it begins again after a loss.

A node has a name of its own for each time it begins: when Redis has lost its tail, or the others believed this node
dead, what it mirrors may not be so any more. It lets all of it go, and pages come again with their own word for what
they have. The sockets of the old name are adopted like those of any dead node.
"""

from __future__ import annotations

import json
import logging
import secrets
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from appengine_channel_emu.broker.errors import SocketGone
from appengine_channel_emu.broker.redis.asking import Asking
from appengine_channel_emu.broker.redis.conversation import Conversation
from appengine_channel_emu.broker.redis.handshake import Welcome, greet
from appengine_channel_emu.broker.redis.happened import SOCKET_ERRORS
from appengine_channel_emu.broker.redis.mirror import MirroredSocket, Mirrors, entry_of
from appengine_channel_emu.broker.redis.presence import SharedPresence
from appengine_channel_emu.broker.redis.pushes import NodeHooks, Pushes
from appengine_channel_emu.broker.redis.record import RECORD_SECONDS, Record
from appengine_channel_emu.broker.redis.scripts import Argument
from appengine_channel_emu.broker.redis.target import CONNECT_SECONDS, RedisTarget
from appengine_channel_emu.broker.tokens import TokenMint, new_key
from appengine_channel_emu.broker.turn import Turn

HEARTBEAT = 1.0
ACKNOWLEDGE = 0.25
"""Seconds between two batches of acknowledgements."""

BATCH = 200
"""Sockets in one call."""

SHORTEST_TICK = 0.02

REFUSED_SECONDS = 1.0
"""Until something is asked again that Redis had an error for."""

DRIFT, MINUTE = 0.001, 60.0
"""By how much a clock may go wrong between two heartbeats, in seconds, and by how much it was set."""

log = logging.getLogger("channel_emu.redis")


class NodeOptions(NamedTuple):
    """Whose node it is: `service` is that of all its nodes, `name` and `address` (`host:port`) are for people."""

    service: str
    name: str
    settings: str
    """See core.lua, ARGV[2]."""
    address: str = ""


class Node:
    """The `ConnectionOwner` of a node; `welcome` is what it was told as it began."""

    welcome: Welcome
    mint: TokenMint
    """With the service's key."""

    def __init__(
        self,
        turn: Turn,
        target: RedisTarget,
        options: NodeOptions,
        asking: Asking,
        mirrors: Mirrors,
        presence: SharedPresence,
        record: Record,
        hooks: NodeHooks,
    ) -> None:
        self._turn = turn
        self._target = target
        self._options = options
        self._asking = asking
        self._mirrors = mirrors
        self._presence = presence
        self._record = record
        self._hooks = hooks
        self._pushes = Pushes(turn, mirrors, presence, record, hooks)
        self.id = self._new_id()
        self.epoch = 0
        self.travelled = 0.0
        self.stopping = False
        self.runs_timers = False
        """Whether it does what is due for the service, which may have its app told of something."""
        self._begun = False
        self._about = ""
        self._listed_as: str | None = None
        """What it was called on the connection before."""
        self._dead: set[str] = set()
        self._tick_at = self._acknowledge_at = self._record_at = 0.0
        self._ticking = False
        self._ticked_at = 0.0
        self._redis_ahead = 0.0
        self._later: list[tuple[float, Callable[[], None]]] = []
        self._away_since: float | None = None
        self.due: float | None = None
        """When the next timer of the service is due, in seconds of the clock, as far as this node knows."""

    @property
    def key(self) -> str:
        """What the keys of the service begin with; no other service's begin with it."""
        return f"emu:{self._options.service.replace(':', '%3A')}:"

    @property
    def options(self) -> NodeOptions:
        """Whose node it is."""
        return self._options

    @property
    def target(self) -> RedisTarget:
        """Where its Redis is."""
        return self._target

    @property
    def prefix(self) -> tuple[Argument, ...]:
        """See `ConnectionOwner`."""
        return self.key, self.id, self._options.settings

    def now(self) -> float:
        """Seconds of the service's clock."""
        return self._turn.now()

    def redis_time(self) -> float:
        """Seconds by Redis's own clock, about."""
        return time.monotonic() + self._redis_ahead

    # The connection

    def greet(self, conversation: Conversation) -> None:
        """See `ConnectionOwner`."""
        # What is published goes to all databases of a Redis.
        begin = f"{self.key}{self._target.database}:"
        channels = [f"{begin}n:{self.id}", f"{begin}all"]
        key = self.welcome.key if self.epoch else new_key()
        welcome = greet(conversation, self._target, self.prefix, channels, key, self.epoch, self._begun)
        lost_tail = welcome.lost_tail and self.epoch != welcome.epoch
        self.epoch = welcome.epoch
        if not welcome.kept:
            with self._turn:
                self._begin_anew()
                self._say_why(lost_tail)
            raise ConnectionError("this node begins anew")
        self.welcome = welcome
        self.mint = TokenMint(welcome.key)
        self._begun = True
        self._redis_ahead = welcome.time / 1000 - time.monotonic()

    def connected(self) -> None:
        """See `ConnectionOwner`."""
        welcome = self.welcome
        self._ticking = False
        self._tick_at = 0.0
        with self._turn:
            self._record.begin(welcome.events, welcome.messages, welcome.resets)
            self._hooks.clock_moved(0.0, welcome.now / 1000, welcome.frozen, CONNECT_SECONDS)
            self._presence.settle_all()
            if self._away_since is not None:
                away = time.monotonic() - self._away_since
                self._away_since = None
                self._turn.event(
                    "redis_back", f"Redis is there again, after {away:.0f} s.", detail={"seconds": round(away, 1)}
                )
            sockets = list(self._mirrors.sockets.values())
        self._asking.ask("leases", self._listed_as or self.id, told=self._presence.make_unknown)
        self._listed_as = self.id
        self._hooks.faults_changed()
        for start in range(0, len(sockets), BATCH):
            self._resync(sockets[start : start + BATCH])

    def lost(self, why: str) -> None:
        """See `ConnectionOwner`."""
        self._away_since = time.monotonic()
        log.warning("Redis is away: %s. Pages keep their sockets; sends and opens answer 503 until it is back.", why)

    def pushed(self, payload: bytes) -> None:
        """See `ConnectionOwner`."""
        if payload[:1] == b"a":
            self._acknowledge_at = 0.0
        elif payload[:1] == b"c":
            self._tick_at = 0.0
        self._pushes.take(payload)

    # What a mirror misses

    def read_log(self, socket: MirroredSocket) -> None:
        """Bring what the log has behind the mirror of `socket`. Inside the turn."""

        def told(found: Any) -> None:
            rows, more = found
            if self._mirrors.sockets.get(socket.id) is not socket:
                return
            self._mirrors.extend(socket, [entry_of(each) for each in rows])
            if more:
                self._mirrors.fill(socket)

        def refused() -> None:
            self.later(REFUSED_SECONDS, lambda: self._read_again(socket))

        self._asking.ask("tail", socket.channel.client_id, socket.known, told=told, refused=refused)

    def _read_again(self, socket: MirroredSocket) -> None:
        with self._turn:
            if self._mirrors.sockets.get(socket.id) is socket:
                self.read_log(socket)

    def _resync(self, sockets: list[MirroredSocket]) -> None:
        arguments: list[Argument] = []
        with self._turn:
            for socket in sockets:
                # What is pushed before this is answered follows what the log has.
                socket.behind = True
                arguments += [socket.id, socket.channel.client_id, socket.known]

        def told(states: Any) -> None:
            for socket, state in zip(sockets, states, strict=True):
                if self._mirrors.sockets.get(socket.id) is not socket:
                    continue
                if state in (b"here", b"gap"):
                    self._mirrors.fill(socket) if state == b"gap" else self._mirrors.extend(socket, [])
                else:
                    self._mirrors.drop(
                        socket, None if state == b"moved" else SOCKET_ERRORS.get(state.decode(), SocketGone)
                    )

        self._asking.ask(
            "resync",
            *arguments,
            told=told,
            refused=lambda: self.later(REFUSED_SECONDS, lambda: self._resync(sockets)),
        )

    # What is due

    def chores(self) -> float:
        """See `ConnectionOwner`."""
        now = time.monotonic()
        if now >= self._tick_at and not self._ticking:
            self._tick(now)
        soonest = self._tick_at if not self._ticking else now + HEARTBEAT
        if self._later:
            due = [action for moment, action in self._later if moment <= now]
            self._later = [each for each in self._later if each[0] > now]
            for action in due:
                action()
            soonest = min([soonest, *(moment for moment, _ in self._later)])
        if self._mirrors.unsent:
            if now >= self._acknowledge_at:
                self.acknowledge()
            soonest = min(soonest, self._acknowledge_at)
        if self._record.due:
            if now >= self._record_at:
                self._record.exchange()
                self._record_at = now + RECORD_SECONDS
            soonest = min(soonest, self._record_at)
        return max(0.0, soonest - now)

    def acknowledge(self) -> None:
        """Tell Redis what pages have."""
        while True:
            with self._turn:
                taken = self._mirrors.take_unsent(BATCH)
            if not taken:
                return
            self._asking.ask("acknowledge", *(part for each in taken for part in each))

    def acknowledge_soon(self) -> None:
        """There is something to tell; more will follow."""
        self._acknowledge_at = time.monotonic() + ACKNOWLEDGE
        self._asking.connection.wake()

    def later(self, seconds: float, action: Callable[[], None]) -> None:
        """Call `action` on the connection's thread in so many seconds."""
        self._later.append((time.monotonic() + seconds, action))
        self._asking.connection.wake()

    def tick(self) -> None:
        """Do what is due at this moment, instead of a little later."""
        self._tick_at = 0.0
        self._asking.connection.wake()

    def _tick(self, now: float) -> None:
        self._ticking = True
        self._ticked_at = now
        self._tick_at = now + HEARTBEAT
        about = json.dumps({"name": self._options.name, "address": self._options.address} | self._mirrors.by_way())
        changed, self._about = about != self._about, about

        def refused() -> None:
            self._ticking, self._about = False, ""

        self._asking.ask("tick", about if changed else "", int(self.runs_timers), told=self._ticked, refused=refused)

    def _ticked(self, found: Any) -> None:
        self._ticking = False
        if found[0] == b"dead":
            if not self.stopping:
                self._begin_anew()
                self._say_why(lost_tail=False)
                self._asking.connection.break_off()
            return
        _, more, due, dead, redis_time, now, frozen, events, messages, travelled = found
        moment = time.monotonic()
        ahead = redis_time / 1000 - moment
        # An answer that was long on its way says less; clocks drift, and are set.
        if ahead > self._redis_ahead - DRIFT or ahead < self._redis_ahead - MINUTE:
            self._redis_ahead = ahead
        else:
            self._redis_ahead -= DRIFT
        self._hooks.clock_moved(0.0, now / 1000, bool(frozen), moment - self._ticked_at)
        self.travelled = float(travelled)
        self._record.saw(int(events), int(messages))
        self.due = None if due < 0 else (now + due) / 1000
        if more:
            self._tick_at = 0.0
        elif due >= 0 and not frozen and self.runs_timers:
            self._tick_at = min(self._tick_at, time.monotonic() + max(SHORTEST_TICK, due / 1000))
        for id in dead:
            self._adopt(id.decode())

    def _adopt(self, id: str) -> None:
        if id in self._dead or id == self.id:
            return
        self._dead.add(id)

        def told(more: Any) -> None:
            if more:
                self._asking.ask("adopt", id, 0, BATCH, told=told, refused=lambda: self._dead.discard(id))
            else:
                self._dead.discard(id)

        self._asking.ask("adopt", id, 0, BATCH, told=told, refused=lambda: self._dead.discard(id))

    def leave(self) -> None:
        """Stop: what this node holds is open to all others, and its pages are answered, so that they move at once."""
        self.stopping = True
        self.acknowledge()
        with self._turn:
            count = len(self._mirrors.sockets)
            for socket in list(self._mirrors.sockets.values()):
                self._mirrors.drop(socket)
        for _ in range(count // BATCH + 2):
            self._asking.ask("adopt", self.id, 1, BATCH)

    def _begin_anew(self) -> None:
        for socket in list(self._mirrors.sockets.values()):
            self._mirrors.drop(socket)
        self.id = self._new_id()
        self._begun = False
        self._about = ""

    def _say_why(self, lost_tail: bool) -> None:
        if lost_tail:
            text = (
                "Redis was restarted: what it was told last may be lost. Pages go on with the numbers that they have."
            )
            self._turn.event("redis_restarted", text, detail={"epoch": self.epoch})
        else:
            text = "This node was not heard of for 5 s, and begins anew: others may have its sockets."
            self._turn.event("node_returned", text)

    def _new_id(self) -> str:
        return f"{self._options.name}.{secrets.token_hex(6)}"
