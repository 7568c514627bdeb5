"""The SDK's dev_appserver.py as a child process: its command, its log, its ports."""

from __future__ import annotations

import json
import os
import random
import secrets
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from appengine_channel_emu.host.errors import CannotStart
from appengine_channel_emu.host.origins.dev_server_log import DevServerLog
from appengine_channel_emu.host.process import SupervisedProcess
from appengine_channel_emu.host.sdk import python27_environ

INSIDE = Path(__file__).parents[2] / "compat" / "sdk"
"""What runs in the SDK's processes, under Python 2.7."""

LOOPBACK = "127.0.0.1"
START_SECONDS = 60.0
TASK_SECONDS = 600.0
"""Requests of task queues and cron (facts.md 8)."""

GRACE_SECONDS = 0.5
_MODULE_PORTS = 8
_PORT_TRIES = 500
# Below those that systems give to connections: thousands of these leave no row free, and one may come in between.
# Above those that the SDK picks for its instances, from 15,000 on.
_PORTS = range(25_000, 32_000)


@dataclass(frozen=True, slots=True)
class DevServerSpec:
    """Which app, and how dev_appserver.py runs it.

    yaml:      the app's app.yaml.
    sdk:       the folder of dev_appserver.py, and `python` its Python 2.7.
    address:   the emulator's `host:port`.
    deadline:  seconds a request may take, None for no limit.
    storage:   folder of the datastore and the like; None for one that goes away with the process.
    hosts:     names beside localhost and loopback addresses that visitors may use; None lets every name in.
    arguments: of the user's own, for dev_appserver.py.
    overlay:   makes, in the folder that it is given, what the SDK reads instead of `yaml`; returns its path.
    python25:  whether the app is for the runtime of Python 2.5.
    """

    yaml: Path
    sdk: Path
    python: str
    address: str
    deadline: float | None
    storage: Path | None = None
    hosts: Sequence[str] | None = ()
    arguments: Sequence[str] = ()
    overlay: Callable[[Path], Path] | None = None
    python25: bool = False


class DevServerProcess:
    """One run of dev_appserver.py, on ports of its own: `port` for the app, `admin_port` for the SDK's admin server."""

    def __init__(self, spec: DevServerSpec) -> None:
        _check_arguments(spec.arguments)
        self.port, self.admin_port, api_port = free_ports()
        self.admin_port = _chosen_admin_port(spec.arguments) or self.admin_port
        self.secret = secrets.token_urlsafe(24)
        self.started_at = time.monotonic()
        self.ended_at = 0.0
        """When it ended, once `ended` says how."""
        try:
            # Absolute, which it is not where TMPDIR is ".": the dev server has another current folder.
            self._folder = Path(tempfile.mkdtemp(prefix="channel-emu-sdk-")).absolute()
        except OSError as error:
            raise CannotStart(f"There is no room for dev_appserver.py's temporary files: {error}") from error
        self.ended: str | None = None
        """How it ended, None while it runs."""
        self._has_ended = threading.Event()
        try:
            self._process = self._start(spec, api_port)
        except OSError as error:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise CannotStart(f"dev_appserver.py cannot be started: {error}") from error

    def wait_until_it_answers(self) -> None:
        """Returns when its port accepts connections. Raises `CannotStart`."""
        give_up = time.monotonic() + START_SECONDS
        while not self._has_ended.wait(0.02):
            try:
                socket.create_connection((LOOPBACK, self.port), 1).close()
                return
            except OSError:
                if time.monotonic() > give_up:
                    raise CannotStart(
                        f"dev_appserver.py took no request within {START_SECONDS:g} seconds, and was ended."
                        f"{self.log.last_words()}"
                    ) from None
        raise CannotStart(f"dev_appserver.py {self.ended} before it took a request.{self.log.last_words()}")

    def stop(self) -> None:
        """End it and all it started."""
        self._process.stop()
        self._has_ended.wait(1)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _start(self, spec: DevServerSpec, api_port: int) -> SupervisedProcess:
        for name in ("tmp", "index", "app"):
            (self._folder / name).mkdir()
        storage = spec.storage or self._folder / "storage"
        storage.mkdir(parents=True, exist_ok=True, mode=0o700)
        reading, writing = os.pipe()
        try:
            process = SupervisedProcess(
                self._command(spec, storage, api_port),
                folder=str(spec.yaml.parent),
                environ=self._environ(spec),
                remove=str(self._folder),
                output=writing,
            )
        except BaseException:
            os.close(reading)
            raise
        finally:
            os.close(writing)
        self.log = DevServerLog(reading)
        threading.Thread(target=self._follow, args=(process,), name="dev_appserver", daemon=True).start()
        return process

    def _command(self, spec: DevServerSpec, storage: Path, api_port: int) -> list[str]:
        options = {
            "host": LOOPBACK,
            "port": self.port,
            "admin_host": LOOPBACK,
            "admin_port": self.admin_port,
            "api_host": LOOPBACK,
            "api_port": api_port,
            "storage_path": storage,
            "skip_sdk_update_check": "yes",
            "python_startup_script": INSIDE / "startup.py",
            "python_startup_args": INSIDE,
        }
        ours = [f"--{name}={value}" for name, value in options.items()]
        # The front has looked at the name already; the dev server looks again, for those who come to its port directly.
        if spec.hosts is None:
            ours.append("--enable_host_checking=no")
        else:
            ours += [f"--addn_host={host}" for host in ("*.localhost", *spec.hosts)]
        launcher = [INSIDE / "launcher.py", self._folder / "index", spec.sdk / "dev_appserver.py"]
        # The user's last: of an option given twice the later one counts.
        return [spec.python, *map(str, launcher), *ours, *spec.arguments, str(spec.yaml)]

    def _environ(self, spec: DevServerSpec) -> dict[str, str]:
        runtime_info = {
            "address": spec.address,
            "secret": self.secret,
            "deadline": spec.deadline,
            "task_deadline": None if spec.deadline is None else max(TASK_SECONDS, spec.deadline),
            "grace": GRACE_SECONDS,
            "port": self.port,
            "yaml": _latin_1(spec.yaml),
            "read_instead": None if spec.overlay is None else _latin_1(spec.overlay(self._folder / "app")),
            "python25": spec.python25,
        }
        ours = {
            "CHANNEL_EMU_RUNTIME": json.dumps(runtime_info),
            "CHANNEL_EMULATOR_HOST": spec.address,
            "TMPDIR": str(self._folder / "tmp"),
            # A log that is passed on line by line, as it comes.
            "PYTHONUNBUFFERED": "1",
        }
        return python27_environ() | ours

    def _follow(self, process: SupervisedProcess) -> None:
        self.log.pass_on()
        how = process.wait()
        self.ended_at = time.monotonic()
        self.ended = how
        self._has_ended.set()


