"""Polls on another name of the emulator, if `open` gives one (design.md, "Many tabs").

The answer to `open` is given an alias on its way to the page.
"""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest

PAGE = '<!DOCTYPE html><meta http-equiv="Content-Security-Policy" content="{policy}"><body></body>'


@pytest.fixture
def polls(tab, emulator):
    """The hosts that polls go to; `open` answers with the alias c7.localhost."""
    hosts = []

    def add_alias(route):
        answer = route.fetch()
        route.fulfill(response=answer, json={**answer.json(), "alias": f"c7.localhost:{emulator.port}"})

    tab.page.route("**/_ah/channel/open?*", add_alias)
    tab.page.on(
        "request", lambda request: hosts.append(urlsplit(request.url).hostname) if "/poll?" in request.url else None
    )
    return hosts


def open_and_receive(tab, emulator):
    tab.open(emulator.create_channel("anna"))
    for number in range(3):
        tab.wait(1 + number)
        emulator.send("anna", str(number))
    tab.wait(4)
    assert tab.texts() == ["0", "1", "2"]


def test_polls_go_to_the_alias(tab, emulator, polls):
    tab.visit(emulator.url)
    open_and_receive(tab, emulator)
    assert set(polls) == {"c7.localhost"}


def test_a_page_that_may_not_use_it_stays_on_its_own_origin(tab, emulator, polls):
    page = PAGE.format(policy="connect-src 'self'")
    tab.page.route("**/strict", lambda route: route.fulfill(body=page, content_type="text/html"))
    tab.visit(f"{emulator.url}/strict")
    open_and_receive(tab, emulator)
    assert polls[-1] == urlsplit(emulator.url).hostname
