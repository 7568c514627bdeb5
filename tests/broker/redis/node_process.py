"""A node in a process of its own, asked over a Unix socket: one line of JSON, and one back.

`python -m tests.broker.redis.node_process REDIS SERVICE NAME LISTEN` ends with SIGTERM as an emulator does.
"""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import socketserver
import sys
import threading
import time
from pathlib import Path
from typing import Any

from appengine_channel_emu.broker.contract import BrokerOptions
from appengine_channel_emu.broker.errors import EmulatorError
from appengine_channel_emu.broker.redis.broker import RedisBroker
from appengine_channel_emu.broker.redis.target import RedisTarget
from appengine_channel_emu.broker.turn import Pending


def ask(listen: str, timeout: float = 10, **what: Any) -> dict[str, Any]:
    """What the node at `listen` answers. Raises OSError where there is none."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(timeout)
        sock.connect(listen)
        sock.sendall(json.dumps(what).encode() + b"\n")
        with sock.makefile("rb") as lines:
            line = lines.readline()
    if not line.endswith(b"\n"):
        raise ConnectionError("the node is gone")
    return json.loads(line)


class Node:
    """What can be asked of one."""

    def __init__(self, redis: str, service: str, name: str, posts: Path) -> None:
        self.posts = posts
        self.name = name
        self.made = threading.Event()
        self.broker = RedisBroker(RedisTarget.parse(redis), service, name, BrokerOptions(), self._post)
        self.made.set()
        # As a service does it several times a second.
        threading.Thread(target=self._run_due, daemon=True).start()

    def _run_due(self) -> None:
        while True:
            self.broker.run_due()
            time.sleep(0.1)

    def _post(self, client_id: str, connected: bool) -> None:
        # All nodes write one file, which outlives them.
        with self.posts.open("a") as posts:
            posts.write(json.dumps([client_id, connected, self.name, time.time()]) + "\n")
        self.made.wait()
        self.broker.presence_done(client_id, connected, 200)

    def create(self, client_id: str) -> dict[str, Any]:
        return {"token": _wait(lambda: self.broker.create_channel(client_id)).token}

    def open(self, token: str) -> dict[str, Any]:
        return {"socket": _wait(lambda: self.broker.open(token)).socket}

    def send(self, client_id: str, text: str) -> dict[str, Any]:
        return {"to": _wait(lambda: self.broker.send_message(client_id, text)).delivered_to}

    def poll(self, socket: str, after: int, wait: float) -> dict[str, Any]:
        poll = self.broker.poll(socket, after)
        arrived = threading.Event()
        poll.ready.when_set(arrived.set)
        arrived.wait(wait)
        answer = self.broker.take(poll)
        return {"messages": [message.text for message in answer.messages], "next": answer.next}

    def health(self) -> dict[str, Any]:
        return {"away": self.broker.why_away}

    def reset(self) -> dict[str, Any]:
        _wait(self.broker.control.reset)
        return {}

    def travel(self, seconds: float) -> dict[str, Any]:
        _wait(lambda: self.broker.control.travel(seconds))
        return {}


def _wait(call: Any) -> Any:
    try:
        return call()
    except Pending as pending:
        return pending.wait(10)


def main(redis: str, service: str, name: str, listen: str) -> None:
    node = Node(redis, service, name, Path(listen).with_name("posts"))

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            what = json.loads(self.rfile.readline())
            try:
                found = getattr(node, what.pop("do"))(**what)
            except (EmulatorError, TimeoutError) as error:
                found = {"error": type(error).__name__, "text": str(error)}
            with contextlib.suppress(BrokenPipeError):
                self.wfile.write(json.dumps(found).encode() + b"\n")

    class Server(socketserver.ThreadingUnixStreamServer):
        daemon_threads = True
        request_queue_size = 1000

    server = Server(listen, Handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    print("ready", flush=True)
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    node.broker.stop()


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    main(*sys.argv[1:])
