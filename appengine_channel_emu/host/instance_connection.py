"""A connection to an instance of ours, whose answers have one form only: see `runner.serving`."""

from __future__ import annotations

import contextlib
import io
import re
import socket
from typing import IO

from . import exchange
from .exchange import Answer, Request
from .headers import Headers

LARGEST_HEAD = 1024 * 1024
"""Bytes of an answer's status and headers."""

_STATUS = re.compile(r"HTTP/1\.1 ([1-9]\d\d)(?: (.*))?", re.ASCII)
_LOOK = int(socket.MSG_PEEK | socket.MSG_DONTWAIT)
_LENGTH = re.compile(r"\d{1,18}", re.ASCII)


class InstanceConnection:
    """See `exchange.Connection`; HTTP over the Unix socket at `path`.

    An answer has a `Content-Length`, and unless it answers HEAD just so many bytes follow. No header is folded, no body
    chunked.
    """

    def __init__(self, path: str, name: str) -> None:
        self._path = path
        self._name = name
        self.sock: socket.socket | None = None

    def open(self) -> None:
        """See `exchange.Connection`."""
        sock = socket.socket(socket.AF_UNIX)
        try:
            sock.settimeout(exchange.CONNECT_SECONDS)
            sock.connect(self._path)
            sock.settimeout(None)
        except OSError as error:
            sock.close()
            raise exchange.Unreachable(self._name, error) from error
        self.sock = sock

    @property
    def is_connected(self) -> bool:
        """See `exchange.Connection`."""
        if self.sock is None:
            return False
        try:
            self.sock.recv(1, _LOOK)
        except BlockingIOError:
            return True
        except OSError:
            pass
        return False

    def close(self) -> None:
        """See `exchange.Connection`."""
        sock, self.sock = self.sock, None
        if sock is not None:
            sock.close()

    def ask(self, request: Request) -> Answer:
        """See `exchange.Connection`."""
        assert self.sock is not None
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            # It may have refused the request before it has read all of it; that answer can still be there.
            _send(self.sock, request)
        head, rest = self._receive_head(self.sock)
        status, words, headers = self._parse(head)
        length = self._length(headers)
        if request.method == "HEAD":
            length = 0
        if length > exchange.MAX_ANSWER_BYTES:
            raise exchange.AnswerTooLarge
        return Answer(status, words, headers, self._receive_body(self.sock, rest, length), length)

    def _receive_head(self, sock: socket.socket) -> tuple[str, bytes]:
        """The head without the empty line at its end, and what came behind it."""
        data = b""
        while (end := data.find(b"\r\n\r\n")) < 0:
            if len(data) > LARGEST_HEAD:
                raise self._not_http("its headers have no end")
            data += self._receive(sock, begun=bool(data))
        return data[:end].decode("latin-1"), data[end + 4 :]

    def _parse(self, head: str) -> tuple[int, str, Headers]:
        first, *lines = head.split("\r\n")
        found = _STATUS.fullmatch(first)
        if found is None:
            raise self._not_http(repr(first[:80]))
        if found[1] < "200":
            raise exchange.NotAskedFor(self._name, int(found[1]))
        headers = []
        for line in lines:
            name, colon, value = line.partition(":")
            if not colon or not name or name[0] in " \t":
                raise self._not_http(repr(line[:80]))
            headers.append((name, value.strip(" \t")))
        return int(found[1]), found[2] or "", headers

    def _length(self, headers: Headers) -> int:
        lengths = [value for name, value in headers if name.lower() == "content-length"]
        if len(lengths) != 1 or not _LENGTH.fullmatch(lengths[0]):
            raise self._not_http("it gave no length")
        return int(lengths[0])

    def _receive_body(self, sock: socket.socket, data: bytes, length: int) -> IO[bytes]:
        if len(data) > length:
            raise self._not_http("more came than was said")
        if len(data) == length:
            return io.BytesIO(data)
        with exchange.Spool() as spool:
            spool.write(data)
            length -= len(data)
            while length:
                data = self._receive(sock, begun=True, most=length)
                spool.write(data)
                length -= len(data)
            return spool.whole()

    def _receive(self, sock: socket.socket, *, begun: bool, most: int = exchange.BLOCK_BYTES) -> bytes:
        try:
            data = sock.recv(min(most, exchange.BLOCK_BYTES))
        except OSError as error:
            raise self._ended(begun) from error
        if not data:
            raise self._ended(begun)
        return data

    def _ended(self, begun: bool) -> exchange.BrokenAnswer:
        return exchange.EndedEarly(self._name) if begun else exchange.NoAnswer(self._name)

    def _not_http(self, why: str) -> exchange.NotHttp:
        return exchange.NotHttp(self._name, why)


def _send(sock: socket.socket, request: Request) -> None:
    fields = [f"{name}: {value}" for name, value in request.headers.items()]
    if request.length is not None:
        fields.append(f"Content-Length: {request.length}")
    head = "\r\n".join([f"{request.method} {request.target} HTTP/1.1", *fields, "", ""])
    if head.count("\r") != len(fields) + 2 or head.count("\n") != len(fields) + 2:
        raise ValueError("a request's method, target and headers have no line breaks")
    data = head.encode("latin-1")
    if request.body is None or not request.length:
        sock.sendall(data)
        return
    for block in exchange.blocks(request.body, request.length):
        sock.sendall(data + block)
        data = b""
