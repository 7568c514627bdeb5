"""The Go app of go_app/, built and run."""

from __future__ import annotations

import functools
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

import urllib3

from tests.support import parts
from tests.support.waiting import LONG_ENOUGH
from tests.support.wire import free_port, wait_for_port

SOURCE = Path(__file__).with_name("go_app")


@functools.cache
def build() -> Path:
    """The app as a program, which is kept for the next run; without Go the test is skipped, or fails on CI."""
    go, library = parts.need(parts.go_appengine)
    environ = {
        "GO111MODULE": "off",
        "GOPATH": str(library),
        "GOFLAGS": "",
        "CGO_ENABLED": "0",
        "GOCACHE": str(parts.cache().absolute() / "go"),
    }
    program = parts.cache().absolute() / "go_app"
    command = [str(go), "build", "-o", str(program), "."]
    with parts.one_at_a_time("go_app"):
        ended = subprocess.run(
            command, cwd=SOURCE, env=os.environ | environ, capture_output=True, text=True, timeout=600, check=False
        )
    assert ended.returncode == 0, ended.stderr
    return program


class GoApp:
    """Its process, led to the emulator at `address`, `host:port`, by the variables that Google's library reads.

    It listens on `port`, or on a free one.
    """

    def __init__(self, program: Path, address: str, environ: Mapping[str, str], port: int | None = None) -> None:
        self.port = port or free_port()
        host, _, port_there = address.rpartition(":")
        ours = {"API_HOST": host, "API_PORT": port_there, "PORT": str(self.port), "PATH": os.environ["PATH"]}
        self._process = subprocess.Popen([str(program)], env={**environ, **ours}, stderr=subprocess.PIPE)
        self._http = urllib3.PoolManager(retries=urllib3.Retry(connect=50, backoff_factor=0.05, backoff_max=0.2))

    def wait(self) -> None:
        """Returns when it accepts connections."""
        wait_for_port(self.port)

    def ask(self, path: str, **fields: str) -> tuple[int, str]:
        """Status and body of its answer."""
        answer = self._http.request("GET", f"http://127.0.0.1:{self.port}{path}", fields=fields, timeout=LONG_ENOUGH)
        return answer.status, answer.data.decode("utf-8")

    def stop(self) -> None:
        """End it."""
        self._process.kill()
        self._process.communicate()
