"""Legacy apps behind the emulator, asked over HTTP."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest
import urllib3

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


@pytest.fixture
def mark() -> str:
    """The value of `MARK` in the environment of all that the test starts."""
    return secrets.token_hex(8)
