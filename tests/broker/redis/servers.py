"""A Redis of the tests: a process of its own on a Unix socket, in a temporary folder."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import redis

from appengine_channel_emu.broker.redis.target import RedisTarget
from tests.support import parts


class RedisServer:
    """One redis-server. It keeps nothing over a restart but with `options` that say so."""

    def __init__(self, *options: str, folder: Path | None = None, password: str | None = None) -> None:
        # Short: a path of a Unix socket has some hundred bytes at most.
        self.folder = folder or Path(tempfile.mkdtemp(prefix="redis-"))
        self.path = self.folder / "s"
        self.password = password
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def target(self) -> RedisTarget:
        """Where it is."""
        return RedisTarget(path=str(self.path), password=self.password)

    def start(self) -> None:
        """Start, and return once it answers."""
        command = [parts.redis_server(), "--port", "0", "--unixsocket", self.path, "--save", "", "--dir", self.folder]
        command += ["--logfile", self.folder / "log", "--daemonize", "no", *self._options]
        if self.password is not None:
            command += ["--requirepass", self.password]
        self._process = subprocess.Popen(list(map(str, command)))
        until = time.monotonic() + 20
        while True:
            try:
                self.client().ping()
            except redis.RedisError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.02)
            else:
                return

    def client(self) -> redis.Redis:
        """An ordinary client."""
        return redis.Redis(unix_socket_path=str(self.path), password=self.password)

    def signal(self, number: int) -> None:
        """Send it a signal."""
        assert self._process is not None
        os.kill(self._process.pid, number)

    def kill(self) -> None:
        """As a power cut ends it."""
        if self._process is not None:
            self.signal(signal.SIGKILL)
            self._process.wait()
            self._process = None
            with contextlib.suppress(FileNotFoundError):
                self.path.unlink()

    def close(self) -> None:
        """End it, and forget what it kept."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)
