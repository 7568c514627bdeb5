"""A service of several emulators on a real Redis: `channel-emu serve` in processes of their own, in front of an app."""

from __future__ import annotations

import contextlib
import json
import secrets
import threading
from pathlib import Path
from typing import Any

import urllib3

from appengine_channel_emu.testing import ChannelClient
from tests.broker.redis.servers import RedisServer
from tests.support.emulator import RunningEmulator
from tests.support.waiting import LONG_ENOUGH, eventually

APP = Path(__file__).parent / "app"

BEHIND_PROXY = ("--trusted-proxy", "127.0.0.1", "--allow-host", "emulators")
"""For a node behind an nginx of this machine."""


class ClusterNode(RunningEmulator):
    """One node; `name` is what it is called, and `address` its host:port."""

    def __init__(self, name: str, log: Path, arguments: list[str], environ: dict[str, str]) -> None:
        super().__init__(*arguments, "--node-name", name, log=log, environ=environ)
        self.name = name

    @property
    def address(self) -> str:
        """`host:port`."""
        return self.url.removeprefix("http://")

    def request(self, method: str, path: str, **options: Any) -> urllib3.BaseHTTPResponse:
        """What it answers."""
        return self._http.request(method, self.url + path, **options)

    def ask(self, path: str, body: dict[str, Any]) -> Any:
        """What the admin API answers to JSON."""
        return self._post(path, body)

    def page(self, token: str, transport: Any = "poll") -> ChannelClient:
        """A page that stays at this node; not open yet."""
        return ChannelClient(self.url, token, transport=transport)

    def wait_for_sockets(self, count: int) -> None:
        """Return once the service has so many."""
        eventually(lambda: sum(self.get_json("/_emu/status")["sockets"].values()), lambda found: found == count)


class Cluster:
    """Makes nodes of one service; use it as a context manager. `folder` has logs, and what the app writes down."""

    def __init__(self, redis: RedisServer, folder: Path, url: str | None = None) -> None:
        self.url = url or f"unix://{redis.path}"
        self.name = f"test-{secrets.token_hex(4)}"
        self._folder = folder
        self._file = folder / "presence"
        self._running = contextlib.ExitStack()
        self.both: list[ClusterNode] = []

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._running.close()

    def node(
        self, name: str, *arguments: str, app: str | None = str(APP), url: str | None = None, **environ: str
    ) -> ClusterNode:
        """A node that runs, in front of `app`, if there is one; it reaches the Redis at `url`, if that is given."""
        given = ["--redis", url or self.url, "--redis-name", self.name, *([app] if app else []), *arguments]
        log = self._folder / f"{name}.log"
        made = ClusterNode(name, log, given, {"PRESENCE_FILE": str(self._file), **environ})
        made.start()
        self._running.callback(made.stop)
        return made

    def told(self) -> list[tuple[str, str, str]]:
        """What the apps of all nodes were told, in order: `connected` or `disconnected`, whom, and at which address."""
        if not self._file.exists():
            return []
        return [tuple(json.loads(line)) for line in self._file.read_text("utf-8").splitlines()]

    def told_of(self, client_id: str) -> list[str]:
        """What they were told of one client id."""
        return [what for what, whom, _ in self.told() if whom == client_id]


class MovingPage:
    """A page that polls another of `nodes` each time, as a balancer may have it."""

    def __init__(self, nodes: list[ClusterNode], token: str) -> None:
        self._nodes = nodes
        self._turn = 0
        opened = self._next("/_ah/channel/open", {"channel": token})
        self.socket, self.after, self.client_id = opened["socket"], opened["next"], opened["client"]
        self.received: list[str] = []

    def poll(self, seconds: int = 25) -> list[str]:
        """What the next poll brings."""
        found = self._next("/_ah/channel/poll", {"socket": self.socket, "after": str(self.after), "wait": str(seconds)})
        self.after = found["next"]
        self.received += found["messages"]
        return list(found["messages"])

    def receive(self, count: int) -> list[str]:
        """All that has come, once there are so many."""
        while len(self.received) < count:
            self.poll()
        return self.received

    def _next(self, path: str, fields: dict[str, str]) -> Any:
        node = self._nodes[self._turn % len(self._nodes)]
        self._turn += 1
        answer = node.request("GET", path, fields=fields)
        assert answer.status == 200, (answer.status, answer.data)
        return answer.json()


def in_parallel(jobs: list[Any], seconds: float = LONG_ENOUGH) -> list[Any]:
    """What each gives, all run at the same time, each on a thread of its own; the first error is raised."""
    found: list[Any] = [None] * len(jobs)
    errors: list[BaseException] = []

    def run(number: int, job: Any) -> None:
        try:
            found[number] = job()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=each) for each in enumerate(jobs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(seconds)
    if errors:
        raise errors[0]
    assert not any(thread.is_alive() for thread in threads)
    return found
