"""Nodes as processes, pages that poll a random one each time, and something that goes wrong meanwhile.

`python -m tests.broker.redis.chaos SCENARIO [SEED [PAGES]]` prints what came of it; `SCENARIOS` says what there is.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.broker.redis.node_process import ask
from tests.broker.redis.servers import RedisServer

PAUSE = 0.05
"""Seconds between two tries of whoever was refused."""


class NodeProcess:
    """One node that can be killed, stopped in order, and started again."""

    def __init__(self, redis: RedisServer, service: str, name: str) -> None:
        self._command = [sys.executable, "-m", "tests.broker.redis.node_process", str(redis.target), service, name]
        self._folder, self._name, self._starts = redis.folder, name, 0
        self.listen = ""
        self.start()

    def start(self) -> None:
        """Start, and return once it can be asked."""
        self._starts += 1
        listen = str(self._folder / f"{self._name}{self._starts}")
        self._process = subprocess.Popen([*self._command, listen], stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"ready\n"
        self.listen = listen

    def end(self, number: int) -> None:
        """End it by a signal."""
        if self._process.poll() is None:
            os.kill(self._process.pid, number)
            self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()


@dataclass
class Page:
    """One page: its socket, and what it has received."""

    client_id: str
    socket: str
    received: list[str] = field(default_factory=list)
    after: int = 0
    gone: str = ""


class Chaos:
    """A service under load; `run` gives what an independent look at it finds."""

    def __init__(self, redis: RedisServer, seed: int, pages: int, nodes: int = 2) -> None:
        self.redis = redis
        self.random = random.Random(seed)
        self.nodes = [NodeProcess(redis, "chaos", name) for name in "ABCD"[:nodes]]
        self.counts: Counter[str] = Counter()
        self.acted = self.over = 0.0
        self.confirmed: list[tuple[str, str, float]] = []
        self.uncertain: set[str] = set()
        self.slowest = 0.0
        self._stop = threading.Event()
        self._sending = threading.Event()
        self.pages = [self._open(f"page-{number}") for number in range(pages)]

    def run(self, act: Callable[[Chaos], None], before: float = 2.0, behind: float = 4.0) -> dict[str, object]:
        """Load it, let `act` happen, and look."""
        self._sending.set()
        pollers = [threading.Thread(target=self._poll, args=(page, self.random.random())) for page in self.pages]
        senders = [threading.Thread(target=self._send, args=(self.random.random(),)) for _ in range(2)]
        for thread in (*pollers, *senders):
            thread.start()
        time.sleep(before)
        self.acted = time.time()
        act(self)
        self.over = time.time()
        time.sleep(behind)
        self._sending.clear()
        for thread in senders:
            thread.join()
        time.sleep(3)
        self._stop.set()
        for thread in pollers:
            thread.join()
        return self._look()

    def presence(self) -> dict[str, list[bool]]:
        """What the app was told of each client id, once all pages have left."""
        time.sleep(12)
        told: dict[str, list[bool]] = {page.client_id: [] for page in self.pages}
        for line in Path(self.redis.folder, "posts").read_text().splitlines():
            client_id, connected = json.loads(line)
            told[client_id].append(connected)
        return told

    def close(self) -> None:
        """End the nodes."""
        self._stop.set()
        self._sending.clear()
        for node in self.nodes:
            node.end(signal.SIGKILL)

    def _ask(self, chance: random.Random, **what: object) -> dict[str, object]:
        return ask(chance.choice(self.nodes).listen, **what)

    def _open(self, client_id: str) -> Page:
        token = self._ask(self.random, do="create", client_id=client_id)["token"]
        return Page(client_id, str(self._ask(self.random, do="open", token=token)["socket"]))

    def _poll(self, page: Page, seed: float) -> None:
        chance = random.Random(seed)
        while not self._stop.is_set():
            try:
                found = self._ask(chance, do="poll", socket=page.socket, after=page.after, wait=1.5)
            except (OSError, ValueError):
                self.counts["polls that broke"] += 1
                time.sleep(PAUSE)
                continue
            if "error" in found:
                page.gone = str(found["error"])
                return
            # As the script does it: what it has already is not told again.
            messages, upto = list(found["messages"]), int(found["next"])
            known = page.after - (upto - len(messages))
            if known < 0:
                self.counts["gaps"] += 1
                continue
            page.received += messages[known:]
            page.after = max(page.after, upto)

    def _send(self, seed: float) -> None:
        chance = random.Random(seed)
        number, mine = 0, f"{seed:.6f}"
        while self._sending.is_set():
            page = chance.choice(self.pages)
            number += 1
            text = f"{mine}/{number}"
            began = time.time()
            while self._sending.is_set():
                try:
                    found = self._ask(chance, do="send", client_id=page.client_id, text=text)
                except (OSError, ValueError):
                    found = {"error": "broken"}
                if "error" not in found:
                    if found["to"]:
                        self.confirmed.append((page.client_id, text, time.time()))
                    else:
                        self.counts["sent to nobody"] += 1
                    break
                self.counts["sends that failed"] += 1
                self.uncertain.add(text)
                time.sleep(PAUSE)
            self.slowest = max(self.slowest, time.time() - began)
            time.sleep(chance.uniform(0, 0.01))

    def _look(self) -> dict[str, object]:
        lost, twice, disordered = [], 0, 0
        for page in self.pages:
            if page.gone:
                continue
            times = Counter(page.received)
            twice += sum(1 for text, count in times.items() if count > 1 and text not in self.uncertain)
            lost += [at for client_id, text, at in self.confirmed if client_id == page.client_id and not times[text]]
            order: dict[str, list[int]] = {}
            for text in dict.fromkeys(page.received):
                sender, number = text.split("/")
                order.setdefault(sender, []).append(int(number))
            disordered += sum(numbers != sorted(numbers) for numbers in order.values())
        return {
            "confirmed": len(self.confirmed),
            "uncertain": len(self.uncertain),
            "lost": len(lost),
            "lost before": [round(self.acted - at, 2) for at in sorted(lost)][:5],
            "twice": twice,
            "out of order": disordered,
            "pages gone": sum(bool(page.gone) for page in self.pages),
            "slowest send": round(self.slowest, 2),
            "confirmed after": sum(at > self.over + 1 for *_, at in self.confirmed),
            **self.counts,
        }


# What goes wrong


def kill_node(chaos: Chaos) -> None:
    """kill -9 of a node, which is started again."""
    node = chaos.random.choice(chaos.nodes)
    node.end(signal.SIGKILL)
    time.sleep(2)
    node.start()


def restart_nodes(chaos: Chaos) -> None:
    """All nodes are restarted, one by one."""
    for node in chaos.nodes:
        node.end(signal.SIGTERM)
        node.start()
        time.sleep(1)


def stop_redis(chaos: Chaos) -> None:
    """Redis is stopped for 10 s."""
    chaos.redis.signal(signal.SIGSTOP)
    time.sleep(10)
    chaos.redis.signal(signal.SIGCONT)


def kill_redis(chaos: Chaos) -> None:
    """Redis is killed, and started again."""
    chaos.redis.kill()
    time.sleep(1)
    chaos.redis.start()


def set_back(chaos: Chaos) -> None:
    """Redis loses what it was told in its last second, as a machine does that loses its power."""
    (log,) = Path(chaos.redis.folder, "appendonlydir").glob("*.incr.aof")
    size, chaos.acted = log.stat().st_size, time.time()
    time.sleep(1)
    chaos.redis.kill()
    chaos.counts["bytes lost"] = log.stat().st_size - size
    os.truncate(log, size)
    chaos.redis.start()


def move_clock(chaos: Chaos) -> None:
    """A test moves the clock on, by more than a page may be away."""
    for _ in range(5):
        ask(chaos.random.choice(chaos.nodes).listen, do="travel", seconds=100)
        time.sleep(0.3)


def drop_listeners(chaos: Chaos) -> None:
    """Redis ends the connections of all nodes, as it does with those that do not listen fast enough."""
    for _ in range(5):
        chaos.redis.client().client_kill_filter(_type="pubsub")
        time.sleep(0.5)


SCENARIOS: dict[str, tuple[Callable[[Chaos], None], tuple[str, ...]]] = {
    "kill-node": (kill_node, ()),
    "restart-nodes": (restart_nodes, ()),
    "stop-redis": (stop_redis, ()),
    "kill-redis-everysec": (kill_redis, ("--appendonly", "yes", "--appendfsync", "everysec")),
    "kill-redis-always": (kill_redis, ("--appendonly", "yes", "--appendfsync", "always")),
    "set-back": (set_back, ("--appendonly", "yes", "--appendfsync", "always", "--auto-aof-rewrite-percentage", "0")),
    "drop-listeners": (drop_listeners, ()),
    "move-clock": (move_clock, ()),
}


def play(name: str, seed: int, pages: int = 24) -> dict[str, object]:
    """One scenario, and what came of it."""
    act, options = SCENARIOS[name]
    redis = RedisServer(*options)
    try:
        chaos = Chaos(redis, seed, pages)
        try:
            found = chaos.run(act)
            flapped = [each for each in chaos.presence().values() if each != [True, False]]
            return found | {"presence otherwise than once": len(flapped)}
        finally:
            chaos.close()
    finally:
        redis.close()


if __name__ == "__main__":
    scenario = sys.argv[1]
    chosen = int(sys.argv[2]) if len(sys.argv) > 2 else random.randrange(10**6)
    print(scenario, "seed", chosen, play(scenario, chosen, *map(int, sys.argv[3:4])), flush=True)
