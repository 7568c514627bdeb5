"""The emulator as a process and in this one, and tabs. All but tabs are shared, and reset between tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from appengine_channel_emu.server.service import Service
from appengine_channel_emu.testing import ChannelServer
from tests.browser.console_page import visit
from tests.browser.page_app import app
from tests.browser.page_emulator import PageEmulator
from tests.browser.tab import Tab
from tests.support.browsers import WAIT
from tests.support.service import running_service

Serve = Callable[..., PageEmulator]


@pytest.fixture
def tab(context: BrowserContext) -> Tab:
    """An empty tab."""
    return Tab(context.new_page())


@pytest.fixture
def tls_tab(browser: Browser) -> Iterator[Tab]:
    """An empty tab that takes any certificate, such as that of a proxy of a test."""
    context = browser.new_context(ignore_https_errors=True)
    context.set_default_timeout(WAIT)
    yield Tab(context.new_page())
    context.close()


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Starts an emulator for this test alone, with arguments or a state folder of its own: one that it may restart."""
    running: list[PageEmulator] = []

    def start(*arguments: str, state_dir: Path | str = "none") -> PageEmulator:
        emulator = PageEmulator(*arguments, log=tmp_path / f"emulator-{len(running)}.log", state_dir=state_dir)
        running.append(emulator)
        emulator.start()
        return emulator

    yield start
    for emulator in running:
        emulator.stop()


@pytest.fixture(scope="session")
def session_emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageEmulator]:
    """One emulator with the default settings, but that it tells the app soon of a page that has gone."""
    log = tmp_path_factory.mktemp("emulator") / "log"
    with PageEmulator("--disconnect-after", "0.3", log=log) as emulator:
        yield emulator


@pytest.fixture
def emulator(session_emulator: PageEmulator) -> PageEmulator:
    """The same one for all tests, with nothing left of those before."""
    session_emulator.forget()
    return session_emulator


@pytest.fixture(scope="session")
def other_origin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of another emulator, for pages that are not of the first one's origin."""
    with PageEmulator(log=tmp_path_factory.mktemp("other") / "log") as emulator:
        yield emulator.url


@pytest.fixture(scope="module")
def module_server() -> Iterator[ChannelServer]:
    """The emulator in this process, in front of the app of page_app.py."""
    with ChannelServer(app) as server:
        yield server


@pytest.fixture
def server(module_server: ChannelServer) -> Iterator[ChannelServer]:
    """The same one for all tests of a module, which leave it as it was."""
    yield module_server
    module_server.reset()


@pytest.fixture
def console(server: ChannelServer, context: BrowserContext) -> Iterator[Page]:
    """The console of `server`, which may have no error, and break no rule of its own policy."""
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if "Content Security" in message.text else None)
    visit(page, server.url)
    yield page
    assert errors == []


@pytest.fixture
def service() -> Iterator[Service]:
    """The server in this process, without an app: a test can move its clock."""
    with running_service() as service:
        yield service
