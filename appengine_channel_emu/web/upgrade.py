"""An answer that makes its connection a WebSocket (RFC 6455), and what is then spoken over it.

The contract. The application returns an `Upgrade` without having called `start_response`, where the server has said in
its hints that it can do this (`ServerHints.upgrades`), and nowhere else. The server's middleware raises `Upgraded` with
it, which unwinds whatever serves requests; one that had to be waited for is raised by the iteration of the `Waiting`
that the application has returned instead. The server sends `101 Switching Protocols` with `headers` and gives the
connection to `page`: it calls `opened`, then `outgoing`, and `left` in the end. `close` is for an upgrade whose client
vanished before that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Protocol

from wsproto.utilities import generate_accept_token

from appengine_channel_emu.web.wsgi import Answer, ConnectionCut, plain_answer, send

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse

VERSION = "13"
"""The version of the protocol, the only one that there is (RFC 6455, section 4.4)."""


class Closing(Exception):
    """The stream ends with a close frame of this code (RFC 6455, section 7.4) and reason (at most 123 bytes)."""

    def __init__(self, code: int, reason: str = "") -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason


class FrameCut(ConnectionCut):
    """The connection is to be broken in the middle of a frame: of that of `text` the first half goes out."""

    def __init__(self, text: bytes) -> None:
        super().__init__()
        self.text = text


class WebSocketPage(Protocol):
    """The page at the other end of a WebSocket. Never called by two threads at once, nor after `left`."""

    def opened(self, wake: Callable[[], None]) -> None:
        """The 101 is out, and `outgoing` is to be called at once.

        `wake()`, called from any thread, asks for `outgoing` soon; calls coalesce. On the thread that serves the
        connection it may call that before it returns, and `left`; it is never called while `outgoing` is iterated.
        """

    def outgoing(self) -> Iterable[bytes]:
        """What is to be sent now: JSON in UTF-8, each one a text frame.

        Raises `Closing` behind the last of a stream, or `ConnectionCut` (also as `FrameCut`) where the connection is
        to be broken without a close frame; both only while it is iterated.
        """

    def received(self, text: str) -> None:
        """One text message of the page's. Raises `Closing` for what makes no sense."""

    def heartbeat(self) -> bytes | None:
        """What to send when there was nothing else for a while, and what the page answers to; None: stay silent."""

    def left(self) -> None:
        """The connection has ended, in whatever way; further calls do nothing."""


class Upgrade:
    """A WSGI body like `Waiting`. `key` is that of the client's handshake (`Sec-WebSocket-Key`)."""

    def __init__(self, key: str, page: WebSocketPage) -> None:
        self.page = page
        self.headers = [
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Accept", generate_accept_token(key.encode("ascii")).decode("ascii")),
        ]
        """Those of the 101."""
        self._start_response: StartResponse | None = None

    def begin(self, start_response: StartResponse) -> None:
        """Tell it where an answer goes, should no server take it as what it is."""
        self._start_response = start_response

    def __iter__(self) -> Iterator[bytes]:
        """Refuse, on a server that does not know what this is."""
        self.close()
        assert self._start_response is not None
        yield from send(no_upgrade("This server cannot make a connection a WebSocket."), self._start_response)

    def change(self, change: Callable[[Answer], Answer]) -> None:
        """Let its headers go through `change`, which may raise what is to happen instead."""
        try:
            self.headers = change(Answer("101 Switching Protocols", self.headers)).headers
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """The connection will not be one."""
        self.page.left()


class Upgraded(BaseException):
    """Raised instead of an answer, with the `Upgrade` that the connection is to have; no layer answers it."""

    def __init__(self, upgrade: Upgrade) -> None:
        super().__init__()
        self.upgrade = upgrade


def no_upgrade(text: str) -> Answer:
    """The refusal of a request that could have been one for a WebSocket, and is not, or not here (RFC 9110, 15.5.22).

    It should name the protocol in the header Upgrade, which WSGI does not let an application send (PEP 3333).
    """
    return plain_answer("426 Upgrade Required", text, ("Sec-WebSocket-Version", VERSION))
