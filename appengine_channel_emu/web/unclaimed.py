"""A path that is the app's if it wants it, and ours otherwise."""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from appengine_channel_emu.web.api.rpc import LARGEST_CALL

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


class Unclaimed:
    """The app, except that `ours` answers where the app says 404 to `path`.

    Asking the app is the only way to know that holds for every app: there need not be an app.yaml to read.
    """

    def __init__(self, app: WSGIApplication, path: str, ours: WSGIApplication) -> None:
        self._app = app
        self._path = path
        self._ours = ours

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request; one to `path` is kept, so that it can be asked twice."""
        if environ.get("PATH_INFO") != self._path:
            return self._app(environ, start_response)
        length = int(environ.get("CONTENT_LENGTH") or 0)
        if length > LARGEST_CALL:
            # Ours would not take it; the app may.
            return self._app(environ, start_response)
        body = environ["wsgi.input"].read(length)
        answer: list[Any] = []

        def hold(status: str, headers: list[tuple[str, str]], exc_info: object = None) -> Any:
            answer[:] = [status, headers]

        environ["wsgi.input"] = io.BytesIO(body)
        data = _read(self._app(environ, hold))
        status, headers = answer
        if not status.startswith("404"):
            start_response(status, headers)
            return [data]
        environ["wsgi.input"] = io.BytesIO(body)
        return self._ours(environ, start_response)


def _read(body: Iterable[bytes]) -> bytes:
    try:
        return b"".join(body)
    finally:
        close = getattr(body, "close", None)
        if close is not None:
            close()
