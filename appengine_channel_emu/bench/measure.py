"""What is measured with open pages: delivery, fan-out, throughput."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable

from appengine_channel_emu.bench.pages import ANSWER_SECONDS, Api, Pages

Tell = Callable[[float], None]
"""Hears which share of the work is done, from 0 to 1."""

SENDERS = 4
IDS_A_CALL = 10_000


class Lost(Exception):
    """A message did not come within a minute."""


def _silent(share: float) -> None:
    pass


def deliver(pages: Pages, sends: int, tell: Tell = _silent) -> list[float]:
    """Milliseconds from the send call to the message's arrival, sorted; one message at a time, to random pages."""
    chance = random.Random(1)  # noqa: S311
    names = list(pages.by_client)
    times = []
    for number in range(sends):
        name = chance.choice(names)
        began = time.perf_counter()
        pages.api.post("/_emu/messages", {"client_id": name, "message": str(number)})
        while not any(page.client_id == name for page, _ in pages.turn(5)):
            _check(time.perf_counter() - began)
        times.append((time.perf_counter() - began) * 1000)
        tell((number + 1) / sends)
    return sorted(times)


def fan_out(pages: Pages, tell: Tell = _silent) -> float:
    """Messages per second when each page gets one of the same call."""
    names = list(pages.by_client)
    wanted = len(names)

    def send() -> None:
        api = Api(pages.url)
        for first in range(0, len(names), IDS_A_CALL):
            api.post("/_emu/messages", {"client_ids": names[first : first + IDS_A_CALL], "message": "all"})
        api.close()

    began = time.perf_counter()
    sender = threading.Thread(target=send, daemon=True)
    sender.start()
    while wanted > 0:
        wanted -= sum(len(messages) for _, messages in pages.turn(1))
        _check(time.perf_counter() - began)
        tell(1 - wanted / len(names))
    sender.join()
    return len(names) / (time.perf_counter() - began)


def throughput(pages: Pages, seconds: float, tell: Tell = _silent) -> float:
    """Messages per second, each sent by a call of its own, over a few connections at once; none may be lost."""
    stop = threading.Event()
    sent = [0] * SENDERS
    names = list(pages.by_client)

    def send(which: int) -> None:
        api = Api(pages.url)
        chance = random.Random(which)  # noqa: S311
        while not stop.is_set():
            api.post("/_emu/messages", {"client_id": chance.choice(names), "message": "one of many"})
            sent[which] += 1
        api.close()

    senders = [threading.Thread(target=send, args=(which,), daemon=True) for which in range(SENDERS)]
    began = time.perf_counter()
    for sender in senders:
        sender.start()
    received = 0
    while (passed := time.perf_counter() - began) < seconds:
        received += sum(len(messages) for _, messages in pages.turn(0.1))
        tell(passed / seconds)
    stop.set()
    while any(sender.is_alive() for sender in senders) or received < sum(sent):
        received += sum(len(messages) for _, messages in pages.turn(0.1))
        _check(time.perf_counter() - began - seconds)
    return received / (time.perf_counter() - began)


def percentile(times: list[float], share: float) -> float:
    """Of sorted `times`, the one that `share` of them (0 to 1) do not exceed."""
    return times[min(int(len(times) * share), len(times) - 1)]


def _check(seconds: float) -> None:
    if seconds > ANSWER_SECONDS:
        raise Lost(f"a message did not come within {ANSWER_SECONDS:g} s")
