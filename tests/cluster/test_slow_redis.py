"""A Redis that answers after five seconds: what does not need it goes on, and the rest is refused in time."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator

import pytest

from tests.broker.redis.servers import RedisServer
from tests.cluster.service import Cluster, ClusterNode, MovingPage, in_parallel
from tests.cluster.slow_redis import SlowRedis
from tests.support.waiting import eventually

REFUSED_WITHIN = 5.0
"""Seconds, as behaviour.md 13 has it; and:"""
BUSY = 5.0
"""more for a machine that is busy with other tests."""


@pytest.fixture
def slow_redis(shared_redis: RedisServer) -> Iterator[SlowRedis]:
    slow = SlowRedis(str(shared_redis.path))
    yield slow
    slow.close()


@pytest.fixture
def slowed(cluster: Cluster, slow_redis: SlowRedis) -> ClusterNode:
    """A node whose Redis may become slow."""
    return cluster.node("slowed", url=slow_redis.url)


class Answer:
    """What one request of a burst was answered, and when."""

    def __init__(self, head: str, body: bytes) -> None:
        self.status = int(head.split()[1])
        self.headers = head.lower()
        self.body = body
        self.at = time.monotonic()


async def ask(node: ClusterNode, method: str, path: str, body: bytes = b"") -> Answer:
    reader, writer = await asyncio.open_connection("127.0.0.1", node.port)
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n" if body else ""
    writer.write(head.encode() + b"\r\n" + body)
    answer = await reader.read()
    writer.close()
    first, _, rest = answer.partition(b"\r\n\r\n")
    return Answer(first.decode(), rest)


@pytest.mark.slow
def test_a_burst_starves_nothing(slowed: ClusterNode, slow_redis: SlowRedis) -> None:
    tokens = [slowed.create_channel(f"page-{number}") for number in range(50)]
    parked = MovingPage([slowed], slowed.create_channel("parked"))
    send = json.dumps({"client_id": "page-0", "message": "hello"}).encode()

    async def burst() -> tuple[float, list[Answer], list[Answer], Answer]:
        waiting = asyncio.create_task(ask(slowed, "GET", f"/_ah/channel/poll?socket={parked.socket}&after=0&wait=20"))
        await ask(slowed, "GET", "/_emu/health/live")
        slow_redis.seconds = 5.0
        began = time.monotonic()
        refused = [asyncio.create_task(ask(slowed, "POST", "/_emu/messages", send)) for _ in range(200)]
        refused += [asyncio.create_task(ask(slowed, "GET", f"/_ah/channel/open?channel={each}")) for each in tokens]
        refused += [asyncio.create_task(ask(slowed, "GET", "/_emu/channels")) for _ in range(30)]
        meanwhile = []
        for _ in range(10):
            for path in ("/_emu/health", "/", "/_ah/channel/jsapi", "/_emu/settings"):
                meanwhile.append(await ask(slowed, "GET", path))
        answers = await asyncio.gather(*refused)
        assert not waiting.done()
        slow_redis.seconds = 0.0
        return began, answers, meanwhile, await waiting

    # Playwright has a loop on the thread of the tests.
    [(began, refused, meanwhile, waited)] = in_parallel([lambda: asyncio.run(burst())])
    assert {answer.status for answer in refused} == {503}
    assert all("retry-after:" in answer.headers for answer in refused)
    assert max(answer.at for answer in refused) - began < REFUSED_WITHIN + BUSY
    assert {answer.status for answer in meanwhile} == {200}
    # Had one of them waited for Redis, it would have come behind the first that is refused because of it.
    assert meanwhile[-1].at < min(answer.at for answer in refused)
    assert waited.status == 200
    eventually(lambda: slowed.get_json("/_emu/health")["status"], lambda status: status == "ready")
    assert slowed.send("parked", "again") == 1


@pytest.mark.slow
def test_health_says_that_it_is_degraded_and_why(slowed: ClusterNode, slow_redis: SlowRedis) -> None:
    assert slowed.get_json("/_emu/health")["status"] == "ready"
    slow_redis.seconds = 5.0
    found = eventually(lambda: slowed.get_json("/_emu/health"), lambda found: found["status"] == "degraded")
    assert found["reason"].startswith("no answer")
    slow_redis.seconds = 0.0
    eventually(lambda: slowed.get_json("/_emu/health")["status"], lambda status: status == "ready")


@pytest.mark.slow
def test_what_is_sent_elsewhere_comes_late_and_whole(
    slowed: ClusterNode, slow_redis: SlowRedis, cluster: Cluster
) -> None:
    """A node whose Redis answers late is told of messages late; what it was not told of it reads when it is."""
    quick = cluster.node("quick", app=None)
    pages = [MovingPage([slowed], slowed.create_channel(f"page-{number}")) for number in range(5)]
    slow_redis.seconds = 2.0
    for number in range(10):
        for page in pages:
            assert quick.send(page.client_id, str(number)) == 1
    found = in_parallel([lambda page=page: page.receive(10) for page in pages])
    assert found == [[str(number) for number in range(10)]] * 5
