"""The console as its user sees it: rows of the list, what is opened beside it, and the answers of dialogs."""

from __future__ import annotations

from playwright.sync_api import Locator, Page, expect

from appengine_channel_emu.testing import ChannelServer

VIEWS = {
    "Messages": "messages",
    "Clients": "clients",
    "Send": "send",
    "Clock": "clock",
    "Faults": "faults",
    "Requests": "requests",
    "Production": "production",
    "API": "api",
    "Help": "help",
}
"""The tabs and their addresses."""


def visit(page: Page, url: str, view: str = "messages") -> None:
    """Load the console at one of its views, and wait until it has said what it knows."""
    page.goto(f"{url}/_emu/#/{view}")
    expect(page.locator("#version")).not_to_be_empty()


def go(page: Page, view: str) -> None:
    """Another view of the console that is there."""
    page.evaluate("view => { location.hash = `#/${view}`; }", view)


def rows(page: Page) -> Locator:
    """Messages and events, newest first, but for what the reset between two tests leaves."""
    return page.locator("#rows > li").filter(has_not_text="The emulator was reset.")


def clients(page: Page) -> Locator:
    """One group of the table for each client id."""
    return page.locator(".clients tbody")


def detail(page: Page) -> Locator:
    """What is opened beside the list."""
    return page.locator(".detail:visible")


def result(scope: Locator | Page) -> Locator:
    """What came of the last action there."""
    return scope.locator("output.result:not(:empty)")


def answer(page: Page, button: str) -> None:
    """Answer the dialog that is open."""
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name=button, exact=True).click()
    expect(dialog).to_have_count(0)


def newest(server: ChannelServer) -> int:
    """The number of the latest message."""
    return server.broker.journal.last_number


def count_made(page: Page) -> None:
    """From now on, count the rows that are made and removed; `made` tells."""
    page.evaluate(
        """() => {
            window.madeRows = 0;
            new MutationObserver((changes) => {
                for (const change of changes) window.madeRows += change.addedNodes.length + change.removedNodes.length;
            }).observe(document.getElementById('rows'), {childList: true});
        }"""
    )


def made(page: Page) -> int:
    """How many rows were made or removed since `count_made`."""
    number: int = page.evaluate("window.madeRows")
    return number
