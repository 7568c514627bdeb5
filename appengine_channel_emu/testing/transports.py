"""How a test's client reaches the emulator: in process, or over HTTP."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlencode, urlsplit

import urllib3
from falcon import testing as falcon_testing

from appengine_channel_emu.hints import reason
from appengine_channel_emu.testing.shown import hide_where, named_shortly
from appengine_channel_emu.web.waiting import Waiting
from appengine_channel_emu.web.wsgi import ConnectionCut, close

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

ANSWER_SECONDS = 5.0
"""How long an emulator may take to answer, a parked poll's wait apart (behaviour.md 9)."""

PARKED_SECONDS = 25.0

AGENT = {"User-Agent": "channel-emu test client"}
"""A browser of its own: what a test's requests to the app lead to does not wait for their answers (behaviour.md 3)."""

IN_PROCESS = "the emulator in this process"


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole HTTP answer."""

    status: int
    reason: str
    body: bytes


@named_shortly
class EmulatorAway(ConnectionError):
    """No emulator answers at `url`; the text says why."""

    def __init__(self, url: str, cause: BaseException) -> None:
        super().__init__(f"No emulator answers at {url}: {reason(cause)}.")


_hidden = hide_where(EmulatorAway)


class Answerable(Protocol):
    """A request that may not be answered yet."""

    def result(self, timeout: float) -> Reply | None:
        """The answer, or None when there is none within `timeout` seconds."""

    def abandon(self) -> None:
        """Give it up, as a page does that vanishes."""


class Transport(Protocol):
    """Sends requests to an emulator."""

    def request(self, method: str, path: str, query: dict[str, Any], body: bytes | None = None) -> Reply:
        """Send a request, with `body` as JSON, and wait for its answer."""

    def start(self, path: str, query: dict[str, Any]) -> Answerable:
        """Send a GET whose answer may take long."""


class InProcess:
    """Calls a WSGI application. A poll that is not ready is kept, as a server of ours would park it."""

    def __init__(self, app: WSGIApplication) -> None:
        self._app = app

    def request(self, method: str, path: str, query: dict[str, Any], body: bytes | None = None) -> Reply:
        """See `Transport`."""
        reply = _PendingCall(self._app, method, path, query, body).result(60)
        assert reply is not None
        return reply

    def start(self, path: str, query: dict[str, Any]) -> Answerable:
        """See `Transport`."""
        return _PendingCall(self._app, "GET", path, query)


class _PendingCall:
    def __init__(
        self, app: WSGIApplication, method: str, path: str, query: dict[str, Any], body: bytes | None = None
    ) -> None:
        environ = falcon_testing.create_environ(
            path, urlencode(query), method=method, headers=_headers_of(body), body=body or b"", host="localhost"
        )
        self._start = falcon_testing.StartResponseMock()
        self._cut: ConnectionCut | None = None
        self._body: Iterable[bytes] = []
        try:
            self._body = app(environ, self._start)
        except ConnectionCut as cut:
            self._cut = cut

    def result(self, timeout: float) -> Reply | None:
        """See `Answerable`."""
        if self._cut is not None:
            raise EmulatorAway(IN_PROCESS, self._cut)
        body = self._body
        if isinstance(body, Waiting) and not body.ready:
            left = max(0.0, body.deadline - time.monotonic())
            if not body.wait(min(timeout, left)) and timeout < left:
                return None
        try:
            data = b"".join(body)
        except ConnectionCut as cut:
            raise EmulatorAway(IN_PROCESS, cut) from None
        finally:
            self.abandon()
        code, _, reason = (self._start.status or "500 ").partition(" ")
        return Reply(int(code), reason, data)

    def abandon(self) -> None:
        """See `Answerable`."""
        close(self._body)


class OverHTTP:
    """Speaks to a running emulator at `url`, `http://host:port`."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self._pool = urllib3.PoolManager(retries=False, maxsize=4)

    def request(self, method: str, path: str, query: dict[str, Any], body: bytes | None = None) -> Reply:
        """See `Transport`. Raises `EmulatorAway`."""
        __tracebackhide__ = _hidden
        headers = AGENT | _headers_of(body)
        target = f"{self.url}{path}?{urlencode(query)}"
        try:
            answer = self._pool.request(method, target, body=body, headers=headers, timeout=ANSWER_SECONDS)
        except urllib3.exceptions.HTTPError as error:
            raise EmulatorAway(self.url, error.__cause__ or error.__context__ or error) from None
        return Reply(answer.status, answer.reason or "", answer.data)

    def start(self, path: str, query: dict[str, Any]) -> Answerable:
        """See `Transport`: parked at the server, on a thread and a connection of its own."""
        return _ParkedPoll(self, path, query)


class _ParkedPoll:
    """A poll that stays at the server between the calls of a test, so that the page counts as there."""

    def __init__(self, transport: OverHTTP, path: str, query: dict[str, Any]) -> None:
        self._transport = transport
        self._path = path
        self._query = query
        self._connection = HTTPConnection(urlsplit(transport.url).netloc, timeout=PARKED_SECONDS + ANSWER_SECONDS)
        self._outcome: Reply | EmulatorAway | None = None
        self._arrived = threading.Event()
        self._abandoned = False
        threading.Thread(target=self._run, name="poll", daemon=True).start()

    def result(self, timeout: float) -> Reply | None:
        """See `Answerable`. What the server has by then is in it, however small `timeout`. Raises `EmulatorAway`."""
        if not self._arrived.wait(timeout):
            self._abandoned = True
            # A second poll takes over, and is answered with what there is.
            return self._transport.request("GET", self._path, self._query | {"wait": 0})
        self._connection.close()
        if isinstance(self._outcome, EmulatorAway):
            raise self._outcome
        return self._outcome

    def abandon(self) -> None:
        """See `Answerable`: the server sees the connection break."""
        self._abandoned = True
        with contextlib.suppress(OSError, AttributeError):
            self._connection.sock.shutdown(socket.SHUT_RDWR)

    def _run(self) -> None:
        while not self._abandoned:
            try:
                self._outcome = self._poll()
            except (OSError, HTTPException) as error:
                self._outcome = EmulatorAway(self._transport.url, error)
            if not (isinstance(self._outcome, Reply) and _is_empty(self._outcome)):
                break
        self._arrived.set()

    def _poll(self) -> Reply:
        target = f"{self._path}?{urlencode(self._query | {'wait': PARKED_SECONDS})}"
        if self._connection.sock is None:
            self._connection.connect()
        if self._abandoned:
            # It was, before there was a connection that could be broken.
            self._connection.close()
            raise ConnectionAbortedError
        self._connection.request("GET", target, headers=AGENT)
        answer = self._connection.getresponse()
        return Reply(answer.status, answer.reason, answer.read())


def _headers_of(body: bytes | None) -> dict[str, str]:
    return {} if body is None else {"Content-Type": "application/json"}


def _is_empty(reply: Reply) -> bool:
    return reply.status == 200 and not json.loads(reply.body)["messages"]
