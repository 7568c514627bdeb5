"""An instance: one process in which a Python 3 WSGI app runs."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import waitress

from appengine_channel_emu.environment import child_environ, python_path
from appengine_channel_emu.host.errors import MAX_ANSWER_BYTES, BackendUnavailable
from appengine_channel_emu.host.exchange import ConnectionPool, unix_socket
from appengine_channel_emu.host.pipe_lines import PipeLines
from appengine_channel_emu.host.process import SupervisedProcess
from appengine_channel_emu.host.source_watch import AppFiles, SourceWatch

RUNNER = Path(__file__).parents[1] / "runner" / "__main__.py"

PRESENCE_THREADS = 32
"""So that a presence handler that hangs takes no thread from the visitors (see `PARALLEL_POSTS`)."""

START_SECONDS = 60.0
"""How long an app's import may take (behaviour.md 6, rule 1)."""


@dataclass(frozen=True, slots=True)
class AppSpec:
    """Which app, and how it is run.

    target:       what names the application (see `runner.loading.parse_target`).
    folder:       on the app's sys.path, and its current folder.
    address:      `host:port` at which the app reaches the emulator.
    python:       the interpreter.
    threads:      how many requests an instance runs at a time, where `threadsafe`.
    threadsafe:   False: one request at a time, on the instance's main thread, in up to `instances` instances.
    environ:      added to the environment of the process, and to the environ of each request.
    timeout_page: body and MIME type of the answer to a request that overran its deadline; None: a page of ours.
    current:      another current folder.
    paths:        folders that come before `folder` on sys.path.
    skips:        whether a file, named from `folder` with slashes, is no part of the app: its changes are not followed.
    """

    target: str
    folder: Path
    address: str
    python: str = sys.executable
    threads: int = 16
    threadsafe: bool = True
    instances: int = 4
    environ: Mapping[str, str] = field(default_factory=dict)
    timeout_page: tuple[bytes, str] | None = None
    current: Path | None = None
    paths: tuple[Path, ...] = ()
    skips: Callable[[str], bool] = lambda file: False

    def files(self) -> AppFiles:
        """What this app's instances have in common."""
        # By its real name too: a process that has moved into a folder is told that one.
        folders = {os.path.join(name, "") for name in (os.path.abspath(self.folder), os.path.realpath(self.folder))}

        def ignored(path: str) -> bool:
            return any(
                path.startswith(folder) and self.skips(path[len(folder) :].replace(os.sep, "/")) for folder in folders
            )

        return AppFiles(ignored)


@dataclass(frozen=True, slots=True)
class ImportFailure:
    """Why the app could not be imported: `reason` is "module", "attribute", "raised" or "died"."""

    reason: str
    text: str


