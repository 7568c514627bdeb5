"""Faults on request of the whole service: each node knows all of them, and decides by itself what they happen to."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from dataclasses import asdict
from typing import Any

from appengine_channel_emu.broker.redis.asking import Asking
from appengine_channel_emu.broker.turn import Pending
from appengine_channel_emu.faults import BadFault, Fault, Faults, Target, parse_fault
from appengine_channel_emu.faults.faults import LARGEST_NUMBER, ActiveFault


class SharedFaults(Faults):
    """The faults in force at all nodes; `add`, `remove` and `clear` raise `Pending`.

    One that happens a number of times may happen once more at each node that meets it at the very same moment.
    """

    def __init__(self, note: Callable[[str, str, str | None], None], asking: Asking) -> None:
        super().__init__(note)
        self._asking = asking

    def add(self, fault: Fault | str) -> int:
        """See `Faults`; the number comes with the `Pending`."""
        fault = parse_fault(fault) if isinstance(fault, str) else fault
        text = json.dumps({name: value for name, value in asdict(fault).items() if value is not None})

        def told(found: Any) -> int:
            if not found[0]:
                raise BadFault(f"there are {LARGEST_NUMBER} faults already; remove some")
            self.load(found)
            return int(found[0])

        raise self._ask("add", text, told)

    def remove(self, number: int) -> bool:
        """See `Faults`."""

        def told(found: Any) -> bool:
            self.load(found)
            return bool(found[0])

        raise self._ask("remove", number, told)

    def clear(self) -> None:
        """See `Faults`."""
        raise self._ask("clear", "", self.load)

    def refresh(self) -> None:
        """Read those of the service."""
        self._asking.ask("faults", "list", "", LARGEST_NUMBER, self._asking.name(), told=self.load)

    def load(self, found: Any) -> None:
        """These are in force, as a script found them."""
        _, faults, happened = found
        times = {int(number): int(count) for number, count in _pairs(happened)}
        with self._lock:
            before, self._active = self._active, {}
            for number, text in sorted((int(number), text) for number, text in _pairs(faults)):
                active = before.get(number) or ActiveFault(Fault(**json.loads(text)))
                active.set_happened(times.get(number, 0))
                self._active[number] = active

    def _ask(self, what: str, about: str | int, told: Callable[[Any], Any]) -> Pending:
        return self._asking.ask_and_wait("faults", what, about, LARGEST_NUMBER, self._asking.name(), told=told)

    def _drawn(self, stage: str, target: Target, actions: Collection[str]) -> Fault | None:
        with self._lock:
            number, fault = self._draw(stage, target, actions)
        if number is not None:
            self._asking.ask("faults", "happen", number, LARGEST_NUMBER, self._asking.name(), told=self.load)
        return fault


def _pairs(flat: list[bytes]) -> list[tuple[bytes, bytes]]:
    return list(zip(flat[::2], flat[1::2], strict=True))
