"""While the app's processes are started and killed every request is answered, and what was answered has happened."""

from __future__ import annotations

import http.client
import itertools
import json
import os
import random
import textwrap
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
import urllib3

from tests.support.emulator import RunningEmulator
from tests.support.waiting import eventually

FULL = bool(os.environ.get("SOAK"))
REQUESTS = 10_000 if FULL else 800
BLOWS = 40 if FULL else 3
"""Changes of the source, and requests that are cut at their deadline, each so many."""

PARTS = 10
"""Modules of the app. One that changes again and again is not taken for a user's work for ever."""

CLIENTS = 4
PATIENCE = 90.0
"""Seconds for an answer: an instance may take a while to start on a busy machine."""

APP = """
    import threading
    from importlib import import_module

    version = max(import_module(f"part{number}").version for number in range(PARTS))

    def app(environ, start_response):
        if environ["PATH_INFO"] == "/hangs":
            lock = threading.Lock()
            lock.acquire()
            lock.acquire()  # In C, where no exception reaches it: it costs the instance.
        if environ["PATH_INFO"] == "/order":
            with open(environ["wsgi.input"].read().decode(), "w"):
                pass
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"%d" % version]
"""


class Clients:
    """Threads that ask until each request has been asked for, each on a connection of its own."""

    def __init__(self, emulator: RunningEmulator, folder: Path) -> None:
        self._port = emulator.port
        self._folder = folder
        self._numbers = itertools.count()
        self._token = emulator.create_channel("bystander")
        self.asked = 0
        self.failures: list[str] = []
        self.statuses: Counter[int] = Counter()
        self.sent: list[str] = []
        self.ordered: list[Path] = []
        self._threads = [threading.Thread(target=self._run, args=(random.Random(n),)) for n in range(CLIENTS)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        for thread in self._threads:
            thread.join()

    def _run(self, rng: random.Random) -> None:
        while (number := next(self._numbers)) < REQUESTS:
            kind = rng.choice([self._health, self._send, self._open, self._page, self._order])
            try:
                self.statuses[kind(number)] += 1
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(f"{kind.__name__} {number}: {error!r}")
            self.asked += 1

    def _health(self, number: int) -> int:
        return self.ask("GET", "/_emu/health")

    def _page(self, number: int) -> int:
        return self.ask("GET", f"/page/{number}")

    def _open(self, number: int) -> int:
        return self.ask("GET", f"/_ah/channel/open?channel={self._token}&attempt=n{number}")

    def _send(self, number: int) -> int:
        body = json.dumps({"client_id": "page", "message": str(number)})
        status = self.ask("POST", "/_emu/messages", body, {"Content-Type": "application/json"})
        self.sent.append(str(number))
        return status

    def _order(self, number: int) -> int:
        path = self._folder / str(number)
        status = self.ask("POST", "/order", str(path))
        self.ordered.append(path)
        return status

    def ask(self, method: str, path: str, body: str | None = None, headers: dict[str, str] | None = None) -> int:
        """The status of the answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE)
        try:
            connection.request(method, path, body, {"Connection": "close", **(headers or {})})
            answer = connection.getresponse()
            answer.read()
            return answer.status
        finally:
            connection.close()


def received(emulator: RunningEmulator, socket_id: str) -> list[str]:
    """Everything that waits for the page."""
    texts: list[str] = []
    while True:
        answer = emulator.get_json(f"/_ah/channel/poll?socket={socket_id}&after={len(texts)}&wait=0")
        if not answer["messages"]:
            return texts
        texts += answer["messages"]


def change(folder: Path, part: int, version: int) -> None:
    """What a user does."""
    (folder / f"part{part}.py").write_text(f"version = {version}\n")


@pytest.mark.soak
def test_no_request_is_left_unanswered_while_instances_come_and_go(tmp_path):
    (tmp_path / "orders").mkdir()
    (tmp_path / "main.py").write_text(textwrap.dedent(APP).replace("PARTS", str(PARTS)))
    for number in range(PARTS):
        change(tmp_path, number, 0)
    options = ("main:app", "--app-dir", str(tmp_path), "--request-deadline", "0.5")
    limits = ("--backlog", "20000", "--max-sockets", "20000", "--resume-window", "3600")
    with RunningEmulator(*options, *limits, log=tmp_path / "log") as emulator:
        page = emulator.get_json(f"/_ah/channel/open?channel={emulator.create_channel('page')}")["socket"]
        clients = Clients(emulator, tmp_path / "orders")
        clients.start()
        began = time.monotonic()
        cut = []
        for blow in range(2 * BLOWS):
            # At even distances over the requests, however fast this machine answers them.
            while clients.asked < REQUESTS * blow // (2 * BLOWS) and any(t.is_alive() for t in clients._threads):
                time.sleep(0.01)
            if blow % 2:
                cut.append(clients.ask("GET", "/hangs"))
            else:
                change(tmp_path, blow // 2 % PARTS, blow + 1)
                # It serves: what comes next is a blow of its own.
                eventually(
                    lambda: int(urllib3.request("GET", f"{emulator.url}/page").data),
                    lambda seen, wanted=blow + 1: seen == wanted,
                )
        clients.join()
        texts = received(emulator, page)
    assert not clients.failures
    assert clients.statuses == {200: REQUESTS}
    assert cut == [500] * BLOWS
    # Nothing that was answered is missing, and nothing happened twice.
    assert sorted(texts, key=int) == sorted(clients.sent, key=int)
    assert all(path.exists() for path in clients.ordered)
    log = (tmp_path / "log").read_text()
    assert "Traceback" not in log
    print(f"{REQUESTS} requests, {BLOWS} reloads and {BLOWS} cuts in {time.monotonic() - began:.0f} s")
