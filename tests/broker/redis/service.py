"""Nodes of a service in the test's own process, asked in turns, so that a test reads like one of the embedded
broker."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import redis

from appengine_channel_emu.broker.contract import BrokerOptions, PresencePost
from appengine_channel_emu.broker.redis.broker import RedisBroker
from appengine_channel_emu.broker.redis.target import RedisTarget
from appengine_channel_emu.broker.turn import Pending
from tests.broker.redis.servers import RedisServer
from tests.support.clocks import StoppableClock

PATIENCE = 30.0
"""Seconds for an answer, on a busy machine."""


def answer(call: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    """What a call gives or raises, at once or later."""
    try:
        return call(*arguments, **named)
    except Pending as pending:
        return pending.wait(PATIENCE)


def eventually(holds: Callable[[], Any], seconds: float = PATIENCE) -> Any:
    """What `holds` gives once that is something; fails after so many seconds."""
    until = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < until, "it never came to be"
        time.sleep(0.005)
    return found


def pass_time(nodes: Sequence[TestNode], seconds: float) -> None:
    """So much of Redis's own time goes by, and each node has done what was due by then: it was heard twice since."""
    client, table = nodes[0].redis, f"{nodes[0].broker.node.key}nodes"

    def heard(node: TestNode, after: float) -> float:
        beat = client.zscore(table, node.broker.node.id) or 0.0
        return beat if beat > after else 0.0

    now, microseconds = client.time()
    over = (now + microseconds / 1_000_000 + seconds) * 1000
    for node in nodes:
        once = eventually(lambda node=node: heard(node, over))
        eventually(lambda node=node, once=once: heard(node, once))


class TestNode:
    """One node, with the posts that its app has got; each is answered at once unless `holds_posts` is set."""

    __test__ = False

    def __init__(self, target: RedisTarget, service: str, name: str, options: BrokerOptions | None = None) -> None:
        self.redis = redis.Redis(unix_socket_path=target.path, password=target.password)
        self.posts: list[tuple[str, bool]] = []
        self.holds_posts = False
        self.broker = RedisBroker(target, service, name, options, self._post)
        self.broker.run_due()

    def _post(self, client_id: str, connected: bool) -> None:
        self.posts.append((client_id, connected))
        if not self.holds_posts:
            self.broker.presence_done(client_id, connected, 200)

    def create(self, client_id: str, **named: Any) -> str:
        """A token."""
        return answer(self.broker.create_channel, client_id, **named).token

    def open(self, token: str, **named: Any) -> str:
        """A new socket's id."""
        return answer(self.broker.open, token, **named).socket

    def send(self, client_id: str, text: str) -> Any:
        """What a send gives."""
        return answer(self.broker.send_message, client_id, text)

    def read(self, socket: str, after: int, browser: str | None = None) -> list[str]:
        """What a poll brings: it waits until it brings something."""
        poll = self.broker.poll(socket, after, browser)
        eventually(lambda: poll.ready.is_set)
        return [message.text for message in self.broker.take(poll).messages]

    def events(self, kind: str) -> list[Any]:
        """The events of that kind that this node knows of."""
        return [event for event in self.broker.events.after(0) if event.kind == kind]


class ServiceClock(StoppableClock):
    """A clock that a test moves, and with it that of a service."""

    def __init__(self) -> None:
        super().__init__()
        self.moved: Callable[[], None] = lambda: None

    @property
    def stood_still(self) -> float:
        """Seconds for which the service stood still."""
        return self._stood_still

    def _move(self, seconds: float) -> None:
        super()._move(seconds)
        self.moved()


