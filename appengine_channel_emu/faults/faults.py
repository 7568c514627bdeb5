"""Faults on request: what goes wrong, at which stage, how often (behaviour.md 10). Knows nothing of broker or wire.

Written as text, for a header, a setting or a command line: `STAGE ACTION [name=value …]`, for example
`poll cut probability=0.2`, `create error error=INTERNAL_ERROR count=1 client_id=anna` or `app delay path=/updates`.

| action | what happens |
| --- | --- |
| delay | the request waits for `seconds` before anything is done about it |
| error | it is refused with `error`, and nothing is done |
| drop | it is lost: nothing is done, and its connection breaks (send: it succeeds, and the message is lost) |
| cut | it is done, and its connection breaks before the answer |
| duplicate | it is done twice (poll: its answer arrives twice) |

At the stage stream the request is the one for a WebSocket. What goes over it meets the faults of the stage poll: a
frame with messages is late, refused, lost with its connection, cut in its middle, or sent twice.
"""

from __future__ import annotations

import random
import shlex
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass
from threading import Lock
from typing import Any

from appengine_channel_emu.hints import nearest

STAGES = ("create", "send", "open", "poll", "stream", "presence", "rpc", "app")
ACTIONS = ("delay", "error", "drop", "cut", "duplicate")

CHANNEL_ERRORS = (
    "INTERNAL_ERROR",
    "INVALID_CHANNEL_KEY",
    "BAD_MESSAGE",
    "INVALID_CHANNEL_TOKEN_DURATION",
    "APPID_ALIAS_REQUIRED",
)
"""The Channel API's own (facts.md 1.5): for create and send."""

TOKEN_ERRORS = ("Token+timed+out.", "Invalid+token.")
"""The 401s, for open, poll and stream."""

STATUSES = tuple(str(status) for status in range(400, 600))
"""HTTP statuses, for all stages but create and send."""

LONGEST_DELAY = 60.0
LARGEST_NUMBER = 100


class BadFault(ValueError):
    """A fault that makes no sense; the text says why, and what there is."""