def _latin_1(path: Path) -> str:
    """The path as JSON can carry it to Python 2.7, whose paths are bytes: one in each character."""
    return os.fsencode(path).decode("latin-1")


def _check_arguments(arguments: Sequence[str]) -> None:
    """Raises `CannotStart` for an address of the user's own: the emulator has to know where the dev server is."""
    for name in ("--host", "--port"):
        if _argument(name, arguments) is not None:
            raise CannotStart(
                f"{name} behind --: dev_appserver.py has an address of its own, and visitors come to the emulator's. "
                f"Give {name} in front of the --."
            )


def _chosen_admin_port(arguments: Sequence[str]) -> int | None:
    """The user's own. Raises `CannotStart` where it is taken, of which the dev server would die after a while."""
    chosen = _argument("--admin_port", arguments) or ""
    if not chosen.isdecimal() or not int(chosen):
        return None
    if not _is_free(int(chosen)):
        raise CannotStart(f"--admin_port {chosen}: something else listens there. Without it a free port is taken.")
    return int(chosen)


def _argument(name: str, arguments: Sequence[str]) -> str | None:
    """What the user gave as `--name value` or `--name=value`."""
    for at, word in enumerate(arguments):
        if word == name:
            return "".join(arguments[at + 1 : at + 2])
        if word.startswith(f"{name}="):
            return word.partition("=")[2]
    return None


def free_ports() -> tuple[int, int, int]:
    """For the app, the admin server and the API server; after the first come some that more modules may take."""
    for _ in range(_PORT_TRIES):
        first, admin, api = random.sample(_PORTS, 3)
        row = range(first, first + _MODULE_PORTS)
        if admin not in row and api not in row and all(map(_is_free, [*row, admin, api])):
            return first, admin, api
    raise CannotStart("No free ports were found for dev_appserver.py.")


def _is_free(port: int) -> bool:
    with socket.socket() as sock:
        # As servers do: connections that have just ended there are no hindrance.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((LOOPBACK, port))
        except (OSError, OverflowError):
            return False
    return True
