"""Redis is gone, and comes back: pages in Chromium do not notice, and what needs no Redis goes on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext

from tests.broker.redis.servers import RedisServer
from tests.browser.tab import Tab
from tests.cluster.service import Cluster
from tests.support.waiting import eventually

Start = Callable[..., RedisServer]


@pytest.mark.slow
def test_pages_wait_for_it(own_redis: Start, context: BrowserContext, tmp_path: Path) -> None:
    redis = own_redis("--appendonly", "yes", "--appendfsync", "always")
    with Cluster(redis, tmp_path) as cluster:
        first, second = (cluster.node(name) for name in ("first", "second"))
        tabs = {"stream": Tab(context.new_page()), "poll": Tab(context.new_page()), "late": Tab(context.new_page())}
        tokens = {name: first.create_channel(name) for name in tabs}
        for name, tab in tabs.items():
            script = "/_ah/channel/jsapi" + ("?transport=xhr" if name == "poll" else "")
            tab.visit((second if name == "poll" else first).url, script)
        for name in ("stream", "poll"):
            tabs[name].open(tokens[name])
            tabs[name].wait(1)
        redis.kill()
        why = eventually(lambda: first.get_json("/_emu/health"), lambda found: found["status"] == "degraded")["reason"]
        assert why
        tabs["late"].open(tokens["late"])
        for path in ("/", "/_ah/channel/jsapi", "/_emu/settings", "/_emu/events"):
            assert second.request("GET", path).status == 200
        signed_in = second.request(
            "POST", "/_ah/login", fields={"email": "anna@example.com"}, encode_multipart=False, redirect=False
        )
        cookie = {"Cookie": signed_in.headers["Set-Cookie"].partition(";")[0]}
        assert first.request("GET", "/account", headers=cookie).data == b"anna@example.com"
        refused = first.request("POST", "/_emu/messages", json={"client_id": "poll", "message": "lost"})
        assert (refused.status, int(refused.headers["Retry-After"]) > 0) == (503, True)
        assert b"Redis is away" in refused.data
        assert first.request("GET", "/_emu/cluster").status == 503
        redis.start()
        tabs["late"].wait(1)
        for node in (first, second):
            eventually(lambda node=node: node.get_json("/_emu/health")["status"], "ready".__eq__)
        sent = second.ask("/_emu/messages", {"client_ids": list(tabs), "message": "there again"})
        assert sent["delivered_to"] == len(tabs)
        for tab in tabs.values():
            tab.wait(2)
            assert [handler for handler, _ in tab.calls()] == ["onopen", "onmessage"]
            assert tab.texts() == ["there again"]
            assert not tab.errors


@pytest.mark.slow
def test_one_that_comes_back_empty_ends_all_sockets(own_redis: Start, context: BrowserContext, tmp_path: Path) -> None:
    redis = own_redis()
    with Cluster(redis, tmp_path) as cluster:
        node = cluster.node("first")
        tab = Tab(context.new_page())
        tab.visit(node.url)
        tab.open(node.create_channel("anna"))
        tab.wait(1)
        redis.kill()
        redis.start()
        assert [handler for handler, _ in tab.wait_for(3)] == ["onopen", "onerror", "onclose"]
        tab.open(node.create_channel("anna"), "next")
        tab.wait(1, "next")
        assert node.send("anna", "hello") == 1
        tab.wait(2, "next")
        assert tab.texts("next") == ["hello"]


@pytest.mark.slow
def test_one_that_is_full_refuses_what_is_sent(own_redis: Start, tmp_path: Path) -> None:
    redis = own_redis("--maxmemory", "5mb", "--maxmemory-policy", "noeviction")
    with Cluster(redis, tmp_path) as cluster:
        node = cluster.node("first", app=None)
        with node.page(node.create_channel("anna")) as page:
            # Unread by this one, which asks for nothing.
            node.request("GET", "/_ah/channel/open", fields={"channel": node.create_channel("bert")})

            def send() -> int:
                text = {"client_id": "bert", "message": "x" * 30_000}
                return node.request("POST", "/_emu/messages", json=text).status

            eventually(send, lambda status: status != 200)
            assert send() == 503
            assert not page.closed
            node.request("POST", "/_emu/sockets", json={"action": "close", "client_id": "bert"})
            eventually(
                lambda: node.request("POST", "/_emu/messages", json={"client_id": "anna", "message": "hello"}).status,
                (200).__eq__,
            )
            assert page.receive(60) == "hello"
