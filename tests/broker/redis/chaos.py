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
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from appengine_channel_emu.broker.redis.target import RedisTarget
from tests.broker.redis.node_process import ask
from tests.broker.redis.servers import DelayingProxy, RedisServer

PAUSE = 0.05
"""Seconds between two tries of whoever was refused."""

LONGEST_LEAVE = 60.0
"""Seconds within which the app has heard that a page has left, on a busy machine."""


class NodeProcess:
    """One node that can be killed, stopped in order, and started again."""

    def __init__(self, redis: RedisServer, target: RedisTarget, service: str, name: str) -> None:
        self._command = [sys.executable, "-m", "tests.broker.redis.node_process", str(target), service, name]
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

    def signal(self, number: int) -> None:
        """Send it a signal."""
        os.kill(self._process.pid, number)

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
    since: float = 0.0
    """When its socket was opened; what was sent before is not for it."""
    first: int = 0
    """How many it has received on former sockets."""


class Chaos:
    """A service under load; `run` gives what an independent look at it finds."""

    def __init__(self, redis: RedisServer, seed: int, pages: int, behind_proxy: bool = False) -> None:
        self.redis = redis
        self.proxy = DelayingProxy(redis)
        self.random = random.Random(seed)
        target = self.proxy.target if behind_proxy else redis.target
        self.nodes = [NodeProcess(redis, target, "chaos", name) for name in "AB"]
        self.patience = 10.0
        """Seconds for which whoever asks a node waits."""
        self.wait = 1.5
        """Seconds for which a poll waits."""
        self.sent_at = list(self.nodes)
        """The nodes that are asked for sends."""
        self.padding = ""
        self.reopens = False
        """Whether a page whose socket has ended opens another."""
        self.polls_twice = False
        """Whether each poll is made at two nodes at once."""
        self.counts: Counter[str] = Counter()
        self.acted = self.over = 0.0
        self.confirmed: list[tuple[str, str, float, float]] = []
        self.uncertain: set[str] = set()
        self.slowest = 0.0
        self._stop = threading.Event()
        self._sending = threading.Event()
        self._pollers: list[threading.Thread] = []
        self.pages = [self._open(f"page-{number}") for number in range(pages)]

    def run(self, act: Callable[[Chaos], None], before: float = 2.0, behind: float = 4.0) -> dict[str, object]:
        """Load it, let `act` happen, and look."""
        self._sending.set()
        senders = [threading.Thread(target=self._send, args=(self.random.random(),)) for _ in range(2)]
        for thread in senders:
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
        for thread in self._pollers:
            thread.join()
        return self._look()

    def presence(self) -> dict[str, list[bool]]:
        """What the app was told of each client id, once all pages have left."""
        began = time.monotonic()
        while time.monotonic() < began + LONGEST_LEAVE and not all(
            each[-1:] == [False] for each in self._told().values()
        ):
            time.sleep(0.5)
        self.counts["seconds until all had left"] = round(time.monotonic() - began)
        # What is told twice comes behind it.
        time.sleep(3)
        return self._told()

    def _told(self) -> dict[str, list[bool]]:
        told: dict[str, list[bool]] = {page.client_id: [] for page in self.pages}
        for line in Path(self.redis.folder, "posts").read_text().splitlines():
            client_id, connected, *_ = json.loads(line)
            told[client_id].append(connected)
        return told

    def close(self) -> None:
        """End the nodes."""
        self._stop.set()
        self._sending.clear()
        for node in self.nodes:
            node.end(signal.SIGKILL)
        self.proxy.close()

    def _ask(self, chance: random.Random, **what: object) -> dict[str, object]:
        return ask(chance.choice(self.nodes).listen, self.patience, **what)

    def _open(self, client_id: str) -> Page:
        page = Page(client_id, "")
        self._open_socket(page, self.random)
        self._pollers.append(threading.Thread(target=self._poll, args=(page, self.random.random())))
        self._pollers[-1].start()
        return page

    def _open_socket(self, page: Page, chance: random.Random) -> None:
        token = self._ask(chance, do="create", client_id=page.client_id)["token"]
        page.socket = str(self._ask(chance, do="open", token=token)["socket"])
        page.after, page.since, page.first = 0, time.time(), len(page.received)

    def _reopen(self, page: Page, chance: random.Random) -> None:
        while not self._stop.is_set():
            try:
                self._open_socket(page, chance)
            except (OSError, KeyError):
                time.sleep(PAUSE)
            else:
                self.counts["sockets opened anew"] += 1
                return

    def _poll(self, page: Page, seed: float) -> None:
        chance = random.Random(seed)
        while not self._stop.is_set():
            try:
                answers = self._polled(page, chance)
            except (OSError, ValueError):
                self.counts["polls that broke"] += 1
                time.sleep(PAUSE)
                continue
            for found in answers:
                if "error" not in found:
                    self._receive(page, found)
                elif self.reopens:
                    self._reopen(page, chance)
                    break
                else:
                    page.gone = str(found["error"])
                    return

    def _polled(self, page: Page, chance: random.Random) -> list[dict[str, object]]:
        poll = {"do": "poll", "socket": page.socket, "after": page.after, "wait": self.wait}
        if not self.polls_twice:
            return [self._ask(chance, **poll)]
        with ThreadPoolExecutor(2) as pool:
            asked = [pool.submit(ask, node.listen, self.patience, **poll) for node in chance.sample(self.nodes, 2)]
            return [each.result() for each in asked]

    def _receive(self, page: Page, found: dict[str, object]) -> None:
        # As the script does it: what it has already is not told again.
        messages, upto = list(found["messages"]), int(found["next"])
        known = page.after - (upto - len(messages))
        if known < 0:
            self.counts["gaps"] += 1
            return
        start = page.first + upto - len(messages)
        if page.received[start : start + len(messages[:known])] != messages[:known]:
            self.counts["other text under a number that the page has"] += 1
        page.received += messages[known:]
        page.after = max(page.after, upto)

    def _send(self, seed: float) -> None:
        chance = random.Random(seed)
        number, mine = 0, f"{seed:.6f}"
        while self._sending.is_set():
            page = chance.choice(self.pages)
            number += 1
            text = f"{mine}/{number}/{self.padding}"
            began = time.time()
            while self._sending.is_set():
                try:
                    listen = chance.choice(self.sent_at).listen
                    found = ask(listen, self.patience, do="send", client_id=page.client_id, text=text)
                except (OSError, ValueError):
                    found = {"error": "broken"}
                if "error" not in found:
                    if found["to"]:
                        self.confirmed.append((page.client_id, text, began, time.time()))
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
            lost += [
                at
                for client_id, text, began, at in self.confirmed
                if client_id == page.client_id and began > page.since and not times[text]
            ]
            order: dict[str, list[int]] = {}
            for text in dict.fromkeys(page.received):
                sender, number, _ = text.split("/")
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


