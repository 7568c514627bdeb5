"""Connections to a server that may answer anything HTTP/1.1 allows.

They are urllib3's, without its pools: a pool rewrites the request target (``%2f`` becomes ``%2F``, one stray ``%``
doubles all others) and does not say which connection it uses, which the watchdog of an exchange must know.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from http.client import HTTPException
from typing import Any

from urllib3.connection import HTTPConnection
from urllib3.exceptions import HTTPError
from urllib3.response import BaseHTTPResponse
from urllib3.util import SKIP_HEADER

from . import exchange
from .exchange import Answer, Request


class TcpConnection(HTTPConnection):
    """See `exchange.Connection`; `name` is what error texts call the server.

    Sends the head and a small body in one piece, so that neither side is woken twice.
    """

    _held: list[bytes] | None = None

    def __init__(self, host: str, port: int, name: str) -> None:
        super().__init__(host, port, timeout=exchange.CONNECT_SECONDS)
        self._name = name

    def open(self) -> None:
        """See `exchange.Connection`."""
        try:
            self.connect()
        except (OSError, HTTPError) as error:
            raise exchange.Unreachable(self._name, error) from error
        self.timeout = None
        assert self.sock is not None
        self.sock.settimeout(None)

    def ask(self, request: Request) -> Answer:
        """See `exchange.Connection`."""
        try:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                # An app may answer and close before it has read all; the answer can still be there.
                self._send_request(request)
            response = self.getresponse()
        except OSError as error:
            raise exchange.NoAnswer(self._name) from error
        except (HTTPException, HTTPError) as error:
            raise exchange.NotHttp(self._name, exchange.reason(error)) from error
        try:
            return self._read(response)
        except (OSError, HTTPException, HTTPError) as error:
            raise exchange.EndedEarly(self._name, error) from error

    def send(self, data: Any) -> None:
        """See http.client."""
        if self._held is None:
            super().send(data)
        else:
            self._held.append(data)

    @contextlib.contextmanager
    def _in_one_piece(self) -> Iterator[None]:
        """What is sent in this block goes out at its end."""
        self._held = []
        try:
            yield
            held, self._held = self._held, None
            super().send(b"".join(held))
        finally:
            self._held = None

    def _send_request(self, request: Request) -> None:
        headers = {"User-Agent": SKIP_HEADER, "Accept-Encoding": SKIP_HEADER, **request.headers}
        body = None
        if request.length is not None:
            headers["Content-Length"] = str(request.length)
            if request.body is not None and request.length:
                body = exchange.blocks(request.body, request.length)
        small = (request.length or 0) <= exchange.BLOCK_BYTES
        with self._in_one_piece() if small else contextlib.nullcontext():
            self.request(request.method, request.target, body, headers, preload_content=False, decode_content=False)

    def _read(self, response: BaseHTTPResponse) -> Answer:
        if response.status < 200:
            raise exchange.NotAskedFor(self._name, response.status)
        length = 0
        with exchange.Spool() as spool:
            for block in response.stream(exchange.BLOCK_BYTES, decode_content=False):
                length += len(block)
                if length > exchange.MAX_ANSWER_BYTES:
                    raise exchange.AnswerTooLarge
                spool.write(block)
            body = spool.whole()
        headers = list(response.headers.iteritems())
        return Answer(response.status, response.reason or "", headers, body, length)
