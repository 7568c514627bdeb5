"""Legacy apps, each behind the emulator and behind the plain SDK, so that a test can say that both do the same."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Protocol

import pytest
import yaml

from appengine_channel_emu.host.app_yaml import read_app_yaml
from appengine_channel_emu.host.origins.dev_server_process import free_ports
from appengine_channel_emu.host.sdk import Overlay
from tests.support import parts
from tests.support.emulator import RunningEmulator
from tests.support.waiting import LONG_ENOUGH, until
from tests.support.wire import takes_connections

APPS = parts.ROOT / "tests" / "legacy_apps" / "apps"

FORGETFUL = pytest.mark.unsteady("the SDK's dev server drops messages for pages that have not polled for 2 seconds")
"""For a test of pages behind the plain SDK: on a busy machine an open page may not get to polling in time."""


class Server(Protocol):
    """Something that serves an app at `url`; what it writes goes to the file `log`."""

    url: str
    log: Path

    @property
    def pid(self) -> int | None:
        """The process id of the server itself."""


def emulated(app: Path, log: Path, *arguments: str, environ: Mapping[str, str] | None = None) -> RunningEmulator:
    """The app behind the emulator, not yet started; `arguments` are those of `channel-emu serve`."""
    options = ["--sdk", str(parts.need(parts.sdk)), "--python", str(parts.need(parts.python27))]
    ours, mark, theirs = list(arguments), [], []
    if "--" in ours:
        at = ours.index("--")
        ours, mark, theirs = ours[:at], ["--"], ours[at + 1 :]
    return RunningEmulator(str(app), *options, *ours, log=log, extra=[*mark, *theirs], environ=environ)


class PlainSdk:
    """The app behind dev_appserver.py alone, with nothing of ours. A Python 2.5 app gets the same app.yaml."""

    def __init__(self, app: Path, folder: Path, *arguments: str) -> None:
        self._app = app
        self._folder = folder
        self._arguments = arguments
        self._process: subprocess.Popen[bytes] | None = None
        self.log = folder / "plain.log"
        self.url = ""

    def __enter__(self) -> PlainSdk:
        port, admin_port, _ = free_ports()
        self.url = f"http://localhost:{port}"
        (self._folder / "storage").mkdir()
        command = [
            str(parts.need(parts.python27)),
            str(parts.need(parts.sdk) / "dev_appserver.py"),
            "--skip_sdk_update_check=yes",
            "--require_indexes=no",
            f"--port={port}",
            f"--admin_port={admin_port}",
            f"--storage_path={self._folder / 'storage'}",
            *self._arguments,
            str(self._copy() / "app.yaml"),
        ]
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        until(lambda: takes_connections(port, "localhost") or self._process.poll() is not None)
        assert self._process.poll() is None, f"dev_appserver.py has ended:\n{self.log.read_text()}"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(LONG_ENOUGH)
            finally:
                self._process.kill()

    @property
    def pid(self) -> int | None:
        """Its process id, while it runs."""
        return self._process.pid if self._process else None

    def _copy(self) -> Path:
        """The dev server writes into the app's folder, so it gets links to it."""
        made = self._folder / "app"
        made.mkdir()
        for entry in self._app.iterdir():
            (made / entry.name).symlink_to(entry)
        app = read_app_yaml(self._app / "app.yaml", sdk=True)
        if app.runtime == "python":
            (made / "app.yaml").unlink()
            Overlay(app)(made)
        assert yaml.safe_load((made / "app.yaml").read_text())
        return made
