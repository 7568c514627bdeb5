"""What a service on a Redis costs: its CPU for a send, its memory for an idle socket, its work while pages idle.

It starts a Redis and two nodes of its own.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import redis
from command_line import parser

from appengine_channel_emu.broker.broker import EmbeddedBroker
from appengine_channel_emu.broker.clock import SystemClock
from appengine_channel_emu.broker.contract import Broker
from appengine_channel_emu.broker.redis.broker import RedisBroker
from appengine_channel_emu.broker.redis.target import RedisTarget
from appengine_channel_emu.broker.turn import Pending

SENDS = 3_000
IDLE_SECONDS = 10


def ask(call: Callable[..., Any], *arguments: Any) -> Any:
    """What a call gives, at once or later."""
    try:
        return call(*arguments)
    except Pending as pending:
        return pending.wait(30)


def cpu_seconds(client: redis.Redis) -> float:
    """Of Redis, since it was started."""
    info = client.info("cpu")
    return float(info["used_cpu_user"]) + float(info["used_cpu_sys"])


def open_pages(nodes: list[RedisBroker], count: int) -> list[tuple[RedisBroker, str, str]]:
    """So many pages with a parked poll each, on all nodes in turns: node, client id, socket."""
    pages = []
    for number in range(count):
        node, client_id = nodes[number % len(nodes)], f"client-{number}@example.com"
        socket = ask(node.open, ask(node.create_channel, client_id).token).socket
        node.poll(socket, 0)
        pages.append((node, client_id, socket))
    return pages


def latencies(send_at: Broker, poll_at: Broker, client_id: str, socket: str, after: int) -> list[float]:
    """Milliseconds from a send to the poll that is ready, of each of a number of sends."""
    times = []
    for number in range(300):
        poll = poll_at.poll(socket, after)
        arrived = threading.Event()
        poll.ready.when_set(arrived.set)
        began = time.perf_counter()
        ask(send_at.send_message, client_id, f"message {number}")
        arrived.wait(30)
        times.append((time.perf_counter() - began) * 1000)
        after = poll_at.take(poll).next
    return times


def main(sockets: int) -> None:
    """Measure, and print."""
    with tempfile.TemporaryDirectory(prefix="redis-") as folder:
        path = Path(folder) / "s"
        command = ["redis-server", "--port", "0", "--unixsocket", str(path), "--save", "", "--logfile", f"{folder}/log"]
        server = subprocess.Popen([*command, "--dir", folder])
        try:
            client = redis.Redis(unix_socket_path=str(path))
            while not path.exists():
                time.sleep(0.05)
            target = RedisTarget(path=str(path))
            measure(client, [RedisBroker(target, "bench", name) for name in ("A", "B")], sockets)
        finally:
            server.terminate()
            server.wait()


def measure(client: redis.Redis, nodes: list[RedisBroker], sockets: int) -> None:
    """The figures, with their ratios."""
    open_pages(nodes, 20)
    time.sleep(2)
    before = client.info("memory")["used_memory"] - log_bytes(client)
    pages = open_pages(nodes, sockets)
    time.sleep(2)
    after = client.info("memory")["used_memory"] - log_bytes(client)
    print(f"Redis memory per idle socket with its token: {(after - before) / sockets:.0f} bytes ({sockets} sockets)")

    calls, cpu = client.info("stats")["total_commands_processed"], cpu_seconds(client)
    own = os.times()
    time.sleep(IDLE_SECONDS)
    evals = client.info("stats")["total_commands_processed"] - calls
    spent = cpu_seconds(client) - cpu
    mine = sum(os.times()[:2]) - sum(own[:2])
    print(
        f"{sockets} idle pages, {len(nodes)} nodes: {evals / IDLE_SECONDS / len(nodes):.1f} commands a second and node "
        f"(those of one heartbeat's script), {spent / IDLE_SECONDS:.2%} of a core for Redis, "
        f"{mine / IDLE_SECONDS:.2%} for both nodes"
    )

    cpu = cpu_seconds(client)
    for number in range(SENDS):
        _, client_id, _ = pages[number % len(pages)]
        ask(nodes[number % 2].send_message, client_id, "a message of some thirty bytes")
    time.sleep(1)
    print(f"Redis CPU per send, with its record for all consoles: {(cpu_seconds(client) - cpu) / SENDS * 1e6:.0f} µs")

    names = [client_id for _, client_id, _ in pages]
    cpu = cpu_seconds(client)
    ask(nodes[0].send_many, names, "a message of some thirty bytes")
    time.sleep(1)
    each = (cpu_seconds(client) - cpu) / len(names) * 1e6
    print(f"The same for one call to {len(names)} client ids: {each:.0f} µs each")

    embedded = EmbeddedBroker(SystemClock())
    here = embedded.open(embedded.create_channel("ann").token).socket
    there = ask(nodes[0].open, ask(nodes[0].create_channel, "ann").token).socket
    base = statistics.median(latencies(embedded, embedded, "ann", here, 0))
    across = statistics.median(latencies(nodes[1], nodes[0], "ann", there, 0))
    print(f"From a send to a ready poll, p50: {base:.3f} ms in process, {across:.3f} ms across nodes")
    for node in nodes:
        node.stop()


def log_bytes(client: redis.Redis) -> int:
    """What the capped logs for the console take: they are no socket's."""
    return sum(client.memory_usage(f"emu:bench:{name}") or 0 for name in ("events", "journal"))


if __name__ == "__main__":
    options = parser(__doc__, "about a minute and a half")
    options.add_argument("sockets", nargs="?", type=int, default=2_000, help="idle pages (default: 2000)")
    main(options.parse_args().sockets)
