"""How a test's client reaches the emulator: in process, or over HTTP."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlencode

import urllib3
from falcon import testing as falcon_testing

from appengine_channel_emu.web.waiting import Waiting

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole HTTP answer."""

    status: int
    reason: str
    body: bytes


class Pending(Protocol):
    """A request that may not be answered yet."""

    def result(self, timeout: float) -> Reply | None:
        """The answer, or None when there is none within `timeout` seconds."""

    def abandon(self) -> None:
        """Give it up, as a page does that vanishes."""


class Transport(Protocol):
    """Sends requests to an emulator."""

    def request(self, method: str, path: str, query: dict[str, Any], json: bytes | None = None) -> Reply:
        """Send a request and wait for its answer."""

    def start(self, path: str, query: dict[str, Any]) -> Pending:
        """Send a GET whose answer may take long."""


class InProcess:
    """Calls a WSGI application. A poll that is not ready is kept, as a server of ours would park it."""

    def __init__(self, app: WSGIApplication) -> None:
        self._app = app

    def request(self, method: str, path: str, query: dict[str, Any], json: bytes | None = None) -> Reply:
        """See `Transport`."""
        headers = {"Content-Type": "application/json"} if json is not None else {}
        reply = _PendingCall(self._app, method, path, query, headers, json or b"").result(60)
        assert reply is not None
        return reply

    def start(self, path: str, query: dict[str, Any]) -> Pending:
        """See `Transport`."""
        return _PendingCall(self._app, "GET", path, query, {}, b"")


class _PendingCall:
    def __init__(
        self, app: WSGIApplication, method: str, path: str, query: dict[str, Any], headers: dict[str, str], body: bytes
    ) -> None:
        environ = falcon_testing.create_environ(
            path, urlencode(query), method=method, headers=headers, body=body, host="localhost"
        )
        self._start = falcon_testing.StartResponseMock()
        self._body: Iterable[bytes] = app(environ, self._start)

    def result(self, timeout: float) -> Reply | None:
        """See `Pending`."""
        body = self._body
        if isinstance(body, Waiting) and not body.ready and not body.wait(timeout):
            return None
        try:
            data = b"".join(body)
        finally:
            self.abandon()
        code, _, reason = (self._start.status or "500 ").partition(" ")
        return Reply(int(code), reason, data)

    def abandon(self) -> None:
        """See `Pending`."""
        close = getattr(self._body, "close", None)
        if close is not None:
            close()


class OverHTTP:
    """Speaks to a running emulator at `url`."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")
        self._pool = urllib3.PoolManager(retries=False, maxsize=4)

    def request(self, method: str, path: str, query: dict[str, Any], json: bytes | None = None) -> Reply:
        """See `Transport`. Raises urllib3's HTTPError when the emulator cannot be reached."""
        headers = {"Content-Type": "application/json"} if json is not None else None
        answer = self._pool.request(
            method, f"{self._url}{path}?{urlencode(query)}", body=json, headers=headers, timeout=60.0
        )
        return Reply(answer.status, answer.reason or "", answer.data)

    def start(self, path: str, query: dict[str, Any]) -> Pending:
        """See `Transport`: over HTTP the server waits, at most as long as the test does."""
        return _PendingRequest(self, path, query)


class _PendingRequest:
    def __init__(self, transport: OverHTTP, path: str, query: dict[str, Any]) -> None:
        self._transport = transport
        self._path = path
        self._query = query

    def result(self, timeout: float) -> Reply | None:
        """See `Pending`."""
        return self._transport.request("GET", self._path, self._query | {"wait": round(timeout, 3)})

    def abandon(self) -> None:
        """See `Pending`."""