class Instance:
    """The process, from its start on. `failure` is set when the app could not be imported."""

    def __init__(self, spec: AppSpec, deadline: float | None, files: AppFiles) -> None:
        self._spec = spec
        self._files = files
        self._deadline = deadline
        self._socket_folder = tempfile.mkdtemp(prefix="channel-emu-", dir=_folder_for_sockets())
        socket = os.path.join(self._socket_folder, "app")
        # A dead connection means a dead process, perhaps killed by this very request: it is not to kill the next one.
        self.connections = ConnectionPool(lambda: unix_socket(socket), "The app", to_instance=True)
        self.active = 0
        """Requests that it has, counted by whoever sends them."""
        self.failure: ImportFailure | None = None
        self.started_at = time.monotonic()
        self.ended_at: float | None = None
        self._settled = threading.Event()
        self.sources = SourceWatch(self._files)
        """The source files and texts of the app's that it has read."""
        self._overrun_cpu: dict[int, float | None] = {}
        try:
            self._process = self._start(socket)
        except OSError:
            os.rmdir(self._socket_folder)
            raise

    def wait_until_settled(self) -> None:
        """Return once the app serves or has failed to. Raises `BackendUnavailable` while it still does neither."""
        if not self._settled.wait(START_SECONDS):
            raise BackendUnavailable(
                f"The app is still being imported, and its import may take {START_SECONDS:g} seconds. If it waits for "
                "something, fix that: a change to its source starts it again."
            )

    def cpu_of_overrun(self, number: int) -> float | None:
        """The CPU seconds that request `number` had used at its deadline, if known; asked once."""
        return self._overrun_cpu.pop(number, None)

    def stop(self) -> None:
        """End the process and all it started."""
        self._process.stop()
        self.connections.close()

    def _start(self, socket: str) -> SupervisedProcess:
        spec = self._spec
        environ = child_environ(_environment(spec))
        with contextlib.ExitStack() as ours, contextlib.ExitStack() as theirs:
            reading, report = _pipe(ours, theirs)
            # Through a pipe: a command line can be read by every user of this machine, and the app's secrets are here.
            settings, writing = _pipe(theirs, ours)
            process = SupervisedProcess(
                [spec.python, str(RUNNER), str(settings)],
                folder=str(spec.current or spec.folder),
                environ=environ,
                inherited=[settings, report],
                remove=self._socket_folder,
            )
            ours.pop_all()
        runner_info = {
            "target": spec.target,
            "folder": str(spec.folder),
            "paths": [str(path) for path in spec.paths],
            "socket": socket,
            "report": report,
            "waitress": str(Path(waitress.__file__).parent),
            "threads": spec.threads + PRESENCE_THREADS if spec.threadsafe else None,
            "deadline": self._deadline,
            "max_answer": MAX_ANSWER_BYTES,
            # As the process has them: app.yaml cannot change what leads the app to the emulator.
            "environ": {name: environ[name] for name in spec.environ},
        }
        threading.Thread(
            target=self._listen, args=(runner_info, writing, reading, process), name="instance", daemon=True
        ).start()
        return process

    def _listen(self, runner_info: dict[str, Any], settings: int, report: int, process: SupervisedProcess) -> None:
        # A process that has died at once reads nothing.
        with contextlib.suppress(BrokenPipeError), open(settings, "w", encoding="utf-8") as file:
            json.dump(runner_info, file)
        with PipeLines(report, self._take_line) as reports:
            self._files.report(self, reports.catch_up)
            reports.follow()
            self._files.report(self, None)
        how = process.wait()
        self.ended_at = time.monotonic()
        self._fail("died", f"The app's process {how} while it was being imported.")

    def _take_line(self, line: bytes) -> None:
        """One report (host/runner/report.py)."""
        # A handler that is cut in mid-report leaves half a line.
        with contextlib.suppress(ValueError):
            self._take_report(json.loads(line))

    def _take_report(self, message: dict[str, Any]) -> None:
        if "process" in message:
            self._files.runs_in(self, message["process"])
        if "wrote" in message:
            self._files.wrote(message["wrote"], message["at"])
        if "again" in message:
            self._files.read_again(message["again"])
        if "sources" in message:
            self.sources.add(message["sources"], message["folders"])
        if "too_many" in message:
            self._files.too_many(message["too_many"])
        if "overrun" in message:
            self._overrun_cpu[message["overrun"]] = message["cpu"]
        if message.get("state") == "serving":
            self._settled.set()
        elif message.get("state") == "failed":
            self._fail(message["reason"], message["text"])

    def _fail(self, reason: str, text: str) -> None:
        if not self._settled.is_set():
            self.failure = ImportFailure(reason, text)
            self._settled.set()


def _pipe(reader: contextlib.ExitStack, writer: contextlib.ExitStack) -> tuple[int, int]:
    """A pipe's ends, to read from and to write to; each is closed by its stack."""
    reading, writing = os.pipe()
    reader.callback(os.close, reading)
    writer.callback(os.close, writing)
    return reading, writing


def _folder_for_sockets() -> str:
    """The system's temporary folder, unless its path is too long: a Unix socket's has 103 bytes on macOS."""
    folder = tempfile.gettempdir()
    return folder if len(os.fsencode(folder)) <= 70 else "/tmp"  # noqa: S108 - mkdtemp makes a private folder in it


def _environment(spec: AppSpec) -> dict[str, str]:
    """Ours and the app's own, with what leads the app's server API to the emulator."""
    host, _, port = spec.address.rpartition(":")
    inherited = os.environ | dict(spec.environ)
    return inherited | {
        "CHANNEL_EMULATOR_HOST": spec.address,
        "API_HOST": host,
        "API_PORT": port,
        "SERVER_SOFTWARE": "Development/2.0",
        "PYTHONPATH": python_path(inherited),
    }
