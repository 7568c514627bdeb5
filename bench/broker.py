"""The broker alone, in this process: what an idle page keeps of memory, and what a message costs of CPU.

Memory is that of the process (Linux: VmRSS), with a store and without the log of events.
"""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable
from pathlib import Path

from command_line import parser
from report import Report

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from appengine_channel_emu.broker.broker import EmbeddedBroker
from appengine_channel_emu.broker.clock import SystemClock
from appengine_channel_emu.broker.contract import BrokerOptions
from appengine_channel_emu.broker.receiver import Poll

PAGES = 20_000
SENDS = 2_000
RUNS = 15
"""The best counts: a busy machine can only add to it."""
BROWSER = "127.0.0.1 Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0"


def resident() -> int:
    """Bytes of this process in memory."""
    gc.collect()
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) * 1024


class Crowd:
    """Pages of client ids of their own, each with a socket and a parked poll."""

    def __init__(self, broker: EmbeddedBroker) -> None:
        self.broker = broker
        self.client_ids: list[str] = []
        self.tokens: list[str] = []
        self.sockets: list[str] = []
        self.polls: list[Poll] = []

    def create(self, count: int) -> None:
        """A token for each."""
        self.client_ids = [f"client {number}" for number in range(count)]
        self.tokens = [self.broker.create_channel(client_id).token for client_id in self.client_ids]
        self._save()

    def open(self) -> None:
        """A socket for each."""
        for number, token in enumerate(self.tokens):
            self.sockets.append(self.broker.open(token, attempt=f"{number:016}", browser=BROWSER).socket)
        self._save()

    def park(self) -> None:
        """A poll for each."""
        self.polls = [self.poll(socket, 0) for socket in self.sockets]
        self._save()

    def poll(self, socket: str, after: int) -> Poll:
        """As a server has it: somebody waits for its signal."""
        poll = self.broker.poll(socket, after, BROWSER)
        poll.ready.when_set(_nothing)
        return poll

    def deliver(self) -> None:
        """Each page takes what waits for it, and polls again."""
        for number, poll in enumerate(self.polls):
            answer = self.broker.take(poll)
            for message in answer.messages:
                assert message.json
            self.broker.release(poll)
            self.polls[number] = self.poll(self.sockets[number], answer.next)

    def _save(self) -> None:
        while self.broker.take_changes():
            pass


def _nothing() -> None:
    """Where a server would wake."""


def measure_memory(report: Report) -> None:
    """Bytes of each page."""
    broker = EmbeddedBroker(SystemClock(), BrokerOptions(event_log=1), keep_changes=True)
    crowd = Crowd(broker)
    before, whole = resident(), 0.0
    steps: list[tuple[str, Callable[[], None], float]] = [
        ("token", lambda: crowd.create(PAGES), 1.3),
        ("socket, channel and timer", crowd.open, 2.1),
        ("parked poll", crowd.park, 0.3),
    ]
    for what, step, bar in steps:
        step()
        after = resident()
        figure = (after - before) / PAGES / 1024
        whole += figure
        report.row(f"memory of a page's {what}", figure, "KiB", bar)
        before = after
    report.row("memory of an idle page in the broker", whole, "KiB", 2)


def best(crowd: Crowd, send: Callable[[], None]) -> float:
    """Microseconds of CPU a message of `send`, deliveries apart."""
    costs = []
    for _ in range(RUNS):
        began = time.process_time()
        send()
        costs.append((time.process_time() - began) / SENDS * 1e6)
        crowd.deliver()
    return min(costs)


def measure_cpu(report: Report) -> None:
    """Microseconds of each message."""
    broker = EmbeddedBroker(SystemClock())
    crowd = Crowd(broker)
    crowd.create(SENDS)
    crowd.open()
    crowd.park()

    def one_by_one() -> None:
        for client_id in crowd.client_ids:
            broker.send_message(client_id, "a move of a game")

    single = best(crowd, one_by_one)
    many = best(crowd, lambda: broker.send_many(crowd.client_ids, "a move of a game") and None)
    report.row("a message of a call of its own", single, "us", 20)
    report.row("one of a call to many client ids", many, "us", 10)
    report.row("the second / the first", many / single, "", 0.5)

    def whole() -> None:
        one_by_one()
        crowd.deliver()

    report.row("a message from the send to the page's next poll", best(crowd, whole), "us", 40)


def main() -> int:
    """Print the table; 1 when a bar is missed."""
    parser(__doc__, "about half a minute").parse_args()
    report = Report()
    measure_memory(report)
    measure_cpu(report)
    return int(report.missed > 0)


if __name__ == "__main__":
    sys.exit(main())