def slow_redis(chaos: Chaos) -> None:
    """What goes to Redis and comes from there takes 100 ms each way, for 10 s."""
    chaos.proxy.delay = 0.1
    time.sleep(10)
    chaos.proxy.delay = 0.0


def stop_node(chaos: Chaos) -> None:
    """A node is stopped for 10 s, its sockets are adopted meanwhile, and it wakes in the belief that it has them."""
    # Whoever stands before the nodes gives up soon, and asks the other one.
    chaos.patience, chaos.wait = 1.0, 0.5
    node = chaos.random.choice(chaos.nodes)
    node.signal(signal.SIGSTOP)
    time.sleep(10)
    node.signal(signal.SIGCONT)


def claim_at_once(chaos: Chaos) -> None:
    """Both nodes claim each socket at once, all the while."""
    chaos.polls_twice = True
    time.sleep(6)
    chaos.polls_twice = False


def reset_under_load(chaos: Chaos) -> None:
    """A test resets the service three times; pages open sockets anew."""
    chaos.reopens = True
    for _ in range(3):
        ask(chaos.random.choice(chaos.nodes).listen, do="reset")
        time.sleep(1.5)


def overrun_buffers(chaos: Chaos) -> None:
    """Nodes do not read for a while what is published to them, and Redis ends their connections."""
    chaos.redis.client().config_set("client-output-buffer-limit", "pubsub 512kb 256kb 1")
    chaos.padding = "." * 30_000
    log = Path(chaos.redis.folder, "log")
    # A busy machine sends less.
    for node in chaos.nodes * 4:
        if chaos.counts["buffers overrun"]:
            break
        chaos.sent_at.remove(node)
        node.signal(signal.SIGSTOP)
        time.sleep(2.5)
        node.signal(signal.SIGCONT)
        time.sleep(1)
        chaos.sent_at.append(node)
        chaos.counts["buffers overrun"] = log.read_text().count("overcoming of output buffer limits")
    chaos.padding = ""


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
    "slow-redis": (slow_redis, ()),
    "stop-node": (stop_node, ()),
    "claim-at-once": (claim_at_once, ()),
    "reset": (reset_under_load, ()),
    "overrun-buffers": (overrun_buffers, ()),
    "restart-with-500-pages": (restart_nodes, ()),
}


def play(name: str, seed: int, pages: int | None = None, short: bool = False) -> dict[str, object]:
    """One scenario, and what came of it; a short one says of presence only where pages are kept from polling."""
    act, options = SCENARIOS[name]
    many = name == "restart-with-500-pages"
    if pages is None:
        pages = (100 if short else 500) if many else 24
    redis = RedisServer(*options)
    try:
        chaos = Chaos(redis, seed, pages, behind_proxy=act is slow_redis)
        try:
            found = chaos.run(act, 1, 2) if short else chaos.run(act)
            if short and not (many or act is stop_node):
                return found
            told = chaos.presence().values()
            # After a reset the service does not know that its app was told.
            once = [[True] * count + [False] for count in ((1, 2, 3, 4) if act is reset_under_load else (1,))]
            odd = Counter(str(each) for each in told if each not in once)
            leaving = chaos.counts["seconds until all had left"]
            return found | {"left in": leaving, "presence otherwise than once": odd.total(), **odd}
        finally:
            chaos.close()
    finally:
        redis.close()


if __name__ == "__main__":
    scenario = sys.argv[1]
    chosen = int(sys.argv[2]) if len(sys.argv) > 2 else random.randrange(10**6)
    print(scenario, "seed", chosen, play(scenario, chosen, *map(int, sys.argv[3:4])), flush=True)
