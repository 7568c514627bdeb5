"""The app's `google.appengine.api.channel`, in the same process as the emulator."""

from __future__ import annotations

import importlib
import json
import sys
from typing import Any

from appengine_channel_emu.locations import COMPAT_PATH
from appengine_channel_emu.testing.transports import Transport


def lead_server_api(transport: Transport) -> None:
    """Make the module importable where no SDK has it, and let its calls go through `transport`.

    An SDK's own library, if there is one, is left as it is: it calls whatever service its test has set up.
    """
    if str(COMPAT_PATH) not in sys.path:
        sys.path.append(str(COMPAT_PATH))
    importlib.import_module("channel_emu_shim").install()
    module: Any = importlib.import_module("google.appengine.api.channel.channel")

    def ask(path: str, request: dict[str, Any]) -> tuple[int, Any]:
        reply = transport.request("POST", path, {}, json.dumps(request).encode("ascii"))
        body = reply.body.decode("utf-8")
        return reply.status, json.loads(body) if body.startswith("{") else body

    if hasattr(module, "transport"):
        module.transport = ask
