"""A port of its own for the server API, as the SDK's API server is one (facts.md 2.5)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import falcon

from appengine_channel_emu.web.app import CommonHeaders, send
from appengine_channel_emu.web.errors import add_error_handlers
from appengine_channel_emu.web.guard import Guard
from appengine_channel_emu.web.options import WebOptions
from appengine_channel_emu.web.rpc import RpcHttp, ServerApi

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


class ApiPort:
    """`POST` a call to any path, `GET` any path for the app's id; guarded as `/rpc_http` is."""

    def __init__(self, api: ServerApi, options: WebOptions) -> None:
        self._guard = Guard(options, admin_everywhere=True)
        self._falcon: falcon.App[Any, Any] = falcon.App(middleware=[CommonHeaders()])
        add_error_handlers(self._falcon)
        resource = RpcHttp(api)
        for path in ("/", "/{path:path}"):
            self._falcon.add_route(path, resource)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        refusal = self._guard.refuse(environ)
        if refusal is not None:
            return send(refusal, start_response)
        return self._falcon(environ, start_response)  # type: ignore[arg-type]  # falcon's own, narrower type
