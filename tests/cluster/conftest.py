"""One Redis for all tests of this folder, a service of two nodes that they share, and services of their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.broker.redis.servers import RedisServer
from tests.cluster.service import BEHIND_PROXY, Cluster, ClusterNode


@pytest.fixture(scope="session")
def shared(shared_redis: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A service that tests share: each has client ids of its own, and leaves the nodes as they are."""
    with Cluster(shared_redis, tmp_path_factory.mktemp("cluster")) as cluster:
        cluster.both = [cluster.node(name, *BEHIND_PROXY, "--disconnect-after", "0.2") for name in ("first", "second")]
        yield cluster


@pytest.fixture(scope="session")
def nodes(shared: Cluster) -> list[ClusterNode]:
    """Its two nodes."""
    return shared.both


@pytest.fixture
def cluster(shared_redis: RedisServer, tmp_path: Path) -> Iterator[Cluster]:
    """A service of this test alone."""
    with Cluster(shared_redis, tmp_path) as cluster:
        yield cluster
