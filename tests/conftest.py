"""For tests of every folder."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from tests.support import parts

if TYPE_CHECKING:
    from tests.broker.redis.servers import RedisServer


@pytest.fixture
def mark() -> str:
    """The value of `MARK` in the environment of all that the test starts."""
    return secrets.token_hex(8)


@pytest.fixture(scope="session")
def shared_redis() -> Iterator[RedisServer]:
    """The Redis of this session, for tests that leave it as it is."""
    from tests.broker.redis.servers import RedisServer

    parts.need(parts.redis_server)
    server = RedisServer()
    yield server
    server.close()


@pytest.fixture
def own_redis() -> Iterator[Callable[..., RedisServer]]:
    """Starts a Redis that the test may stop, kill, and set back."""
    from tests.broker.redis.servers import RedisServer

    parts.need(parts.redis_server)
    servers: list[RedisServer] = []

    def start(*options: str, **how: object) -> RedisServer:
        servers.append(RedisServer(*options, **how))
        return servers[-1]

    yield start
    for server in servers:
        server.close()
