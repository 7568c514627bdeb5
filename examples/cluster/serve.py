"""Two emulators that are one service, on this machine: a Redis, the sample app, and both in front of it.

`python examples/cluster/serve.py [--port FIRST]`, or `make serve-cluster`. The emulators are at the first port and the
next one, the app behind them at the third. Ctrl-C ends all of it.

Open one page of a game at each emulator: the players see each other's moves. Both emulators tell the one app who has
come and gone. The app itself calls the first one, as its CHANNEL_EMULATOR_HOST says; behind a balancer that would be
the balancer's address, so that no emulator is missed (docs/several-emulators.md).
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from appengine_channel_emu.environment import python_path, variables
from appengine_channel_emu.host.process import SupervisedProcess

ROOT = Path(__file__).resolve().parents[2]
SAMPLE_APP = ROOT / "sample_app"

START_SECONDS = 60.0


class CannotServe(Exception):
    """Something is missing; the text says what, and what to do."""


class Program:
    """One that was started here, and ends when this program does, however that ends. `name` is what people call it."""

    def __init__(self, name: str, command: list[str], environ: dict[str, str], folder: Path) -> None:
        self.name = name
        self.outcome: str | None = None
        """How it ended, once it has."""
        self._process = SupervisedProcess(command, folder=str(folder), environ=environ)
        threading.Thread(target=self._wait, daemon=True).start()

    def stop(self) -> None:
        """End it: SIGTERM, and SIGKILL three seconds later."""
        self._process.stop()

    def _wait(self) -> None:
        self.outcome = self._process.wait()


def main(argv: list[str]) -> int:
    """Serve until Ctrl-C; the exit code."""
    parser = argparse.ArgumentParser(description="Two emulators that are one service, in front of the sample app.")
    parser.add_argument("--port", type=int, default=8081, metavar="FIRST", help="the first of three ports (8081)")
    options = parser.parse_args(argv)
    stopping = stop_on_signals()
    programs: list[Program] = []
    with tempfile.TemporaryDirectory(prefix="emus-") as folder:
        try:
            start_all(programs, Path(folder), options.port, stopping)
            if not stopping.is_set():
                show(options.port)
            watch(programs, stopping)
        except CannotServe as error:
            print(f"serve-cluster: {error}", file=sys.stderr)
            return 1
        finally:
            for program in reversed(programs):
                program.stop()
    return 0


def stop_on_signals() -> threading.Event:
    """Set once this program is to end. Whatever started it in the background may have told it to ignore Ctrl-C."""
    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: stopping.set())
    return stopping


def start_all(programs: list[Program], folder: Path, port: int, stopping: threading.Event) -> None:
    """Start Redis, the app and both emulators, in this order, into `programs`. Raises `CannotServe`."""
    redis = shutil.which("redis-server")
    if redis is None:
        text = "there is no redis-server on PATH. Install one: apt install redis-server, or brew install redis."
        raise CannotServe(text)
    for each in (port, port + 1, port + 2):
        need_port(each)
    environ, path, app = dict(os.environ), folder / "redis", f"127.0.0.1:{port + 2}"
    command = [redis, "--port", "0", "--unixsocket", str(path), "--save", "", "--dir", str(folder)]
    programs.append(Program("Redis", [*command, "--logfile", str(folder / "log")], environ, folder))
    wait_until(path.exists, programs[-1], stopping)
    for_app = variables(f"127.0.0.1:{port}") | {"PYTHONPATH": python_path(environ)}
    command = [sys.executable, "-m", "waitress", f"--listen={app}", "main:app"]
    programs.append(Program("the app", command, environ | for_app, SAMPLE_APP))
    wait_until(partial(answers, port + 2), programs[-1], stopping)
    command = [sys.executable, "-m", "appengine_channel_emu", "serve", "--upstream", f"http://{app}", "--quiet"]
    command += ["--redis", f"unix://{path}", "--redis-name", "sample"]
    for number, name in enumerate(("first", "second")):
        own = ["--node-name", name, "--port", str(port + number)]
        programs.append(Program(f"the {name} emulator", command + own, environ, ROOT))
    for number, program in enumerate(programs[-2:]):
        wait_until(partial(answers, port + number), program, stopping)


def need_port(port: int) -> None:
    """Raises `CannotServe` where a port is in use."""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(("127.0.0.1", port))
        except (OSError, OverflowError) as error:
            raise CannotServe(f"port {port} cannot be used ({error}). Choose other ports with --port FIRST.") from None


def answers(port: int) -> bool:
    """Whether somebody listens there."""
    with socket.socket() as sock:
        sock.settimeout(1.0)
        return sock.connect_ex(("127.0.0.1", port)) == 0


def wait_until(condition: Callable[[], bool], program: Program, stopping: threading.Event) -> None:
    """Return once it holds, or we are to stop. Raises `CannotServe` where the program ends before."""
    until = time.monotonic() + START_SECONDS
    while not condition() and not stopping.is_set():
        if program.outcome is not None:
            raise CannotServe(f"{program.name} {program.outcome}; why is above.")
        if time.monotonic() > until:
            raise CannotServe(f"{program.name} is not there after {START_SECONDS:.0f} s.")
        stopping.wait(0.05)


def show(port: int) -> None:
    """Say where everything is."""
    print(
        f"Two emulators, one service. Open both, with the same game in the address:\n"
        f"  http://localhost:{port}/?game=abcdefgh\n"
        f"  http://localhost:{port + 1}/?game=abcdefgh\n"
        f"Their console: http://localhost:{port}/_emu/#/clients\n"
        f"Their nodes:   channel-emu cluster -p {port}\n"
        f"Ctrl-C ends all of it.",
        flush=True,
    )


def watch(programs: list[Program], stopping: threading.Event) -> None:
    """Return when we are to stop. What ends meanwhile is told: what the others make of it is worth seeing."""
    told: set[str] = set()
    while not stopping.wait(0.5):
        for program in programs:
            if program.outcome is not None and program.name not in told:
                told.add(program.name)
                print(f"serve-cluster: {program.name} {program.outcome}.", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
