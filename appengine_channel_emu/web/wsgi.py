"""Requests and answers in the terms of WSGI (PEP 3333): what the server adds to a request, and a whole answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

SERVER_HINTS = "channel_emu.server"
"""The key in environ of `ServerHints`, which only a server of ours puts there."""


@dataclass(slots=True)
class ServerHints:
    """What a server of ours knows of a request, and WSGI has no place for."""

    peer: str | None = None
    """The address at the other end of the connection; a trusted proxy there rewrites REMOTE_ADDR."""
    overdue: bool = False
    """Whether the request has waited for one of the app's threads for too long."""
    when_sent: Callable[[Callable[[], None]], None] | None = None
    """Calls what it is given once the whole answer has been handed to the system, or its connection is lost. Without
    it an answer counts as sent when its body is closed."""


_NO_HINTS = ServerHints()


def server_hints(environ: WSGIEnvironment) -> ServerHints:
    """The hints in `environ`; empty ones from any other server, and in a test in process."""
    return environ.get(SERVER_HINTS, _NO_HINTS)  # type: ignore[no-any-return]


class Answer(NamedTuple):
    """A whole HTTP answer; `status` with its reason phrase, as clients compare it."""

    status: str
    headers: list[tuple[str, str]]
    body: bytes = b""


class ConnectionCut(BaseException):
    """Not an error: the connection is to be broken, without an answer, as a bad network would do it.

    A BaseException, so that no layer answers it; a server that does not know it has a failed request.
    """


def send(answer: Answer, start_response: StartResponse) -> list[bytes]:
    """Give an answer of ours, whose headers lack the Content-Length, to a WSGI server."""
    start_response(answer.status, [*answer.headers, ("Content-Length", str(len(answer.body)))])
    return [answer.body]


def capture(application: WSGIApplication, environ: WSGIEnvironment) -> Answer:
    """The whole answer of a WSGI application, with the headers that it gave, a Content-Length among them or not."""
    started: list[Any] = []
    written: list[bytes] = []

    def start(status: str, headers: list[tuple[str, str]], exc_info: object = None) -> Callable[[bytes], object]:
        started[:] = status, headers
        return written.append

    body = application(environ, start)
    try:
        chunks = list(body)
    finally:
        close(body)
    status, headers = started
    return Answer(status, headers, b"".join(written + chunks))


def close(body: Iterable[bytes]) -> None:
    """End a body, read or not."""
    close = getattr(body, "close", None)
    if close is not None:
        close()


def without_body(body: Iterable[bytes]) -> Iterable[bytes]:
    """What is sent in answer to HEAD, where `body` answers GET: its headers alone (RFC 9110, section 9.3.2)."""
    return _Unsent(body)


class _Unsent:
    """A body that is made, because that may make its headers too, and not sent."""

    def __init__(self, body: Iterable[bytes]) -> None:
        self._body = body

    def __iter__(self) -> Iterator[bytes]:
        for _ in self._body:
            pass
        return iter(())

    def close(self) -> None:
        close(self._body)