class ServiceUnderTest:
    """A service of two nodes with the contract of one broker: each call goes to the next node, and is waited for.

    After each call everything that it leads to has happened, at both nodes.
    """

    def __init__(self, brokers: list[RedisBroker], settle: Callable[[], None]) -> None:
        self._brokers = itertools.cycle(brokers)
        self._all = brokers
        self._settle = settle
        self._at: dict[Any, RedisBroker] = {}
        self.app_requests = brokers[0].app_requests
        self.control = brokers[0].control
        self.events = brokers[0].events

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: Any, **named: Any) -> Any:
            try:
                return answer(getattr(next(self._brokers), name), *arguments, **named)
            finally:
                self._settle()

        return call

    def send_message(self, client_id: str, message: str, request_id: str | None = None) -> Any:
        # The app of a node sends at that node.
        try:
            broker = self._all[0] if request_id is not None else next(self._brokers)
            return answer(broker.send_message, client_id, message, request_id)
        finally:
            self._settle()

    def send_many(self, client_ids: Any, message: str, request_id: str | None = None) -> Any:
        try:
            broker = self._all[0] if request_id is not None else next(self._brokers)
            return answer(broker.send_many, client_ids, message, request_id)
        finally:
            self._settle()

    def poll(self, socket_id: str, after: int, browser: str | None = None) -> Any:
        return self._receive("poll", socket_id, after, browser)

    def stream(self, socket_id: str, after: int, wake: Callable[[], None], browser: str | None = None) -> Any:
        return self._receive("stream", socket_id, after, wake, browser)

    def take(self, poll: Any) -> Any:
        return self._asked_of(poll, "take", poll)

    def take_next(self, stream: Any) -> Any:
        return self._asked_of(stream, "take_next", stream)

    def acknowledge(self, stream: Any, number: int) -> None:
        self._asked_of(stream, "acknowledge", stream, number)

    def release(self, receiver: Any) -> None:
        self._asked_of(receiver, "release", receiver)

    def presence_done(self, client_id: str, connected: bool, status: int) -> None:
        for broker in self._all:
            if (client_id, connected) in broker._presence._fences:
                broker.presence_done(client_id, connected, status)

    def _receive(self, name: str, *arguments: Any) -> Any:
        broker = next(self._brokers)
        receiver = getattr(broker, name)(*arguments)
        self._settle()
        if receiver.ended is not None:
            raise receiver.ended()
        self._at[receiver] = broker
        return receiver

    def _asked_of(self, receiver: Any, name: str, *arguments: Any) -> Any:
        try:
            # One of a former service is nobody's.
            return getattr(self._at.get(receiver, self._all[0]), name)(*arguments)
        finally:
            self._settle()


class RedisEmulator:
    """Two nodes of the service that `folder` names, as `kept.Emulator` is one process: Redis is what is kept."""

    server: RedisServer

    def __init__(
        self, folder: Path, clock: ServiceClock, options: BrokerOptions, post_presence: PresencePost | None = None
    ) -> None:
        self.locked = False
        self._clock = clock
        self._client = self.server.client()
        self._prefix = f"emu:{folder.name}:"
        self._stop_moving = clock
        clock.moved = self._tell
        self._tell()
        target = self.server.target
        self._nodes = [
            RedisBroker(target, folder.name, name, options, post_presence, clock=clock) for name in ("A", "B")
        ]
        self.broker = ServiceUnderTest(self._nodes, self.settle)
        clock.follow(self)
        self._adopt()

    def _tell(self) -> None:
        clock = {"frozen": round(self._clock.now() * 1000), "stood": round(self._clock.stood_still * 1000)}
        self._client.hset(f"{self._prefix}clock", mapping=clock)

    def next_due(self) -> float | None:
        """When the service's next timer is due."""
        dues = []
        for table, ahead in (("tokens", 0), ("early", 0), ("timers", self._clock.stood_still * 1000)):
            first = self._client.zrange(f"{self._prefix}{table}", 0, 0, withscores=True)
            dues += [(first[0][1] + ahead) / 1000] if first else []
        return min(dues, default=None)

    def run_due(self) -> None:
        """What is due has been done, by any node."""
        while any(answer(self._tick, node) for node in self._nodes):
            pass
        self.settle()

    def _tick(self, node: RedisBroker) -> bool:
        def told(found: Any) -> bool:
            node.node._ticked(found)
            return bool(found[1])

        raise node._asking.ask_and_wait("tick", "", 1, told=told)

    def settle(self) -> None:
        """Everything that was asked has been answered, and what was published has arrived."""
        quiet = 0
        while quiet < 2:
            for node in self._nodes:
                node.node.acknowledge()
                answer(node.control.sockets_of, "")
            quiet = 0 if any(node.connection.busy for node in self._nodes) else quiet + 1

    def save(self) -> bool:
        """All is kept already."""
        return True

    def when_urgent(self, save: Callable[[], object]) -> None:
        """Nothing ever is."""

    def stop(self) -> bool:
        """Both nodes leave the service."""
        self.settle()
        for node in self._nodes:
            node.stop()
        self._client.close()
        return True

    def kill(self) -> None:
        """As SIGKILL does it to both."""
        self.settle()
        self._client.zadd(f"{self._prefix}nodes", {node.node.id: -1 for node in self._nodes})
        for node in self._nodes:
            node.node.stopping = True
            node.connection.stop(0)
        self._client.close()

    def lock(self) -> None:
        """Nothing that another program could lock."""

    def unlock(self) -> None:
        """See `lock`."""

    def _adopt(self) -> None:
        """What dead nodes had is nobody's."""
        for id in self._client.zrangebyscore(f"{self._prefix}nodes", "-inf", -1):
            while answer(self._ask_to_adopt, id.decode()):
                pass
        self.settle()

    def _ask_to_adopt(self, id: str) -> bool:
        raise self._nodes[0]._asking.ask_and_wait("adopt", id, 0, 200, told=bool)


def keys_of(client: redis.Redis, service: str) -> set[str]:
    """The names of a service's keys, without what they begin with."""
    prefix = f"emu:{service}:"
    return {key.decode().removeprefix(prefix) for key in client.scan_iter(f"{prefix}*")}
