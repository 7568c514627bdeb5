"""Connections to a server that may answer anything HTTP/1.1 allows.

They are urllib3's, without its pools: a pool rewrites the request target (``%2f`` becomes ``%2F``, one stray ``%``
doubles all others) and does not say which connection it uses, which the watchdog of an exchange must know.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from http.client import HTTPException
from typing import IO, Any

from urllib3.connection import HTTPConnection
from urllib3.exceptions import HTTPError
from urllib3.response import BaseHTTPResponse
from urllib3.util import SKIP_HEADER

from .exchange import (
    BLOCK_BYTES,
    CONNECT_SECONDS,
    MAX_ANSWER_BYTES,
    SPOOL_BYTES,
    Answer,
    AnswerTooLarge,
    BrokenAnswer,
    NoAnswer,
    Request,
    Unreachable,
    blocks,
    reason,
)


class TcpConnection(HTTPConnection):
    """See `exchange.Connection`; `name` is what error texts call the server.

    Sends the head and a small body in one piece, so that neither side is woken twice.
    """

    _held: list[bytes] | None = None

    def __init__(self, host: str, port: int, name: str) -> None:
        super().__init__(host, port, timeout=CONNECT_SECONDS)
        self._name = name

    def open(self) -> None:
        """See `exchange.Connection`."""
        try:
            self.connect()
        except (OSError, HTTPError) as error:
            raise Unreachable(f"{self._name} cannot be reached: {reason(error)}.") from error
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
            raise NoAnswer(f"{self._name} closed the connection without an answer.") from error
        except (HTTPException, HTTPError) as error:
            raise BrokenAnswer(f"{self._name} did not answer in HTTP: {reason(error)}.") from error
        try:
            return self._read(response)
        except (OSError, HTTPException, HTTPError) as error:
            raise BrokenAnswer(f"The answer of {self._name} ended early: {reason(error)}.") from error

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
                body = blocks(request.body, request.length)
        small = (request.length or 0) <= BLOCK_BYTES
        with self._in_one_piece() if small else contextlib.nullcontext():
            self.request(request.method, request.target, body, headers, preload_content=False, decode_content=False)

    def _read(self, response: BaseHTTPResponse) -> Answer:
        if response.status < 200:
            raise BrokenAnswer(f"{self._name} answered {response.status}, which was not asked for.")
        body: IO[bytes] = tempfile.SpooledTemporaryFile(SPOOL_BYTES)  # noqa: SIM115 - handed on
        length = 0
        try:
            for block in response.stream(BLOCK_BYTES, decode_content=False):
                length += len(block)
                if length > MAX_ANSWER_BYTES:
                    raise AnswerTooLarge(f"The answer is larger than {MAX_ANSWER_BYTES // 2**20} MiB.")
                body.write(block)
        except BaseException:
            body.close()
            raise
        body.seek(0)
        headers = list(response.headers.iteritems())
        return Answer(response.status, response.reason or "", headers, body, length)
