"""The app under test, in the same process as its emulator."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import TYPE_CHECKING, Any

from appengine_channel_emu.host.backend import PRESENCE_ADDRESS, AppAnswer, AppDescription, Serves
from appengine_channel_emu.host.errors import HandlerRaised
from appengine_channel_emu.testing.server_api import route_api_to
from appengine_channel_emu.testing.shown import named_shortly, start_at_the_app
from appengine_channel_emu.testing.transports import Transport
from appengine_channel_emu.web.wsgi import close

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

log = logging.getLogger("channel_emu.presence")

LONGEST_TEXT = 200
"""Characters that an event shows of what an exception says."""


@named_shortly
class PresenceHandlerError(Exception):
    """The app's handler of `connected/` or `disconnected/` raised; `__cause__` is what it raised."""


class PresenceErrors(list[PresenceHandlerError]):
    """What the app's presence handlers have raised, oldest first. A test that means them to raise clears it."""

    _meant = False

    def clear(self) -> None:
        """Forget them; what comes after this, when the pages are closed, is logged alone."""
        super().clear()
        self._meant = True

    def raise_first(self) -> None:
        """Raise the first, if there is one and nobody has cleared them, and begin anew."""
        __tracebackhide__ = True
        errors, meant = list(self), self._meant
        super().clear()
        self._meant = False
        if errors and not meant:
            if errors[1:]:
                errors[0].args = (f"{errors[0]} ({len(errors) - 1} more in the log)",)
            raise errors[0]


class Routed:
    """`app`, whose calls of the Channel API during a request go through `transport`."""

    def __init__(self, app: WSGIApplication, transport: Transport) -> None:
        self._app = app
        self._transport = transport

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request."""
        with route_api_to(self._transport):
            body = self._app(environ, start_response)
        return body if isinstance(body, (list, tuple)) else _RoutedBody(body, self._transport)


class _RoutedBody:
    """A body that is made while it is read."""

    def __init__(self, body: Iterable[bytes], transport: Transport) -> None:
        self._body = body
        self._transport = transport

    def __iter__(self) -> Iterator[bytes]:
        chunks: Iterator[bytes] | None = None
        while True:
            # Not across the yield: whoever reads goes on with calls of their own.
            with route_api_to(self._transport):
                chunks = iter(self._body) if chunks is None else chunks
                chunk = next(chunks, None)
            if chunk is None:
                return
            yield chunk

    def close(self) -> None:
        """See PEP 3333."""
        with route_api_to(self._transport):
            close(self._body)


class CalledApp:
    """`app` as the front asks it."""

    def __init__(self, app: WSGIApplication) -> None:
        self._app = app

    def serve(self, environ: WSGIEnvironment, request_id: str | None) -> AppAnswer:
        """See `Backend`. The app runs up to its first words; the rest of its body is made while it is read."""
        answer = AppAnswer("", [])
        chunks: list[bytes] = []

        def start_response(status: str, headers: list[tuple[str, str]], exc_info: object = None, /) -> Any:
            answer.status, answer.headers = status, headers
            return chunks.append

        body = self._app(environ, start_response)
        answer.body = _Body(chunks, body)
        try:
            rest = iter(body)
            answer.body = _Body(chain(chunks, rest), body)
            while not any(chunks) and (chunk := next(rest, None)) is not None:
                chunks.append(chunk)
            if not answer.status:
                raise RuntimeError("The app has ended without a call of start_response.")
        except BaseException:
            answer.close()
            raise
        return answer


class _Body:
    """`chunks`, of a body that is closed when they are done with."""

    def __init__(self, chunks: Iterable[bytes], body: Iterable[bytes]) -> None:
        self._chunks = chunks
        self._body = body

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._chunks)

    def close(self) -> None:
        """See PEP 3333."""
        close(self._body)


class AppInProcess:
    """The backend of an app in this process, which `app` serves."""

    takes_presence = True
    presence_hint = None
    looks_for_app = False
    description = AppDescription("app in process", "")

    def __init__(self, app: Serves) -> None:
        self._app = app
        self.errors = PresenceErrors()

    def share_sign_in(self, service: str, key: Callable[[], bytes]) -> None:
        """See `Backend`."""

    def start(self) -> None:
        """See `Backend`."""

    def stop(self) -> None:
        """See `Backend`."""

    def why_unreachable(self) -> None:
        """See `Backend`."""

    def serve(self, environ: WSGIEnvironment, request_id: str | None) -> AppAnswer:
        """See `Backend`."""
        return self._app.serve(environ, request_id)

    def post(self, path: str, body: bytes, content_type: str, timeout: float) -> int:
        """POST to the app as the platform did. Raises `HandlerRaised`, and keeps in `errors` what the app raised."""
        try:
            answer = self._app.serve(_environ(path, body, content_type), None)
            answer.read()
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # DeadlineExceededError, pytest.fail and sys.exit are no Exception
            start_at_the_app(error)
            what = f"The app's handler of {path} raised {type(error).__name__}: {error}"
            log.error("%s", what, exc_info=error)
            raised = PresenceHandlerError(what)
            raised.__cause__ = error
            self.errors.append(raised)
            raise HandlerRaised(f"The app's handler raised {_shown(error)}.") from error
        return int(answer.status[:3])


def _shown(error: BaseException) -> str:
    """Its type, and the first line of what it says."""
    first = (str(error).splitlines() or [""])[0][:LONGEST_TEXT].rstrip(".")
    return f"{type(error).__name__}: {first}" if first else type(error).__name__


def _environ(path: str, body: bytes, content_type: str) -> WSGIEnvironment:
    return {
        "REQUEST_METHOD": "POST",
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": "",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": "localhost",
        "REMOTE_ADDR": PRESENCE_ADDRESS,
        "CONTENT_TYPE": content_type,
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
