"""A path that is the app's if it wants it, and ours otherwise."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from appengine_channel_emu.host.backend import AppAnswer, Serves
from appengine_channel_emu.web.rpc import LARGEST_CALL, RpcHttp

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment


class FallbackFor404:
    """The app, except that `ours` answers where the app says 404 to `path`.

    Asking the app is the only way to know that holds for every app: there need not be an app.yaml to read.
    """

    def __init__(self, app: Serves, path: str, ours: RpcHttp) -> None:
        self._app = app
        self._path = path
        self._ours = ours

    def serve(self, environ: WSGIEnvironment, request_id: str | None) -> AppAnswer:
        """See `Backend`; a request to `path` is kept, so that it can be asked twice."""
        if environ.get("PATH_INFO") != self._path:
            return self._app.serve(environ, request_id)
        length = int(environ.get("CONTENT_LENGTH") or 0)
        if length > LARGEST_CALL:
            # Ours would not take it; the app may.
            return self._app.serve(environ, request_id)
        body = environ["wsgi.input"].read(length)
        environ["wsgi.input"] = io.BytesIO(body)
        answer = self._app.serve(environ, request_id)
        if not answer.status.startswith("404"):
            return answer
        answer.close()
        environ["wsgi.input"] = io.BytesIO(body)
        status, headers, text = self._ours.answer(environ)
        return AppAnswer(status, [*headers, ("Content-Length", str(len(text)))], [text], answer.cpu_seconds)
