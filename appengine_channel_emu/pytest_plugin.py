"""Fixtures for tests of apps that use channels (docs/testing.md).

pytest loads this module in every run of its environment, so it imports nothing of weight before a fixture is used.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

    from appengine_channel_emu.broker.clock import Clock
    from appengine_channel_emu.testing import ChannelClient, ChannelServer, Emulator


def pytest_configure(config: pytest.Config) -> None:
    """Let the tests and their apps import `google.appengine.api.channel`, until the run is over."""
    from appengine_channel_emu.environment import importable

    during_the_run = contextlib.ExitStack()
    during_the_run.enter_context(importable())
    config.add_cleanup(during_the_run.close)


@pytest.fixture
def channel_app() -> WSGIApplication | None:
    """The WSGI app behind `channel_emulator`; override it. `google.appengine.api.channel` is importable in it."""
    return None


@pytest.fixture(scope="session")
def channel_server_app() -> WSGIApplication | None:
    """The WSGI app behind `channel_server`; override it."""
    return None


@pytest.fixture
def channel_emulator(request: pytest.FixtureRequest) -> Iterator[Emulator]:
    """A fresh emulator around `channel_app`, in this process, with a clock that only the test moves.

    When the test ends, the pages that are still open are closed and the app hears of it. What a presence handler of the
    app has raised is an error of the test, unless it clears `channel_emulator.presence_errors`.
    """
    from appengine_channel_emu.testing import Emulator, PresenceHandlerError
    from appengine_channel_emu.testing.shown import hide_where

    __tracebackhide__ = hide_where(PresenceHandlerError)
    with Emulator(request.getfixturevalue("channel_app")) as emulator:
        yield emulator


@pytest.fixture
def channel_clock(channel_emulator: Emulator) -> Clock:
    """The clock of `channel_emulator`: `now()` and `advance(seconds)`."""
    return channel_emulator.clock


@pytest.fixture
def channel_client(channel_emulator: Emulator) -> Iterator[Callable[..., ChannelClient]]:
    """`channel_client("anna")` or `channel_client(token=…)`: an open client, closed when the test ends."""

    def make(client_id: str | None = None, *, token: str | None = None) -> ChannelClient:
        return channel_emulator.client(client_id, token=token).open()

    yield make
    # Here too: a test may have an emulator that outlives it.
    channel_emulator.close_pages()


@pytest.fixture(scope="session")
def _channel_server(request: pytest.FixtureRequest) -> Iterator[ChannelServer]:
    from appengine_channel_emu.testing import ChannelServer

    with ChannelServer(request.getfixturevalue("channel_server_app")) as server:
        yield server


@pytest.fixture
def channel_server(_channel_server: ChannelServer) -> Iterator[ChannelServer]:
    """A real server on a free port, for browsers; one for the session, reset after each test.

    First the pages that are still open are closed, and the app hears of it; what its presence handlers have raised is
    an error of the test.
    """
    from appengine_channel_emu.testing import PresenceHandlerError
    from appengine_channel_emu.testing.shown import hide_where

    __tracebackhide__ = hide_where(PresenceHandlerError)
    with _channel_server.using():
        yield _channel_server
        _channel_server.close_pages()
    _channel_server.reset()
    _channel_server.presence_errors.raise_first()
