"""A Redis of the tests: a process of its own on a Unix socket, in a temporary folder."""

from __future__ import annotations

import contextlib
import os
import queue
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
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


class DelayingProxy:
    """Stands before a Redis: what goes through takes `delay` seconds each way, and with `swallows` no reply comes."""

    def __init__(self, server: RedisServer) -> None:
        self.delay = 0.0
        self.swallows = False
        self.swallowed = 0
        self._behind = str(server.path)
        self._connections: list[socket.socket] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._path = server.folder / "p"
        self._listener.bind(str(self._path))
        self._listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def target(self) -> RedisTarget:
        """Where it is."""
        return RedisTarget(path=str(self._path))

    def break_off(self) -> None:
        """End all connections."""
        for each in self._connections:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """End all, and take no more."""
        self._listener.close()
        self.break_off()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.socket(socket.AF_UNIX)
                far.connect(self._behind)
                self._connections += [near, far]
                for source, sink, replies in ((near, far, False), (far, near, True)):
                    on_the_way: queue.Queue[tuple[float, bytes]] = queue.Queue()
                    threading.Thread(target=self._read, args=(source, on_the_way, replies), daemon=True).start()
                    threading.Thread(target=self._write, args=(sink, on_the_way), daemon=True).start()

    def _read(self, source: socket.socket, on_the_way: queue.Queue[tuple[float, bytes]], replies: bool) -> None:
        data = b"-"
        while data:
            try:
                data = source.recv(262_144)
            except OSError:
                data = b""
            if data and replies and self.swallows:
                self.swallowed += len(data)
            else:
                on_the_way.put((time.monotonic() + self.delay, data))

    def _write(self, sink: socket.socket, on_the_way: queue.Queue[tuple[float, bytes]]) -> None:
        data = b"-"
        while data:
            due, data = on_the_way.get()
            time.sleep(max(0.0, due - time.monotonic()))
            with contextlib.suppress(OSError):
                if data:
                    sink.sendall(data)
                else:
                    sink.shutdown(socket.SHUT_RDWR)