@dataclass(frozen=True, slots=True)
class Target:
    """What a request is about: client ids, and the path where it is the app's."""

    client_ids: Collection[str] = ()
    path: str = ""


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind of problem. Raises `BadFault` where its parts do not go together.

    `seconds` is for delay (1 if not given), `error` for error (the stage's usual one if not given); `probability`
    from 0 to 1; `count` is how often it may still happen (None: always). `client_id` limits it to one client; `path`,
    at the stage app, to one path, or with a `*` at its end to those that begin so.
    """

    stage: str
    action: str
    seconds: float | None = None
    error: str | None = None
    probability: float = 1.0
    count: int | None = None
    client_id: str | None = None
    path: str | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        _require_one("stage", self.stage, STAGES)
        _require_one("action", self.action, ACTIONS)
        self._check_seconds()
        self._check_error()
        _require(0 <= self.probability <= 1, "a probability is a number from 0 to 1")
        _require(self.count is None or 1 <= self.count <= 10**9, "a count is 1 or more")
        app = self.stage == "app"
        _require(self.client_id is None or not app, "requests at app belong to no client id; use path=/…")
        _require(self.path is None or app, f"path= is for app; requests at {self.stage} can be told by client_id=")
        _require(self.path is None or self.path.startswith("/"), "a path begins with /")

    def _check_seconds(self) -> None:
        _require(self.seconds is None or self.action == "delay", f"seconds= is for delay, not for {self.action}")
        if self.action == "delay" and self.seconds is None:
            object.__setattr__(self, "seconds", 1.0)
        _require(
            self.seconds is None or 0 <= self.seconds <= LONGEST_DELAY, f"a delay has 0 to {LONGEST_DELAY:g} seconds"
        )

    def _check_error(self) -> None:
        _require(self.error is None or self.action == "error", f"error= is for error, not for {self.action}")
        named, by_status = _errors(self.stage)
        if self.action == "error" and self.error is None:
            object.__setattr__(self, "error", (*named, "500")[0])
        there_are = [*named, "a status from 400 to 599"] if by_status else [*named]
        known = self.error is None or self.error in named or (by_status and self.error in STATUSES)
        _require(known, f"an error at {self.stage} is {'one of ' if named else ''}{', '.join(there_are)}")

    def concerns(self, target: Target) -> bool:
        """Whether it is meant for requests about `target`."""
        if self.path is not None and self.path.endswith("*"):
            return target.path.startswith(self.path[:-1])
        return self.client_id in (None, *target.client_ids) and self.path in (None, target.path)


FIELDS: dict[str, Callable[[str], Any]] = {
    "seconds": float,
    "error": str,
    "probability": float,
    "count": int,
    "client_id": str,
    "path": str,
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
            there_are = ", ".join(f"{each}=…" for each in FIELDS)
            raise BadFault(f"{word!r} is not known; there are {there_are}{nearest(name, FIELDS)}")
        try:
            values[name] = FIELDS[name](value)
        except ValueError:
            raise BadFault(f"{name}={value} is not a number") from None
    return Fault(words[0], words[1], **values)


def parse_fault_of_one_request(text: str) -> Fault:
    """The fault that `text` asks for, for the request that carries it; raises `BadFault`."""
    fault = parse_fault(text)
    plain = Fault(fault.stage, fault.action, fault.seconds, fault.error)
    _require(fault.stage != "presence", "a presence post is the emulator's own: no request can ask for it to go wrong")
    _require(fault == plain, "a fault of one request takes seconds= or error= and nothing else")
    return fault


class Faults:
    """The faults in force. `note(kind, text, client_id)` is told of each that happens; any thread may call."""

    def __init__(self, note: Callable[[str, str, str | None], None] = lambda kind, text, client_id: None) -> None:
        self._note = note
        self._lock = Lock()
        self._number = 0
        self._active: dict[int, ActiveFault] = {}

    def __bool__(self) -> bool:
        return bool(self._active) or _of_this_request.get()[0] is self

    @contextmanager
    def asked(self, fault: Fault | None) -> Iterator[None]:
        """While it lasts, the request that this thread serves meets `fault`, once, and no other of an outer request."""
        before = _of_this_request.set((self, fault))
        try:
            yield
        finally:
            _of_this_request.reset(before)

    def add(self, fault: Fault | str) -> int:
        """Put a fault, or its text, in force; returns its number. Raises `BadFault`."""
        fault = parse_fault(fault) if isinstance(fault, str) else fault
        with self._lock:
            if len(self._active) >= LARGEST_NUMBER:
                raise BadFault(f"there are {LARGEST_NUMBER} faults already; remove some")
            self._number += 1
            self._active[self._number] = ActiveFault(fault)
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

    def pick(self, stage: str, target: Target, actions: Collection[str] = ACTIONS) -> Fault | None:
        """The fault that happens to this request, if one does."""
        if not self:
            return None
        fault = self._taken(stage, actions) or self._drawn(stage, target, actions)
        if fault is not None:
            client_id = fault.client_id or next(iter(target.client_ids), None)
            self._note("fault", f"A fault on request: {fault.stage} {fault.action}.", client_id and client_id[:256])
        return fault

    def _asked(self) -> Fault | None:
        faults, fault = _of_this_request.get()
        return fault if faults is self else None

    def _taken(self, stage: str, actions: Collection[str]) -> Fault | None:
        fault = self._asked()
        if fault is None or fault.stage != stage or fault.action not in actions:
            return None
        _of_this_request.set((self, None))
        return fault

    def _drawn(self, stage: str, target: Target, actions: Collection[str]) -> Fault | None:
        with self._lock:
            return self._draw(stage, target, actions)[1]

    def _draw(self, stage: str, target: Target, actions: Collection[str]) -> tuple[int | None, Fault | None]:
        """The fault that happens, with its number. Under the lock."""
        for number, active in self._active.items():
            fault = active.fault
            if fault.stage == stage and fault.action in actions and active.happens(target):
                if active.left == 0:
                    del self._active[number]
                return number, fault
        return None, None


class ActiveFault:
    """A fault in force, with how often it has happened and may happen yet."""

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        self.left = fault.count
        self._happened = 0
        # Seeded by its user: the same requests meet the same faults again.
        self._random = random.Random(fault.seed)  # noqa: S311

    def happens(self, target: Target) -> bool:
        """Whether it does to this request; counts it."""
        if not self.fault.concerns(target) or self._random.random() >= self.fault.probability:
            return False
        self._happened += 1
        if self.left is not None:
            self.left -= 1
        return True

    def set_happened(self, times: int) -> None:
        """It has happened so often, at whatever node."""
        self._happened = times
        if self.fault.count is not None:
            self.left = max(0, self.fault.count - times)

    def described(self) -> dict[str, Any]:
        return asdict(self.fault) | {"count": self.left, "happened": self._happened}


_of_this_request: ContextVar[tuple[Faults | None, Fault | None]] = ContextVar("fault", default=(None, None))


def _errors(stage: str) -> tuple[tuple[str, ...], bool]:
    """The names of a stage's errors, the usual one first, and whether an HTTP status is one too."""
    if stage in ("create", "send"):
        return CHANNEL_ERRORS, False
    return (TOKEN_ERRORS if stage in ("open", "poll", "stream") else ()), True


def _require_one(what: str, word: str, known: Collection[str]) -> None:
    _require(word in known, f"a fault's {what} is one of {', '.join(known)}{nearest(word, known)}")


def _require(holds: bool, text: str) -> None:
    if not holds:
        raise BadFault(text)
