"""Which emulator the app's `google.appengine.api.channel` asks, where apps and emulators share a process.

A call that comes from a request that an emulator serves, or from one of its presence posts, asks that emulator, however
many there are. Any other call asks the one that is in use; where two are, it is refused.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import json
import sys
import threading
import weakref
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

from appengine_channel_emu.environment import WhileNeeded, importable
from appengine_channel_emu.testing.transports import EmulatorAway, Transport

_MODULE = "google.appengine.api.channel.channel"

_routed: ContextVar[Transport | None] = ContextVar("channel_emu_routed", default=None)


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
        # Reentrant: the garbage collector may end what is in use.
        self._lock = threading.RLock()
        self._all: list[tuple[weakref.ref[Transport], bool]] = []
        self._latest: Transport | None = None
        """Kept alive: from its making on, an emulator is asked until another is made."""
        self._held = False

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

    def hold(self, held: bool) -> bool:
        """Note whether the module is routed for those that were only made, while there is one; if that is new."""
        with self._lock:
            changes = self._held is not held and (held or self._latest is None)
            if changes:
                self._held = held
            return changes

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


class _Switch:
    """Instead of the module's `transport`, which is asked where no emulator is in use."""

    def __init__(self, former: Any, failed: type[Exception]) -> None:
        self._former = former
        self._failed = failed

    def __call__(self, path: str, request: dict[str, Any]) -> tuple[int, Any]:
        """See the function of that name."""
        transport = _routed.get() or in_use.one()
        if transport is None:
            answer: tuple[int, Any] = self._former(path, request)
            return answer
        try:
            reply = transport.request("POST", path, {}, json.dumps(request).encode("ascii"))
        except EmulatorAway as error:
            raise self._failed(str(error)) from error
        body = reply.body.decode("utf-8")
        return reply.status, json.loads(body) if body.startswith("{") else body

    def take_out(self, module: Any) -> None:
        """Put back what was there, unless somebody has put another there since."""
        if module.transport is self:
            module.transport = self._former


def _route(undo: contextlib.ExitStack) -> None:
    """The module finds its emulator while somebody needs it; at the end all is as it was.

    A `transport` that a test has put into the module stays, and so does an SDK's own library, if there is one: it calls
    whatever service its test has set up.
    """
    undo.enter_context(importable())
    module: Any = importlib.import_module(_MODULE)
    if getattr(getattr(module, "transport", None), "__globals__", None) is vars(module):
        switch = _Switch(module.transport, module.apiproxy_errors.RPCFailedError)
        undo.callback(switch.take_out, module)
        module.transport = switch


_routing = WhileNeeded(_route)


def made(transport: Transport) -> None:
    """`transport` leads to an emulator that was made, but not entered.

    Where the module can be imported, calls of it reach that emulator, until another is made or this one is `left`.
    """
    in_use.add(transport, entered=False)
    if _is_importable() and in_use.hold(True):
        _routing.__enter__()


def left(transport: Transport) -> None:
    """The emulator that `transport` leads to is not in use any more; idempotent."""
    in_use.remove(transport)
    if in_use.hold(False):
        _routing.__exit__()


def _is_importable() -> bool:
    try:
        # What a test has put there may have no spec.
        return sys.modules.get(_MODULE) is not None or importlib.util.find_spec(_MODULE) is not None
    except ImportError:
        return False


@contextlib.contextmanager
def using(transport: Transport) -> Iterator[None]:
    """While it lasts, the module can be imported, and the emulator behind `transport` is in use."""
    with _routing:
        in_use.add(transport, entered=True)
        try:
            yield
        finally:
            left(transport)


@contextlib.contextmanager
def route_api_to(transport: Transport) -> Iterator[None]:
    """While it lasts, the calls of this thread (or of this task) go through `transport`."""
    with _routing:
        token = _routed.set(transport)
        try:
            yield
        finally:
            _routed.reset(token)
