"""The app's `google.appengine.api.channel`, in the same process as the emulator."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from appengine_channel_emu.locations import COMPAT_PATH
from appengine_channel_emu.testing.transports import EmulatorAway, Transport


def make_importable() -> None:
    """Let apps import the module where no SDK has it."""
    if str(COMPAT_PATH) not in sys.path:
        sys.path.append(str(COMPAT_PATH))
    importlib.import_module("channel_emu_shim").install()


@contextmanager
def leading(transport: Transport) -> Iterator[None]:
    """While it lasts, the module's calls go through `transport`; after it where they went before."""
    before = lead_server_api(transport)
    try:
        yield
    finally:
        follow(before)


def follow(former: Any) -> None:
    """Let the module's calls go where they went before: `former` is what `lead_server_api` returned."""
    module: Any = importlib.import_module("google.appengine.api.channel.channel")
    if hasattr(module, "transport"):
        module.transport = former


def lead_server_api(transport: Transport) -> Any:
    """Let the module's calls go through `transport`; returns what they went through before.

    An SDK's own library, if there is one, is left as it is: it calls whatever service its test has set up.
    """
    make_importable()
    module: Any = importlib.import_module("google.appengine.api.channel.channel")

    def ask(path: str, request: dict[str, Any]) -> tuple[int, Any]:
        try:
            reply = transport.request("POST", path, {}, json.dumps(request).encode("ascii"))
        except EmulatorAway as error:
            raise module.apiproxy_errors.RPCFailedError(str(error)) from error
        body = reply.body.decode("utf-8")
        return reply.status, json.loads(body) if body.startswith("{") else body

    former = getattr(module, "transport", None)
    if hasattr(module, "transport"):
        module.transport = ask
    return former


make_importable()
