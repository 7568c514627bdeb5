"""Pages in Chromium behind a real nginx, set up as examples/cluster/nginx.conf, with two nodes of which one goes."""

from __future__ import annotations

import itertools
import signal
import threading
from pathlib import Path

import pytest
import urllib3
from playwright.sync_api import BrowserContext

from tests.browser.tab import Tab
from tests.cluster.balancer import Balancer
from tests.cluster.service import BEHIND_PROXY, Cluster, ClusterNode
from tests.support.waiting import LONG_ENOUGH, eventually, until


class Sender:
    """Sends numbered messages at the balancer, one after another, as an app that tries again; a thread of its own."""

    def __init__(self, balancer: Balancer, client_ids: list[str]) -> None:
        self._url = f"http://{balancer.for_app}/_emu/messages"
        self._client_ids = client_ids
        self._http = urllib3.PoolManager(retries=False, timeout=LONG_ENOUGH)
        self._stopping = threading.Event()
        self.confirmed: list[str] = []
        self.doubtful: set[str] = set()
        """Not confirmed: it may have been sent, or not."""
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        number = 0
        while not self._stopping.wait(0.005):
            number += 1
            text = str(number)
            try:
                answer = self._http.request("POST", self._url, json={"client_ids": self._client_ids, "message": text})
            except urllib3.exceptions.HTTPError:
                self.doubtful.add(text)
                continue
            if answer.status == 200:
                self.confirmed.append(text)
            else:
                self.doubtful.add(text)

    def stop(self) -> None:
        """Return once the last one is confirmed."""
        self._stopping.set()
        self._thread.join(LONG_ENOUGH)


@pytest.fixture
def two(cluster: Cluster) -> tuple[ClusterNode, ClusterNode]:
    """Nodes behind a proxy."""
    first, second = (cluster.node(name, *BEHIND_PROXY, "--presence", "always") for name in ("first", "second"))
    return first, second


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["killed", "stopped"])
@pytest.mark.parametrize("upgrades", [True, False], ids=["stream", "poll"])
def test_pages_do_not_notice_that_a_node_goes(
    two: tuple[ClusterNode, ClusterNode],
    cluster: Cluster,
    context: BrowserContext,
    tmp_path: Path,
    upgrades: bool,
    number: signal.Signals,
) -> None:
    first, second = two
    client_ids = [f"page-{each}" for each in range(4)]
    (tmp_path / "nginx").mkdir()
    with Balancer((first.port, second.port), tmp_path / "nginx", upgrades) as balancer:
        tabs = [Tab(context.new_page()) for _ in client_ids]
        for tab, client_id in zip(tabs, client_ids, strict=True):
            tab.visit(balancer.url)
            tab.open(first.create_channel(client_id))
            tab.wait(1)
        way = "stream" if upgrades else "poll"

        def pages_by_node() -> list[int]:
            return [node["sockets"][way] for node in second.get_json("/_emu/cluster")["nodes"]]

        def settled() -> bool:
            # With a message the next poll begins, and beside it another stream.
            second.ask("/_emu/messages", {"client_ids": client_ids, "message": "before"})
            for tab in tabs:
                tab.page.evaluate("0")
            return sum(pages_by_node()) == len(client_ids)

        # A page moves with its next poll, and one with a stream when that breaks: all may be at one node by chance. Not
        # always the same is cut: a stream that breaks again and again is tried ever more seldom.
        for client_id in itertools.cycle(client_ids):
            until(settled)
            if all(pages_by_node()) and len(pages_by_node()) == 2:
                break
            second.request("POST", "/_emu/sockets", json={"action": "cut", "client_id": client_id})
        before = [len(tab.texts()) for tab in tabs]
        sender = Sender(balancer, client_ids)
        until(lambda: len(sender.confirmed) > 20)
        first.kill(number)
        so_far = len(sender.confirmed)
        until(lambda: len(sender.confirmed) > so_far + 100)
        sender.stop()
        for tab, sent_before in zip(tabs, before, strict=True):

            def complete(tab: Tab = tab) -> bool:
                return tab.texts()[-1:] == sender.confirmed[-1:]

            until(complete)
            texts = [text for text in tab.texts()[sent_before:] if text != "before"]
            assert [text for text in texts if text not in sender.doubtful] == sender.confirmed
            assert sorted(set(texts), key=int) == texts
            assert {handler for handler, _ in tab.calls()} == {"onopen", "onmessage"}
            assert tab.ready_state() == 1
            assert not tab.errors
        eventually(lambda: [node["name"] for node in second.get_json("/_emu/cluster")["nodes"]], ["second"].__eq__)
        # Nobody went, so the app was told of nobody who has.
        assert sorted(cluster.told_of(each) for each in client_ids) == [["connected"]] * len(client_ids)


def test_visitors_reach_the_app_and_nothing_else(nodes: list[ClusterNode], tmp_path: Path) -> None:
    with Balancer((nodes[0].port, nodes[1].port), tmp_path) as balancer:
        http = urllib3.PoolManager(retries=False, timeout=LONG_ENOUGH)
        assert http.request("GET", f"{balancer.url}/").status == 200
        for path in ("_emu/", "_emu/messages", "%5Femu/", "_emu", "rpc_http", "_ah/remote_api", "x/../_emu/settings"):
            assert (path, http.request("GET", f"{balancer.url}/{path}").status) == (path, 403)
