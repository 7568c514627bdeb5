"""The console of one node: the list of nodes, and beside each socket the node that serves it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.console_page import clients, visit
from tests.cluster.service import Cluster
from tests.support import parts
from tests.support.browsers import WAIT
from tests.support.waiting import LONG_ENOUGH

PICTURE = parts.ROOT / "docs" / "images" / "console-cluster.png"


@pytest.mark.slow
def test_nodes_and_the_node_of_each_socket(cluster: Cluster, browser: Browser, tmp_path: Path) -> None:
    first, second = (cluster.node(name) for name in ("a", "b"))
    context = browser.new_context(viewport={"width": 1200, "height": 520}, color_scheme="light")
    context.set_default_timeout(WAIT)
    console = context.new_page()
    errors: list[str] = []
    console.on("pageerror", lambda error: errors.append(str(error)))
    anna, bert = first.create_channel("anna"), first.create_channel("bert")
    with (
        first.page(anna, "stream"),
        second.page(anna) as at_the_other,
        second.page(bert, "stream"),
        first.page(first.create_channel("carla"), "stream"),
    ):
        second.send("anna", "It is your turn")
        assert at_the_other.receive(LONG_ENOUGH) == "It is your turn"
        visit(console, first.url, "clients")
        nodes = console.get_by_role("list", name="Emulators of this service").get_by_role("listitem")
        expect(nodes).to_have_count(2)
        expect(nodes.nth(0)).to_contain_text("a2 WebSockets, this one")
        expect(nodes.nth(1)).to_contain_text("b1 WebSocket, 1 poll")
        expect(console.locator(".nodes")).to_contain_text("2 nodes on Redis 7")
        sockets = clients(console).filter(has_text="anna").locator(".tag.node")
        expect(sockets).to_have_count(2)
        assert sorted(sockets.all_text_contents()) == ["a", "b"]
        if "PICTURES" in os.environ:
            console.screenshot(path=str(PICTURE))
        second.stop()
        expect(nodes).to_have_count(1)
    context.close()
    assert errors == []
