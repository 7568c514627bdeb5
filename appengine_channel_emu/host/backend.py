"""The app behind the front, as the rest of the emulator sees it.

The front answers what belongs to the Channel API and hands every other request to its backend. What stands behind
that (a process started by us, the SDK's dev server, an app that is running elsewhere) is the backend's own business.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


class CannotStart(Exception):
    """The app cannot be served at all; the text says why and what to do. The emulator ends with status 1."""


class BackendUnavailable(Exception):
    """The app cannot be reached, or took too long to answer an internal request; the text says which."""


class HandlerRaised(BackendUnavailable):
    """The app's handler of an internal request raised, which counts as a status 500; the text says what it raised."""


class Backend(Protocol):
    """One app, served to visitors as a plain WSGI application and to the emulator by internal posts.

    While it serves a request a backend may leave in the environ:

    ``channel_emu.cpu_seconds``
        float, the CPU time that the app's handler used, where it is known.
    ``channel_emu.cut``
        bool, whether the request was ended at its deadline.

    It finds there, where what the app sends is to be told from what others send:

    ``channel_emu.request_id``
        str, what names this request in the app's calls of the server API: `X-AppEngine-API-Ticket`.

    One that knows which inbound services its app asks for also has two attributes:

    ``takes_presence``
        bool, whether the app is to be told of clients that connect and disconnect; without the attribute it is.
    ``presence_hint``
        str or None, what to tell the user when a client connects and the app is not told.

    One whose app may come and go without it has a method:

    ``why_unreachable()``
        str or None, why the app cannot be reached now. It may take a second.
    """

    def start(self) -> None:
        """Returns when the app can be served. Raises `CannotStart`."""

    def stop(self) -> None:
        """Ends the app and everything it started; may be called several times, and without `start`."""

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Serves one request of a visitor."""

    def post(self, path: str, body: bytes, content_type: str, timeout: float) -> int:
        """Posts to the app on the emulator's own behalf (presence) and returns the status of its answer.

        `path` is the raw request target, `timeout` is in seconds. Raises `BackendUnavailable`.
        """
