"""One Redis for all tests of this folder, a service of two nodes that they share, and services of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.broker.redis.servers import RedisServer
from tests.cluster.service import BEHIND_PROXY, Cluster, ClusterNode
from tests.support import parts


@pytest.fixture(scope="session")
def redis_of_all() -> Iterator[RedisServer]:
    """Which tests leave as it is."""
    parts.need(parts.redis_server)
    server = RedisServer()
    yield server
    server.close()


@pytest.fixture
def own_redis() -> Iterator[Callable[..., RedisServer]]:
    """Starts a Redis that the test may stop, kill, or give options."""
    parts.need(parts.redis_server)
    servers: list[RedisServer] = []

    def start(*options: str, **how: Any) -> RedisServer:
        servers.append(RedisServer(*options, **how))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture(scope="session")
def shared(redis_of_all: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A service that tests share: each has client ids of its own, and leaves the nodes as they are."""
    with Cluster(redis_of_all, tmp_path_factory.mktemp("cluster")) as cluster:
        cluster.both = [cluster.node(name, *BEHIND_PROXY, "--disconnect-after", "0.2") for name in ("first", "second")]
        yield cluster


@pytest.fixture(scope="session")
def nodes(shared: Cluster) -> list[ClusterNode]:
    """Its two nodes."""
    return shared.both


@pytest.fixture
def cluster(redis_of_all: RedisServer, tmp_path: Path) -> Iterator[Cluster]:
    """A service of this test alone."""
    with Cluster(redis_of_all, tmp_path) as cluster:
        yield cluster
