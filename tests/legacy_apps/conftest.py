"""Legacy apps behind the emulator, asked over HTTP."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import ClassVar

import pytest
import urllib3
from urllib3.exceptions import HTTPError

from tests.support.emulator import RunningEmulator
from tests.support.legacy import APPS, emulated


@pytest.fixture(scope="session")
def http() -> Iterator[urllib3.PoolManager]:
    """Follows no redirect and tries nothing twice."""
    pool = urllib3.PoolManager(retries=False, timeout=urllib3.Timeout(60))
    yield pool
    pool.clear()


@pytest.fixture(scope="module")
def notes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningEmulator]:
    """The webapp2 app, with a deadline that tests can wait for."""
    log = tmp_path_factory.mktemp("notes") / "log"
    with emulated(APPS / "webapp2_ndb", log, "--request-deadline", "1") as emulator:
        yield emulator


def page_at(http: urllib3.PoolManager, url: str) -> str:
    """Of a server that may not listen yet."""
    try:
        return http.request("GET", url).data.decode()
    except HTTPError:
        return ""


class Watcher:
    """Hears what an app's handler says of itself, on a channel of its own."""

    client_id = "watcher"
    headers: ClassVar[dict[str, str]] = {"User-Agent": "watcher"}
    """It is not the browser that the handler works for, whose messages wait for its answer."""

    def __init__(self, emulator: RunningEmulator, http: urllib3.PoolManager) -> None:
        self._http = http
        self._url = f"{emulator.url}/_ah/channel"
        token = emulator.create_channel(self.client_id)
        self._socket = http.request("GET", f"{self._url}/open?channel={token}", headers=self.headers).json()["socket"]
        self._after = 0

    def wait_for(self, message: str) -> None:
        """Returns once it has come; whatever else comes first is passed over."""
        messages: list[str] = []
        while message not in messages:
            poll = f"{self._url}/poll?socket={self._socket}&after={self._after}&wait=20"
            answer = self._http.request("GET", poll, headers=self.headers).json()
            messages, self._after = answer["messages"], answer["next"]
            assert messages, f"nobody said {message!r}"


@pytest.fixture
def mark() -> str:
    """The value of `MARK` in the environment of all that the test starts."""
    return secrets.token_hex(8)
