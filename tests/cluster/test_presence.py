"""Five hundred pages move between nodes while each is restarted: nobody has come or gone but once."""

from __future__ import annotations

import asyncio
import json
import signal
from urllib.parse import urlencode

import pytest

from tests.cluster.service import BEHIND_PROXY, Cluster, ClusterNode, in_parallel
from tests.support.waiting import until

PAGES = 500


class WanderingPage:
    """A page behind a balancer: it asks the other node where one does not answer. It polls until `leave`."""

    def __init__(self, nodes: list[ClusterNode], number: int) -> None:
        self.client_id = f"page-{number}"
        self._nodes = nodes
        self._at = number
        self.received: list[str] = []
        self._leaving = False

    async def live(self, token: str) -> None:
        """Open, and poll; close in the end."""
        opened = await self._ask("GET", "/_ah/channel/open", {"channel": token, "attempt": "one"})
        socket, after = opened["socket"], opened["next"]
        while not self._leaving:
            query = {"socket": socket, "after": str(after), "wait": "25"}
            found = await self._ask("GET", "/_ah/channel/poll", query)
            self.received += found["messages"]
            after = found["next"]
            self._leaving = "leave" in found["messages"]
        await self._ask("POST", "/_ah/channel/close", {"socket": socket})

    async def _ask(self, method: str, path: str, query: dict[str, str]) -> dict[str, object]:
        while True:
            node = self._nodes[self._at % len(self._nodes)]
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", node.port)
                head = f"{method} {path}?{urlencode(query)} HTTP/1.1\r\nHost: localhost\r\n"
                length = "Content-Length: 0\r\n" if method == "POST" else ""
                writer.write(f"{head}{length}Connection: close\r\n\r\n".encode())
                answer = await reader.read()
                writer.close()
            except OSError:
                answer = b""
            head_of_answer, _, body = answer.partition(b"\r\n\r\n")
            status = int(head_of_answer.split()[1]) if answer else 0
            assert status in (0, 200, 503), answer
            if status == 200:
                return json.loads(body) if body.startswith(b"{") else {}
            self._at += 1
            await asyncio.sleep(0.05)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["stopped", "killed"])
def test_each_page_comes_once_and_goes_once(cluster: Cluster, number: signal.Signals) -> None:
    nodes = [cluster.node(name, *BEHIND_PROXY, "--quiet") for name in ("first", "second")]
    pages = [WanderingPage(nodes, each) for each in range(PAGES)]
    client_ids = [page.client_id for page in pages]
    tokens = [nodes[0].create_channel(each) for each in client_ids]

    async def live() -> None:
        await asyncio.gather(*(page.live(token) for page, token in zip(pages, tokens, strict=True)))

    def restart() -> None:
        until(lambda: len(cluster.told()) >= PAGES)
        for turn, node in enumerate((*nodes, *nodes)):
            node.kill(number)
            node.start()
            sent = nodes[turn % 2].ask("/_emu/messages", {"client_ids": client_ids, "message": str(turn)})
            assert sent["delivered_to"] == PAGES
            until(lambda turn=turn: all(str(turn) in page.received for page in pages))
        assert sorted(cluster.told_of(each) for each in client_ids[:3]) == [["connected"]] * 3
        assert len(cluster.told()) == PAGES
        nodes[0].ask("/_emu/messages", {"client_ids": client_ids, "message": "leave"})

    in_parallel([lambda: asyncio.run(live()), restart], seconds=400)
    assert all(page.received == ["0", "1", "2", "3", "leave"] for page in pages)
    until(lambda: len(cluster.told()) >= 2 * PAGES)
    told = cluster.told()
    assert len(told) == 2 * PAGES
    assert sorted(whom for what, whom, _ in told if what == "connected") == sorted(client_ids)
    assert sorted(whom for what, whom, _ in told if what == "disconnected") == sorted(client_ids)
