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
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from appengine_channel_emu.environment import child_environ, python_path, variables

ROOT = Path(__file__).resolve().parents[2]
SAMPLE_APP = ROOT / "sample_app"

STOP_SECONDS = 12.0
"""For one program to end: an emulator takes ten at the most."""

START_SECONDS = 60.0


class CannotServe(Exception):
    """Something is missing; the text says what, and what to do."""


class Program(NamedTuple):
    """One that was started here, and what people call it."""

    name: str
    process: subprocess.Popen[bytes]


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
                end(program)
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
        raise CannotServe(
            "there is no redis-server on PATH. Install one: apt install redis-server, or brew install redis."
        )
    for each in (port, port + 1, port + 2):
        need_port(each)
    environ = child_environ(os.environ)
    path = folder / "redis"
    command = [
        redis,
        "--port",
        "0",
        "--unixsocket",
        str(path),
        "--save",
        "",
        "--dir",
        str(folder),
        "--loglevel",
        "warning",
    ]
    programs.append(start("Redis", command, environ))
    wait_until(path.exists, programs[-1], stopping)
    app = f"127.0.0.1:{port + 2}"
    environ = child_environ(environ | variables(f"127.0.0.1:{port}") | {"PYTHONPATH": python_path(environ)})
    command = [sys.executable, "-m", "waitress", f"--listen={app}", "main:app"]
    programs.append(start("the app", command, environ, SAMPLE_APP))
    wait_until(lambda: answers(port + 2), programs[-1], stopping)
    for number, name in enumerate(("first", "second")):
        command = [sys.executable, "-m", "appengine_channel_emu", "serve", "--upstream", f"http://{app}"]
        command += ["--redis", f"unix://{path}", "--redis-name", "sample", "--node-name", name, "--quiet"]
        command += ["--port", str(port + number)]
        programs.append(start(f"the {name} emulator", command, child_environ(os.environ), ROOT))
    for number, program in enumerate(programs[-2:]):
        wait_until(lambda number=number: answers(port + number), program, stopping)


def start(name: str, command: list[str], environ: dict[str, str], folder: Path | None = None) -> Program:
    """Start it, in a session of its own: a terminal's Ctrl-C is for us, who end all in order."""
    return Program(name, subprocess.Popen(command, cwd=folder, env=environ, stdout=2, start_new_session=True))


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
        if program.process.poll() is not None:
            raise CannotServe(f"{program.name} has ended, with exit status {program.process.returncode}; why is above.")
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
    gone: set[int] = set()
    while not stopping.wait(0.5):
        for program in programs:
            code = program.process.poll()
            if code is not None and program.process.pid not in gone:
                gone.add(program.process.pid)
                print(f"serve-cluster: {program.name} has ended, with exit status {code}.", file=sys.stderr, flush=True)


def end(program: Program) -> None:
    """Have it end in its own time, or else at once."""
    program.process.terminate()
    try:
        program.process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        program.process.kill()
        program.process.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
