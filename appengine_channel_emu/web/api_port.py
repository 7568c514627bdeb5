"""A port of its own for the server API, as the SDK's API server is one (facts.md 2.5)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from appengine_channel_emu.faults.gate import FaultGate
from appengine_channel_emu.web.api.rpc import RpcHttp, ServerApi
from appengine_channel_emu.web.guard import Guard, WebOptions
from appengine_channel_emu.web.wsgi import send, without_body

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


class ApiPort:
    """`RpcHttp` at every path, guarded as `/rpc_http` is."""

    def __init__(self, api: ServerApi, options: WebOptions, faults: FaultGate) -> None:
        self._guard = Guard(options, admin_everywhere=True)
        self._rpc_http = RpcHttp(api)
        self._faults = faults

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        is_head = environ.get("REQUEST_METHOD") == "HEAD"
        refusal = self._guard.refuse(environ)
        if refusal is not None:
            body: Iterable[bytes] = send(refusal, start_response)
        else:
            body = self._faults.call(self._rpc_http, environ, start_response, "api port")
        return without_body(body) if is_head else body
