"""What the tests of a broker on a Redis share."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Callable, Iterator

import pytest

from appengine_channel_emu.broker.contract import BrokerOptions
from tests.broker.redis.servers import RedisServer
from tests.broker.redis.service import TestNode


@pytest.fixture
def node(shared_redis: RedisServer) -> Iterator[Callable[..., TestNode]]:
    """Makes a node of one service; `node("A", redis=…, **options)`."""
    nodes: list[TestNode] = []
    service = f"test-{secrets.token_hex(4)}"

    def make(name: str = "A", redis: RedisServer | None = None, **options: object) -> TestNode:
        broker_options = BrokerOptions(**options)
        nodes.append(TestNode((redis or shared_redis).target, service, name, broker_options))
        return nodes[-1]

    yield make
    for each in nodes:
        each.broker.stop()


@pytest.fixture
def free_port() -> int:
    """A port that nobody has at this moment."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])
