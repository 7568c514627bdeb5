"""The machine of tests/broker/test_machine.py over a service of two nodes: each call goes to another one."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import rule

from tests.broker.redis.servers import RedisServer
from tests.broker.redis.service import RedisEmulator, ServiceClock
from tests.broker.test_machine import BROWSERS, LONGEST, BrokerMachine, Held, Page, Request

EXAMPLES = 3000 if os.environ.get("SOAK") else 10


class Unanswered:
    """A request of a node that is gone."""

    ended_at = None


def lasting(held: Held) -> Held:
    """Why a message waits by what the log says, once nobody is left to say that a request was answered."""
    return held if held.answered else held._replace(request=Unanswered())


class RedisMachine(BrokerMachine):
    """Nothing is lost when both nodes are killed: Redis has it."""

    make = RedisEmulator
    make_clock = ServiceClock

    def __init__(self) -> None:
        self.held_at: dict[Page, float] = {}
        """When a page was last sent something that waits for pages of some browser."""
        super().__init__()

    def holds(self, page: Page, request: Request) -> bool:
        """Whoever claims its socket knows its browser, and what the message waits for."""
        self.held_at[page] = self.clock.now()
        return request.broker is self.broker and page.browser == request.browser

    @rule(page=BrokerMachine.pages, browser=st.sampled_from(BROWSERS))
    def move(self, page: Page, browser: str) -> None:
        """What waits for its new browser waits there too, if another node claims it; the model does not know which."""
        if self.clock.now() >= self.held_at.get(page, 0.0) + LONGEST:
            super().move(page, browser)

    @rule()
    def kill(self) -> None:
        living = self.living()
        self.emulator.kill()
        self.come_back(living, whole=True)
        self.restarted_at = self.clock.uptime()

    def come_back(self, living: list[Page], whole: bool) -> None:
        now = self.clock.uptime()
        # Those that a node held become quiet at this moment; the time of the others goes on.
        quiet_since = {
            page: now if page.known and (page.served or now < page.detaches_at()) else page.quiet_since
            for page in living
        }
        held = {page: page.held for page in living}
        super().come_back(living, whole)
        for page in living:
            page.held = {number: lasting(each) for number, each in held[page].items()}
        for page, since in quiet_since.items():
            page.quiet_since = since


@pytest.fixture(scope="module", autouse=True)
def redis_of_the_machine(shared_redis: RedisServer) -> None:
    RedisEmulator.server = shared_redis


TestBrokerOnRedis = pytest.mark.soak(RedisMachine.TestCase)
TestBrokerOnRedis.settings = settings(
    max_examples=EXAMPLES, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
