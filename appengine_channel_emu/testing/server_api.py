"""Which emulator the app's `google.appengine.api.channel` asks, where apps and emulators share a process.

A call that comes from a request that an emulator serves, or from one of its presence posts, asks that emulator, however
many there are. Any other call asks the one that is in use; where two are, it is refused.
"""

from __future__ import annotations

import importlib
import json
import sys
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from appengine_channel_emu.environment import COMPAT_PATH
from appengine_channel_emu.testing.transports import EmulatorAway, Transport

_leading: ContextVar[Transport | None] = ContextVar("channel_emu_leading", default=None)


class AmbiguousEmulator(RuntimeError):
    """Two emulators are in use in this process, and a call of the Channel API does not say which it means."""

    def __init__(self) -> None:
        super().__init__(
            "Two emulators are in use in this process, and the Channel API was called outside of their requests, so it "
            "is not known which of them is meant. Make the call within `with emulator.leading():`, or use the "
            "emulator's own create_channel and send_message. (A thread that a handler starts is outside of its "
            "request, too.)"
        )


class _InUse:
    """The emulators of this process: those in a `with` block, and those that were only made."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._all: list[tuple[weakref.ref[Transport], bool]] = []
        self._latest: Transport | None = None
        """Kept alive: from its making on, an emulator is asked until another is made."""

    def add(self, transport: Transport, entered: bool) -> None:
        """`transport` leads to an emulator that was made, or `entered`; nothing changes for one that was entered."""
        with self._lock:
            if (weakref.ref(transport), True) not in self._all:
                self._drop(transport)
                self._all.append((weakref.ref(transport), entered))
                self._latest = transport

    def remove(self, transport: Transport) -> None:
        """It is not in use any more, whatever came after it."""
        with self._lock:
            self._drop(transport)

    def one(self) -> Transport | None:
        """The one that is in use, if any. Raises `AmbiguousEmulator`.

        An emulator that nobody entered has no end that could be known: of those the latest counts, and only if it was
        made after the one that was entered.
        """
        with self._lock:
            alive = [(found, entered) for each, entered in self._all if (found := each()) is not None]
        entered = [found for found, was_entered in alive if was_entered]
        if len(entered) > 1 or (entered and alive[-1][0] is not entered[0]):
            raise AmbiguousEmulator
        return alive[-1][0] if alive else None

    def _drop(self, transport: Transport) -> None:
        self._all = [each for each in self._all if each[0]() not in (None, transport)]
        if self._latest is transport:
            self._latest = self._all[-1][0]() if self._all else None


in_use = _InUse()


def make_importable() -> None:
    """Let apps import the module where no SDK has it."""
    if str(COMPAT_PATH) not in sys.path:
        sys.path.append(str(COMPAT_PATH))
    importlib.import_module("channel_emu_shim").install()


@contextmanager
def leading(transport: Transport) -> Iterator[None]:
    """While it lasts, the calls of this thread (or of this task) go through `transport`."""
    route_calls()
    token = _leading.set(transport)
    try:
        yield
    finally:
        _leading.reset(token)


@contextmanager
def using(transport: Transport) -> Iterator[None]:
    """While it lasts, the emulator behind `transport` is in use."""
    route_calls()
    in_use.add(transport, entered=True)
    try:
        yield
    finally:
        in_use.remove(transport)


def route_calls() -> None:
    """Let the module's calls find their emulator. A `transport` that a test has put there stays, until it is undone.

    An SDK's own library, if there is one, is left as it is: it calls whatever service its test has set up.
    """
    make_importable()
    module: Any = importlib.import_module("google.appengine.api.channel.channel")
    if getattr(getattr(module, "transport", None), "__globals__", None) is vars(module):
        module.transport = _Switch(module.transport, module.apiproxy_errors.RPCFailedError)


class _Switch:
    """In place of the module's `transport`, which is asked where no emulator is in use."""

    def __init__(self, former: Any, failed: type[Exception]) -> None:
        self._former = former
        self._failed = failed

    def __call__(self, path: str, request: dict[str, Any]) -> tuple[int, Any]:
        """See the function of that name."""
        transport = _leading.get() or in_use.one()
        if transport is None:
            answer: tuple[int, Any] = self._former(path, request)
            return answer
        try:
            reply = transport.request("POST", path, {}, json.dumps(request).encode("ascii"))
        except EmulatorAway as error:
            raise self._failed(str(error)) from error
        body = reply.body.decode("utf-8")
        return reply.status, json.loads(body) if body.startswith("{") else body


make_importable()
