"""A pytest plugin: Chromium for tests of whatever folder, one in each run, since Playwright is driven once a process.

Only a test that wants it imports Playwright, which takes a while.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.support import parts
from tests.support.waiting import LONG_ENOUGH

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Playwright

WAIT = 1000 * LONG_ENOUGH
"""The same in milliseconds, as browsers count it."""


@pytest.fixture(scope="session")
def playwright() -> Iterator[Playwright]:
    """What drives the browsers of all tests, with time for a busy machine."""
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=WAIT)
    with sync_playwright() as playwright:
        yield playwright


@pytest.fixture(scope="session")
def browser(playwright: Playwright) -> Iterator[Browser]:
    """Chromium's headless shell. Without any Chromium the test is skipped, or fails on CI."""
    from tests.browser.engines import FLAGS

    browser = playwright.chromium.launch(executable_path=parts.need(parts.headless_shell), args=FLAGS)
    yield browser
    browser.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A fresh profile."""
    context = browser.new_context()
    context.set_default_timeout(WAIT)
    yield context
    context.close()
