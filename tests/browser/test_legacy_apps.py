"""Unmodified legacy apps in Chromium, behind the emulator and behind the plain SDK: the same test passes on both."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.browsers import WAIT
from tests.support.legacy import APPS, FORGETFUL, PlainSdk, Server, emulated

QUICK = ("own_channel", "emulator")
"""What every run tries in a browser; tests/legacy_apps has the others without one."""


@pytest.fixture(scope="module")
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """What the test is parametrized with: an app, and what it is behind."""
    name, behind = request.param
    folder = tmp_path_factory.mktemp(name)
    app = APPS / name
    with emulated(app, folder / "log") if behind == "emulator" else PlainSdk(app, folder) as running:
        yield running


def behind_both(*names: str, marks: Iterable[pytest.MarkDecorator] = (FORGETFUL,)) -> pytest.MarkDecorator:
    """The test, for these apps behind each of the two; `marks` are for the plain SDK. One app alone is not slow."""
    cases = [
        pytest.param(
            (name, behind),
            id=f"{name}, {behind}",
            marks=() if (name, behind) == QUICK else (pytest.mark.slow, *(marks if behind == "plain SDK" else ())),
        )
        for name in names
        for behind in ("emulator", "plain SDK")
    ]
    return pytest.mark.parametrize("server", cases, indirect=True)


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
        expect(page.locator("#state")).to_have_text("open")


def say(page: Page, text: str) -> None:
    page.fill("#text", text)
    page.click("#form button")


def hears(page: Page, text: str) -> None:
    """Once: twice would be one too many."""
    expect(page.locator("#lines li").filter(has_text=text)).to_have_text([text])


@behind_both("python25_cgi", "django_board", "own_channel")
def test_what_one_says_both_hear(server: Server, pages: list[Page]) -> None:
    visit(pages, server.url)
    say(pages[0], "hello")
    for page in pages:
        hears(page, "hello")
    say(pages[1], "<b>שלום</b>")
    for page in pages:
        hears(page, "<b>שלום</b>")
    expect(pages[0].locator("#lines li")).to_have_text(["hello", "<b>שלום</b>"])


@behind_both("webapp2_ndb")
def test_messages_from_handlers_tasks_and_transactions(server: Server, pages: list[Page]) -> None:
    for how in ("now", "later", "transaction", "message"):
        visit(pages, f"{server.url}/?{how}")
        say(pages[0], f"sent {how}")
        for page in pages:
            if how == "transaction":
                # The datastore runs it again where presence has written meanwhile, and what it sends is no part of it.
                expect(page.locator("#lines li").filter(has_text=f"sent {how}").first).to_be_visible()
            else:
                hears(page, f"sent {how}")


@behind_both("webapp2_ndb")
def test_who_is_here(server: Server, pages: list[Page]) -> None:
    """Presence, behind `login: admin`, from the address that the real posts came from."""
    first, second = pages
    here = first.locator("#here")
    first.goto(f"{server.url}/?as=ann@example.com/1")
    expect(here).to_contain_text("ann@example.com/1")
    second.goto(f"{server.url}/?as=bob@example.com/2")
    expect(here).to_contain_text("ann@example.com/1 bob@example.com/2")
    expect(here).to_contain_text("from 0.1.0.10")
    second.goto("about:blank")
    expect(here).not_to_contain_text("bob")
    expect(here).to_contain_text("ann@example.com/1")


@behind_both("webapp2_ndb", marks=())
def test_signing_in(server: Server, pages: list[Page]) -> None:
    page = pages[0]
    page.goto(f"{server.url}/private")
    page.fill("input[name=email]", "eve@example.com")
    page.click("#submit-login")
    expect(page.locator("body")).to_have_text("eve@example.com admin=False")
    assert page.url == f"{server.url}/private"
    page.goto(f"{server.url}/admin")
    expect(page.locator("body")).to_contain_text("not authorized")
    page.goto(server.url)
    expect(page.locator("#who")).to_have_text("eve@example.com")
