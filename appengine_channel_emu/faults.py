"""Faults on request: what goes wrong, at which stage, how often (behaviour.md 10). Knows nothing of broker or wire.

Written as text, for a header, a setting or a command line: `STAGE ACTION [name=value …]`, for example
`poll cut probability=0.2` or `create error error=INTERNAL_ERROR count=1 client_id=anna`.

| action | what happens |
| --- | --- |
| delay | the request waits for `seconds` before anything is done about it |
| error | it is refused with `error`, and nothing is done |
| drop | it is lost: nothing is done, and its connection breaks (send: it succeeds, and the message is lost) |
| cut | it is done, and its connection breaks before the answer |
| duplicate | it is done twice (poll: its answer arrives twice) |
"""

from __future__ import annotations

import random
import shlex
from collections.abc import Callable
from dataclasses import asdict, dataclass
from threading import Lock
from typing import Any

STAGES = ("create", "send", "open", "poll", "presence", "rpc", "app")
ACTIONS = ("delay", "error", "drop", "cut", "duplicate")

CHANNEL_ERRORS = {
    "INTERNAL_ERROR": 1,
    "INVALID_CHANNEL_KEY": 2,
    "BAD_MESSAGE": 3,
    "INVALID_CHANNEL_TOKEN_DURATION": 4,
    "APPID_ALIAS_REQUIRED": 5,
}
"""The Channel API's own (facts.md 1.5): for create and send."""

TOKEN_ERRORS = ("Token+timed+out.", "Invalid+token.")
"""The 401s, for open and poll."""

STATUSES = tuple(str(status) for status in range(400, 600))
"""HTTP statuses, for presence, rpc and app."""

LONGEST_DELAY = 60.0
LARGEST_NUMBER = 100


class BadFault(ValueError):
    """A fault that makes no sense; the text says why, and what there is."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind of trouble. Raises `BadFault` where its parts do not go together.

    `seconds` is for delay, `error` for error (the stage's usual one if it is empty); `probability` from 0 to 1;
    `count` is how often it may still happen (None: always); `client_id` limits it to one client.
    """

    stage: str
    action: str
    seconds: float = 1.0
    error: str = ""
    probability: float = 1.0
    count: int | None = None
    client_id: str | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        _require(self.stage in STAGES, f"a fault's stage is one of {', '.join(STAGES)}")
        _require(self.action in ACTIONS, f"a fault's action is one of {', '.join(ACTIONS)}")
        _require(0 <= self.seconds <= LONGEST_DELAY, f"a delay has 0 to {LONGEST_DELAY:g} seconds")
        _require(0 <= self.probability <= 1, "a probability is a number from 0 to 1")
        _require(self.count is None or 1 <= self.count <= 10**9, "a count is 1 or more")
        known = _errors(self.stage)
        if self.action == "error" and not self.error:
            object.__setattr__(self, "error", "500" if known is STATUSES else known[0])
        listed = "a status from 400 to 599" if known is STATUSES else f"one of {', '.join(known)}"
        _require(not self.error or self.error in known, f"an error at {self.stage} is {listed}")
        by_id = self.client_id is None or self.stage not in ("rpc", "app")
        _require(by_id, f"requests at {self.stage} belong to no client id")


FIELDS: dict[str, Callable[[str], Any]] = {
    "seconds": float,
    "error": str,
    "probability": float,
    "count": int,
    "client_id": str,
    "seed": int,
}


def parse_fault(text: str) -> Fault:
    """The fault that `text` describes; raises `BadFault`."""
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise BadFault(f"{text!r} cannot be read: {error}") from None
    if len(words) < 2 or "=" in words[0] or "=" in words[1]:
        raise BadFault(f"{text!r} is no fault; write STAGE ACTION [name=value …], such as 'poll cut probability=0.2'")
    values: dict[str, Any] = {}
    for word in words[2:]:
        name, equals, value = word.partition("=")
        if not equals or name not in FIELDS:
            raise BadFault(f"{word!r} is not known; there are {', '.join(f'{each}=…' for each in FIELDS)}")
        try:
            values[name] = FIELDS[name](value)
        except ValueError:
            raise BadFault(f"{name}={value} is not a number") from None
    return Fault(words[0], words[1], **values)


class Faults:
    """The faults in force. `note(kind, text, client_id)` is told of each that happens; any thread may call."""

    def __init__(self, note: Callable[[str, str, str | None], None] = lambda kind, text, client_id: None) -> None:
        self._note = note
        self._lock = Lock()
        self._number = 0
        self._active: dict[int, _Active] = {}

    def __bool__(self) -> bool:
        return bool(self._active)

    def add(self, fault: Fault | str) -> int:
        """Put a fault, or its text, in force; returns its number. Raises `BadFault`."""
        fault = parse_fault(fault) if isinstance(fault, str) else fault
        with self._lock:
            if len(self._active) >= LARGEST_NUMBER:
                raise BadFault(f"there are {LARGEST_NUMBER} faults already; remove some")
            self._number += 1
            self._active[self._number] = _Active(fault)
            return self._number

    def remove(self, number: int) -> bool:
        """Take a fault away; whether there was one of that number."""
        with self._lock:
            return self._active.pop(number, None) is not None

    def clear(self) -> None:
        """Take all away."""
        with self._lock:
            self._active.clear()

    def listed(self) -> list[dict[str, Any]]:
        """Every fault with its `number`, how often it `happened`, and the `count` that is left."""
        with self._lock:
            return [{"number": number} | each.described() for number, each in self._active.items()]

    def pick(self, stage: str, client_id: Callable[[], str | None], actions: tuple[str, ...] = ACTIONS) -> Fault | None:
        """The fault that happens to this request, if one does."""
        if not self._active:
            return None
        who = client_id()
        with self._lock:
            for number, active in list(self._active.items()):
                fault = active.fault
                if fault.stage == stage and fault.action in actions and active.happens(who):
                    if active.left == 0:
                        del self._active[number]
                    break
            else:
                return None
        self.happened(fault, who)
        return fault

    def happened(self, fault: Fault, client_id: str | None) -> None:
        """Let the event log know of it."""
        self._note("fault", f"A fault on request: {fault.stage} {fault.action}.", client_id)


class _Active:
    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        self.left = fault.count
        self._happened = 0
        # Seeded by its user: the same requests meet the same trouble again.
        self._random = random.Random(fault.seed)  # noqa: S311

    def happens(self, client_id: str | None) -> bool:
        """Whether it does to this request; counts it."""
        if self.fault.client_id not in (None, client_id) or self._random.random() >= self.fault.probability:
            return False
        self._happened += 1
        if self.left is not None:
            self.left -= 1
        return True

    def described(self) -> dict[str, Any]:
        return asdict(self.fault) | {"count": self.left, "happened": self._happened}


def _errors(stage: str) -> tuple[str, ...]:
    if stage in ("create", "send"):
        return tuple(CHANNEL_ERRORS)
    return TOKEN_ERRORS if stage in ("open", "poll") else STATUSES


def _require(holds: bool, text: str) -> None:
    if not holds:
        raise BadFault(text)
