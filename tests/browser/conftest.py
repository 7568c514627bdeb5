"""Chromium, the emulator as a process, and tabs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, sync_playwright

from appengine_channel_emu.server.service import Service
from appengine_channel_emu.testing import ChannelServer
from tests.browser.page_app import app
from tests.browser.puppet import Puppet
from tests.browser.tab import WAIT, Tab
from tests.support import parts
from tests.support.emulator import RunningEmulator
from tests.support.service import running_service

FLAGS = [
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

Serve = Callable[..., RunningEmulator]


def chromium_path() -> str:
    """Chromium; `$CHROMIUM` names another."""
    return os.environ.get("CHROMIUM") or str(parts.need(parts.chromium))


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium; `$CHROMIUM` names another. Without one the test is skipped, or fails on CI."""
    chromium = chromium_path()
    flags = [*FLAGS, "--no-sandbox"] if os.geteuid() == 0 else FLAGS
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=flags)
        yield browser
        browser.close()


def launch_puppet(name: str) -> Puppet:
    """`chrome` or `firefox`, whose hidden tabs are hidden."""
    if name == "firefox":
        return Puppet(name, parts.need(parts.firefox), [])
    return Puppet(name, Path(chromium_path()), [*FLAGS, "--no-sandbox"] if os.geteuid() == 0 else FLAGS)


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A fresh profile."""
    context = browser.new_context()
    context.set_default_timeout(WAIT)
    yield context
    context.close()


@pytest.fixture
def tab(context: BrowserContext) -> Tab:
    """An empty tab."""
    return Tab(context.new_page())


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Starts `channel-emu serve` in front of the app of page_app.py, with more arguments if wanted."""
    running: list[RunningEmulator] = []

    def start(*arguments: str, state_dir: Path | str = "none") -> RunningEmulator:
        folder = str(Path(__file__).parent)
        log = tmp_path / f"emulator-{len(running)}.log"
        emulator = RunningEmulator("--app-dir", folder, *arguments, "page_app:app", log=log, state_dir=state_dir)
        running.append(emulator)
        emulator.start()
        return emulator

    yield start
    for emulator in running:
        emulator.stop()


@pytest.fixture
def emulator(serve: Serve) -> RunningEmulator:
    """One emulator with the default settings, but that it tells the app soon of a page that has gone."""
    return serve("--disconnect-after", "0.3")


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
def service() -> Iterator[Service]:
    """The server in this process, without an app: a test can move its clock."""
    with running_service() as service:
        yield service
