"""Pages that post to an app whose handler sends to them: which is there first, the answer or the message?"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.support.parts import ROOT

APP = ROOT / "tests" / "push" / "app"
WAYS = ("fetch", "xhr", "form")
PAUSES = (0, 5, 50)
"""Milliseconds between the send and the answer."""

TRANSPORTS = ("xhr", "iframe", "short", "websocket")
"""Of `?transport=`."""

SECONDS_A_POST = 20


@dataclass
class Count:
    """Of how many posts the message was first, and the milliseconds from each answer to its message."""

    posts: int = 0
    first: int = 0
    delays: list[float] = field(default_factory=list)

    def add(self, other: Count) -> None:
        """Count these, too."""
        self.posts += other.posts
        self.first += other.first
        self.delays += other.delays

    @property
    def share(self) -> float:
        """The part of the posts whose message was first."""
        return self.first / self.posts if self.posts else 0.0


class PushPage:
    """`page` (of Playwright or of an engine) at the app behind the emulator at `port`, on one transport."""

    def __init__(self, page: Any, port: int, transport: str) -> None:
        self.page = page
        page.goto(f"http://localhost:{port}/?transport={transport}")
        page.wait_for_function("() => opened")

    def measure(self, way: str, posts: int, pauses: Sequence[int] = PAUSES) -> Count:
        """`posts` posts, one after the other, each once the last one's answer and message are there."""
        self.page.evaluate(f"() => {{ measure({json.dumps(way)}, {json.dumps(pauses)}, {posts}); }}")
        return Count(posts, *self._wait(posts))

    def watch(self, times: int, every: float) -> Count:
        """A handler sends `times` messages, `every` so many seconds; how many of them came before its answer."""
        seen = self.page.evaluate(f"() => watch({times}, {every})")
        delays = [arrival - seen["answered"] for arrival in seen["arrivals"]]
        assert delays == sorted(delays), "they came in another order"
        return Count(times, sum(delay < 0 for delay in delays), delays)

    def _wait(self, posts: int) -> tuple[int, list[float]]:
        give_up = time.monotonic() + SECONDS_A_POST * posts
        while (state := self.page.evaluate("() => state"))["done"] < posts:
            assert time.monotonic() < give_up, f"{state['done']} of {posts} posts and their messages came in time"
            time.sleep(0.1)
        return state["first"], state["delays"]
