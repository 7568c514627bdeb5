"""Unmodified legacy apps in Chromium, behind the emulator and behind the plain SDK: the same test passes on both."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.tab import WAIT
from tests.support.legacy import APPS, PlainSdk, Server, emulated


@pytest.fixture(params=["emulator", "plain SDK"])
def door(request: pytest.FixtureRequest) -> str:
    """What stands in front of the app."""
    name: str = request.param
    return name


@pytest.fixture
def server(request: pytest.FixtureRequest, door: str, tmp_path: Path) -> Iterator[Server]:
    """The app that the test is parametrized with, at this door."""
    app = APPS / request.param
    made = emulated(app, tmp_path / "emulator.log") if door == "emulator" else PlainSdk(app, tmp_path)
    with made as running:
        yield running


@pytest.fixture
def pages(browser: Browser) -> Iterator[list[Page]]:
    """Two people at their own machines."""
    contexts = [browser.new_context() for _ in range(2)]
    for context in contexts:
        context.set_default_timeout(WAIT)
    yield [context.new_page() for context in contexts]
    for context in contexts:
        context.close()


def visit(pages: list[Page], url: str) -> None:
    for page in pages:
        page.goto(url)
        expect(page.locator("#state")).to_have_text("open", timeout=WAIT)


def say(page: Page, text: str) -> None:
    page.fill("#text", text)
    page.click("#form button")


def hears(page: Page, *texts: str) -> None:
    expect(page.locator("#lines li")).to_have_text(list(texts), timeout=WAIT)


every_app = pytest.mark.parametrize("server", ["python25_cgi", "django_board", "own_channel"], indirect=True)
with_ndb = pytest.mark.parametrize("server", ["webapp2_ndb"], indirect=True)


@every_app
def test_what_one_says_both_hear(server: Server, pages: list[Page]) -> None:
    visit(pages, server.url)
    say(pages[0], "hello")
    for page in pages:
        hears(page, "hello")
    say(pages[1], "<b>שלום</b>")
    for page in pages:
        hears(page, "hello", "<b>שלום</b>")


@with_ndb
@pytest.mark.parametrize("how", ["now", "later", "transaction", "message"])
def test_messages_from_handlers_tasks_and_transactions(server: Server, pages: list[Page], how: str) -> None:
    visit(pages, f"{server.url}/?{how}")
    say(pages[0], "hello")
    for page in pages:
        hears(page, "hello")


@with_ndb
def test_who_is_here(server: Server, pages: list[Page]) -> None:
    """Presence, behind `login: admin`, from the address that the real posts came from."""
    first, second = pages
    first.goto(f"{server.url}/?as=ann@example.com/1")
    expect(first.locator("#here")).to_have_text("ann@example.com/1 from 0.1.0.10", timeout=WAIT)
    second.goto(f"{server.url}/?as=bob@example.com/2")
    expect(first.locator("#here")).to_have_text("ann@example.com/1 bob@example.com/2 from 0.1.0.10", timeout=WAIT)
    second.goto("about:blank")
    expect(first.locator("#here")).to_have_text("ann@example.com/1 from 0.1.0.10", timeout=WAIT)


@with_ndb
def test_signing_in(server: Server, pages: list[Page]) -> None:
    page = pages[0]
    page.goto(f"{server.url}/private")
    page.fill("input[name=email]", "eve@example.com")
    page.click("#submit-login")
    expect(page.locator("body")).to_have_text("eve@example.com admin=False")
    assert page.url == f"{server.url}/private"
    assert "401" in page.goto(f"{server.url}/admin").status_text or page.locator("body").inner_text()
    page.goto(server.url)
    expect(page.locator("#who")).to_have_text("eve@example.com")
