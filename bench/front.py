"""What the front adds to a request of the app's: through it, and straight to the instance, in pairs.

    python bench/front.py [--pairs 1000]

Both connections are kept alive; each pair's order is the reverse of the last one's, so that what else the machine does
falls on both.
"""

from __future__ import annotations

import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from http.client import HTTPConnection
from pathlib import Path

from command_line import parser

ROOT = Path(__file__).resolve().parents[1]
ALLOWED_MS = 2.0
"""The median of the differences may be this many milliseconds, for a small request."""

APP = """
SMALL, LARGE = b"x" * 200, b"x" * 1_000_000

def app(environ, start_response):
    environ["wsgi.input"].read()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [LARGE if environ["PATH_INFO"] == "/large" else SMALL]
"""

REQUESTS = {
    "GET, 200 bytes": ("GET", "/", None),
    "POST of 10 KB": ("POST", "/", b"x" * 10_000),
    "GET, 1 MB": ("GET", "/large", None),
}


class UnixConnection(HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost")
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(str(self._path))


def main() -> int:
    """1 if a small request costs more than it may."""
    made = parser(__doc__, "about half a minute")
    made.add_argument("--pairs", type=int, default=1000)
    pairs = made.parse_args().pairs
    with tempfile.TemporaryDirectory() as folder:
        app = Path(folder, "app")
        app.mkdir()
        (app / "main.py").write_text(APP)
        arguments = ["serve", "main:app", "--app-dir", str(app), "--port", "0", "--state-dir", "none", "--quiet"]
        emulator = subprocess.Popen(
            [sys.executable, "-m", "appengine_channel_emu", *arguments],
            cwd=ROOT,
            env={**os.environ, "TMPDIR": folder},
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert emulator.stdout is not None
            port = int(emulator.stdout.readline().rpartition(":")[2])
            (instance,) = Path(folder).glob("channel-emu-*/app")
            return report(HTTPConnection("127.0.0.1", port), UnixConnection(instance), pairs)
        finally:
            emulator.terminate()
            emulator.wait()


def report(front: HTTPConnection, instance: HTTPConnection, pairs: int) -> int:
    """Prints a line for each kind of request."""
    print(f"{pairs} pairs each; milliseconds: median, and the 99th of 100")
    print(f"{'':16}{'through the front':>20}{'straight':>20}{'difference':>20}")
    added = {}
    for name, request in REQUESTS.items():
        through, straight = measure(lambda: ask(front, *request), lambda: ask(instance, *request), pairs)  # noqa: B023
        differences = [one - other for one, other in zip(through, straight, strict=True)]
        added[name] = statistics.median(differences)
        print(f"{name:16}{line(through):>20}{line(straight):>20}{line(differences):>20}")
    worst = added["GET, 200 bytes"]
    print(f"the front adds {worst:.2f} ms to a small request (allowed: {ALLOWED_MS:g})")
    return int(worst > ALLOWED_MS)


def measure(one: Callable[[], None], other: Callable[[], None], pairs: int) -> tuple[list[float], list[float]]:
    """The milliseconds that each took, pair by pair, after a few that do not count."""
    took: dict[Callable[[], None], list[float]] = {one: [], other: []}
    for number in range(pairs + 20):
        for call in (one, other) if number % 2 else (other, one):
            started = time.perf_counter()
            call()
            took[call].append(1000 * (time.perf_counter() - started))
    return took[one][20:], took[other][20:]


def ask(connection: HTTPConnection, method: str, path: str, body: bytes | None) -> None:
    """One request and its whole answer."""
    connection.request(method, path, body)
    answer = connection.getresponse()
    assert answer.status == 200, answer.status
    answer.read()


def line(milliseconds: list[float]) -> str:
    """Two numbers."""
    return f"{statistics.median(milliseconds):.2f}  {statistics.quantiles(milliseconds, n=100)[98]:.2f}"


if __name__ == "__main__":
    sys.exit(main())
