"""Legacy apps behind the emulator, asked over HTTP."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest
import urllib3
from urllib3.exceptions import HTTPError

from tests.support.emulator import RunningEmulator
from tests.support.legacy import APPS, emulated
from tests.support.waiting import LONG_ENOUGH, eventually
from tests.support.wire import free_port


@pytest.fixture(scope="session")
def http() -> Iterator[urllib3.PoolManager]:
    """Follows no redirect and tries nothing twice."""
    pool = urllib3.PoolManager(retries=False, timeout=urllib3.Timeout(LONG_ENOUGH))
    yield pool
    pool.clear()


NOTES_DEADLINE = 2.0
"""Seconds: long enough for an instance's first request on a busy machine, and so short that tests can wait for it."""

CRON_JOB = "/slow/some?seconds=3"


@dataclass(frozen=True)
class NotesApp:
    """The folder of the webapp2 app, as a copy that has everything that an app may have; and the files in it."""

    folder: Path
    files: dict[Path, int]


def snapshot(folder: Path) -> dict[Path, int]:
    """Every file below it and when it was written."""
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


@pytest.fixture(scope="session")
def notes_app(tmp_path_factory: pytest.TempPathFactory) -> NotesApp:
    """The app that `notes` serves."""
    folder = tmp_path_factory.mktemp("notes") / "app"
    shutil.copytree(APPS / "webapp2_ndb", folder, ignore=shutil.ignore_patterns("*.pyc"))
    text = (folder / "app.yaml").read_text()
    (folder / "app.yaml").write_text(text.replace("  script: main.app\n", "  script: main.app\n  secure: always\n"))
    (folder / "worker.yaml").write_text(text.replace("\nversion: 1", "\nmodule: worker\nversion: 1", 1))
    (folder / "dispatch.yaml").write_text('dispatch:\n- url: "*/worker/*"\n  module: worker\n')
    (folder / "cron.yaml").write_text(f"cron:\n- description: slow\n  url: {CRON_JOB}\n  schedule: every 24 hours\n")
    return NotesApp(folder, snapshot(folder))


@pytest.fixture(scope="session")
def notes_admin_port() -> int:
    """Where the admin server of `notes` shall listen."""
    return free_port()


@pytest.fixture(scope="session")
def notes_server(notes_app: NotesApp, notes_admin_port: int) -> Iterator[RunningEmulator]:
    """See `notes`."""
    more = [str(notes_app.folder / name) for name in ("worker.yaml", "dispatch.yaml")]
    theirs = ["--", f"--admin_port={notes_admin_port}", "--env_var", "MOOD=fine", "--log_level=debug", *more]
    log = notes_app.folder.parent / "log"
    with pytest.MonkeyPatch.context() as patch:
        # With it nothing is compiled anyway.
        patch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
        with emulated(notes_app.folder, log, "--request-deadline", f"{NOTES_DEADLINE:g}", *theirs) as emulator:
            yield emulator


@pytest.fixture
def notes(notes_server: RunningEmulator) -> Iterator[RunningEmulator]:
    """The webapp2 app: one dev server for all tests that leave it as it was."""
    yield notes_server
    notes_server.reset()


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

    def wait_for(self, text: str) -> None:
        """Returns once a message with it has come; whatever else comes first is passed over."""
        eventually(self._poll, lambda messages: any(text in message for message in messages))

    def _poll(self) -> list[str]:
        poll = f"{self._url}/poll?socket={self._socket}&after={self._after}&wait=20"
        answer = self._http.request("GET", poll, headers=self.headers).json()
        self._after = answer["next"]
        messages: list[str] = answer["messages"]
        return messages
