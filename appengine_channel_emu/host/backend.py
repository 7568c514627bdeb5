"""The app behind the front, as the rest of the emulator sees it: what it is asked, and what a visitor is answered.

The front answers what belongs to the Channel API and hands every other request to its backend. What stands behind that
(processes started by us, the SDK's dev server, an app that is running elsewhere) is the backend's own business.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

PRESENCE_ADDRESS = "0.1.0.10"
"""Where presence posts came from on the real servers (facts.md 5.1)."""

PYTHON3_APP = "Python 3 app"
"""The kind of app that is served by instances of ours."""

_BLOCK_BYTES = 64 * 1024
"""What of a file is read and passed on at a time."""


@dataclass(slots=True)
class AppAnswer:
    """What a visitor is answered in the app's name, by the app itself or, where it has no answer to give, by a page.

    status:      with its reason phrase, as WSGI has it.
    headers:     with the Content-Length, where there is to be one.
    body:        closed by `close`, read or not.
    cpu_seconds: of the app's handler, where that is known.
    cut:         whether the handler was ended at the request's deadline.
    """

    status: str
    headers: list[tuple[str, str]]
    body: Iterable[bytes] = ()
    cpu_seconds: float | None = None
    cut: bool = False

    def read(self) -> bytes:
        """The whole body, which is closed."""
        try:
            return b"".join(self.body)
        finally:
            self.close()

    def close(self) -> None:
        """Let go of the body."""
        close = getattr(self.body, "close", None)
        if close is not None:
            close()


class FileBody:
    """`length` bytes of a file from `first` on, in blocks; closed by the server when it is done."""

    def __init__(self, file: IO[bytes], first: int, length: int) -> None:
        self._file = file
        self._left = length
        file.seek(first)

    def __iter__(self) -> Iterator[bytes]:
        while self._left and (block := self._file.read(min(_BLOCK_BYTES, self._left))):
            self._left -= len(block)
            yield block

    def close(self) -> None:
        self._file.close()


@dataclass(frozen=True, slots=True)
class AppDescription:
    """What a backend says of its app, for people.

    kind:   in the words of behaviour.md 8, such as "Python 3 app".
    name:   what it was asked for by: `module:callable`, the path of its app.yaml, or the url where it runs.
    python: the version of the Python that runs it, and its path where that is not ours; None where it is not known.
    """

    kind: str
    name: str
    python: str | None = None


class Serves(Protocol):
    """The part of a backend that the front needs."""

    def serve(self, environ: WSGIEnvironment, request_id: str | None) -> AppAnswer:
        """Serves one request of a visitor.

        `request_id` names the request in the app's calls of the server API (`X-AppEngine-API-Ticket`), where what the
        app sends is to be told from what others send.
        """


class Backend(Serves, Protocol):
    """One app, served to visitors and, by internal posts, to the emulator."""

    @property
    def description(self) -> AppDescription:
        """What the app is."""

    @property
    def takes_presence(self) -> bool:
        """Whether the app asks to be told of clients that connect and disconnect."""

    @property
    def presence_hint(self) -> str | None:
        """What to tell the user when a client connects and the app is not told; None where that is as it should be."""

    @property
    def looks_for_app(self) -> bool:
        """Whether `why_unreachable` looks for the app, which may take a second."""

    def share_sign_in(self, service: str, key: Callable[[], bytes]) -> None:
        """Visitors are signed in at all emulators of `service`, which have `key`; to be called before `start`.

        Where the app, or the SDK, signs visitors in by itself this does nothing.
        """

    def start(self) -> None:
        """Returns when the app can be served. Raises `CannotStart`."""

    def stop(self) -> None:
        """Ends the app and everything it started; may be called several times, and without `start`."""

    def post(self, path: str, body: bytes, content_type: str, timeout: float) -> int:
        """Posts to the app on the emulator's own behalf (presence) and returns the status of its answer.

        `path` is the raw request target, `timeout` is in seconds. Raises a `RequestFailed`.
        """

    def why_unreachable(self) -> str | None:
        """Why the app cannot be reached now, where it may come and go without the emulator; None while it can."""
