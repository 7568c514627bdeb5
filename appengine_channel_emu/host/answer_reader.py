"""Reads the answer to one request off a connection: HTTP/1.1, to the letter (RFC 9112).

What two readers could divide or delimit in two ways is refused, with what was wrong in words: what a visitor gets into
a header or a body of the app's is then never another header, and never the next visitor's answer.
"""

from __future__ import annotations

import contextlib
import functools
import io
import re
import socket
import tempfile
from dataclasses import dataclass
from typing import IO

from appengine_channel_emu.hints import reason
from appengine_channel_emu.host.errors import (
    MAX_ANSWER_BYTES,
    AnswerTooLarge,
    BrokenAnswer,
    ClosedWithoutAnswer,
    NoRoomForAnswer,
)

Headers = list[tuple[str, str]]

BLOCK_BYTES = 64 * 1024
"""What is read or sent at a time."""

SPOOL_BYTES = 1024 * 1024
"""A longer answer is kept in a file."""

LARGEST_HEAD = 1024 * 1024
"""Bytes of a status and its headers."""

MOST_INTERIM_ANSWERS = 100
LONGEST_CHUNK_LINE = 4096
LONGEST_TRAILER = 64 * 1024

_BEGINNING = b"HTTP/1."
_END_OF_HEAD = re.compile(rb"\n\r?\n")
_STATUS = re.compile(r"HTTP/1\.(\d) ([1-9]\d\d)(?: (.*))?", re.ASCII)
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_LENGTH = re.compile(r"\d{1,18}", re.ASCII)
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]*(?:;[^\r\n\0]*)?")
_LISTS = frozenset(["connection", "content-length", "transfer-encoding"])


@dataclass
class HttpAnswer:
    """What came back, whole; `body` is at its start and its reader's to close.

    cpu_seconds, cut: as in `AppAnswer`, where the app's process says so.
    """

    status: int
    reason: str
    headers: Headers
    body: IO[bytes]
    length: int
    cpu_seconds: float | None = None
    cut: bool = False

    def header(self, name: str) -> str | None:
        """The first value of the header of this name."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)


@functools.lru_cache(maxsize=1024)
def _is_name(text: str) -> bool:
    return _NAME.fullmatch(text) is not None


class _Head:
    """The status and the headers of an answer; `version` is what follows HTTP/1 and the dot."""

    def __init__(self, version: str, status: int, reason: str, headers: Headers) -> None:
        self.version = version
        self.status = status
        self.reason = reason
        self.headers = headers
        self._lists: dict[str, list[str]] = {}
        for name, value in headers:
            if (lower := name.lower()) in _LISTS:
                self._lists.setdefault(lower, []).extend(member.strip(" \t") for member in value.split(","))

    def members(self, name: str) -> list[str]:
        """The members of the list that the headers of this name, one of `_LISTS`, are together."""
        return self._lists.get(name, [])

    @property
    def keeps_connection(self) -> bool:
        options = [option.lower() for option in self.members("connection")]
        return "keep-alive" in options if self.version == "0" else "close" not in options


class AnswerReader:
    """Reads one answer from `sock`; `name` is what error texts call the server.

    needs_length: an answer that ends with its connection is refused: it might be half of one.
    """

    def __init__(self, sock: socket.socket, name: str, *, needs_length: bool = False) -> None:
        self._sock = sock
        self._name = name
        self._needs_length = needs_length
        self._data = b""
        self._begun = False
        self.reusable = False
        """Whether the connection may take another request, once this answer has been read."""

    def read(self, method: str) -> HttpAnswer:
        """The whole answer to a request of `method`; interim ones (1xx) before it are passed over.

        Raises a `BrokenAnswer`, an `AnswerTooLarge` or a `NoRoomForAnswer`.
        """
        head = self._final_head()
        length, chunked = self._framing(head)
        headers = head.headers if len(head.members("content-length")) < 2 else _with_one_length(head.headers, length)
        has_none = method == "HEAD" or head.status in (204, 304)
        body, size = (io.BytesIO(), 0) if has_none else self._body(length, chunked)
        framed = has_none or chunked or length is not None
        # What came behind the answer was not asked for: it must not be the answer to the next request.
        self.reusable = framed and head.keeps_connection and not self._data
        return HttpAnswer(head.status, head.reason, headers, body, size)

    def _final_head(self) -> _Head:
        for _ in range(MOST_INTERIM_ANSWERS):
            head = self._parse(self._head())
            if head.status == 101:
                raise BrokenAnswer(f"{self._name} answered 101, which was not asked for.")
            if head.status >= 200:
                return head
        raise self._not_http("one interim answer (1xx) came after another")

    def _head(self) -> str:
        """The next head, without the empty line at its end."""
        looked_at = 0
        while (end := _END_OF_HEAD.search(self._data, looked_at)) is None:
            if len(self._data) > LARGEST_HEAD:
                raise self._not_http("its headers have no end")
            looked_at = max(0, len(self._data) - 2)
            self._data = self._data + self._receive() if self._data else self._receive()
            if self._data[: len(_BEGINNING)] != _BEGINNING[: len(self._data)]:
                raise self._not_http(f"it begins with {self._data[:40]!r}")
        head, self._data = self._data[: end.start()], self._data[end.end() :]
        return head.decode("latin-1")

    def _parse(self, head: str) -> _Head:
        text = head.removesuffix("\r").replace("\r\n", "\n")
        first, *lines = text.split("\n")
        found = _STATUS.fullmatch(first)
        if found is None or "\r" in first or "\0" in first:
            raise self._not_http(f"its first line is {first[:80]!r}")
        clean = "\r" not in text and "\0" not in text
        headers: Headers = []
        for line in lines:
            if line.startswith((" ", "\t")):
                # Obsolete folding: RFC 9112, section 5.2.
                if not headers:
                    raise self._not_http("its first header begins with a space")
                name, value = headers.pop()
                headers.append((name, f"{value} {self._checked(name, line)}".strip(" ")))
                continue
            name, colon, value = line.partition(":")
            # Spaces before the colon are to be taken away: section 5.1.
            name = name.rstrip(" \t")
            if not colon or not _is_name(name):
                raise self._not_http(f"{line[:80]!r} is no header")
            headers.append((name, value.strip(" \t") if clean else self._checked(name, value)))
        return _Head(found[1], int(found[2]), found[3] or "", headers)

    def _checked(self, name: str, value: str) -> str:
        # Others take either for the end of the line: section 2.2, and RFC 9110, section 5.5.
        if "\r" in value or "\0" in value:
            what = "a carriage return without a line feed" if "\r" in value else "a null byte"
            raise self._not_http(f"its header {name} holds {what}, which could begin another header")
        return value.strip(" \t")

    def _framing(self, head: _Head) -> tuple[int | None, bool]:
        """The stated length, if any, and whether the body comes in chunks (RFC 9112, section 6.3)."""
        codings, lengths = head.members("transfer-encoding"), head.members("content-length")
        if codings and lengths:
            raise self._not_http("it has both a Content-Length and a Transfer-Encoding")
        if codings:
            if [coding.lower() for coding in codings] != ["chunked"] or head.version == "0" or self._needs_length:
                raise self._not_http(f"its Transfer-Encoding is {', '.join(codings)[:80]!r}")
            return None, True
        if not lengths:
            if self._needs_length:
                raise self._not_http("it gave no length")
            return None, False
        if len(set(lengths)) > 1 or not _LENGTH.fullmatch(lengths[0]):
            raise self._not_http(f"its Content-Length is {', '.join(lengths)[:80]!r}")
        return int(lengths[0]), False

    def _body(self, length: int | None, chunked: bool) -> tuple[IO[bytes], int]:
        """The body, at its start, and its size."""
        if length is not None and length > MAX_ANSWER_BYTES:
            raise AnswerTooLarge
        if length is not None and length <= len(self._data):
            body, self._data = self._data[:length], self._data[length:]
            return io.BytesIO(body), length
        with _Sink() as sink:
            if chunked:
                self._copy_chunks(sink)
            elif length is not None:
                self._copy(length, sink)
            else:
                self._copy_to_the_end(sink)
            return sink.whole(), sink.size

    def _copy(self, length: int, sink: _Sink) -> None:
        while length:
            data = self._data[:length] or self._receive(length)
            self._data = self._data[len(data) :]
            sink.write(data)
            length -= len(data)

    def _copy_to_the_end(self, sink: _Sink) -> None:
        data, self._data = self._data, b""
        while True:
            sink.write(data)
            try:
                data = self._sock.recv(BLOCK_BYTES)
            except OSError as error:
                raise self._ended(error) from error
            if not data:
                return

    def _copy_chunks(self, sink: _Sink) -> None:
        while True:
            line = self._line(LONGEST_CHUNK_LINE)
            found = _CHUNK_SIZE.fullmatch(line)
            if found is None:
                raise self._not_http(f"{line[:40]!r} is not the size of a chunk")
            size = int(found[1], 16)
            if not size:
                break
            if sink.size + size > MAX_ANSWER_BYTES:
                raise AnswerTooLarge
            self._copy(size, sink)
            if self._line(LONGEST_CHUNK_LINE):
                raise self._not_http("a chunk is longer than its size")
        left = LONGEST_TRAILER
        while trailer := self._line(left):
            left -= len(trailer)

    def _line(self, longest: int) -> bytes:
        """The next line, without its end."""
        while (end := self._data.find(b"\n")) < 0 and len(self._data) <= longest:
            self._data += self._receive()
        if end < 0 or end > longest:
            raise self._not_http(f"the line {self._data[:40]!r}… between its chunks has no end")
        line, self._data = self._data[:end], self._data[end + 1 :]
        if not line.endswith(b"\r"):
            raise self._not_http(f"the line {line[:40]!r} between its chunks does not end with CRLF")
        return line[:-1]

    def _receive(self, most: int = BLOCK_BYTES) -> bytes:
        try:
            data = self._sock.recv(min(most, BLOCK_BYTES))
        except OSError as error:
            raise self._ended(error) from error
        if not data:
            raise self._ended()
        self._begun = True
        return data

    def _ended(self, error: OSError | None = None) -> BrokenAnswer:
        if not self._begun:
            return ClosedWithoutAnswer(f"{self._name} closed the connection without an answer.")
        return BrokenAnswer(f"{self._name} broke off: its answer ended early{f' ({reason(error)})' if error else ''}.")

    def _not_http(self, why: str) -> BrokenAnswer:
        return BrokenAnswer(f"{self._name} did not answer in HTTP: {why}.")


class _Sink:
    """Takes a body while it comes, at most `MAX_ANSWER_BYTES` of it: in memory, or in a file if it is a long one."""

    def __init__(self) -> None:
        self._file: IO[bytes] = tempfile.SpooledTemporaryFile(SPOOL_BYTES)  # noqa: SIM115 - handed on
        self.size = 0

    def __enter__(self) -> _Sink:
        return self

    def __exit__(self, kind: type[BaseException] | None, *exc_info: object) -> None:
        if kind is not None:
            with contextlib.suppress(OSError):
                # It may try once more to write what it could not.
                self._file.close()

    def write(self, block: bytes) -> None:
        """Add `block`. Raises `AnswerTooLarge` or `NoRoomForAnswer`."""
        self.size += len(block)
        if self.size > MAX_ANSWER_BYTES:
            raise AnswerTooLarge
        try:
            self._file.write(block)
        except OSError as error:
            raise NoRoomForAnswer(error) from error

    def whole(self) -> IO[bytes]:
        """The body, from its start; its reader's to close. Raises `NoRoomForAnswer`."""
        try:
            self._file.seek(0)
        except OSError as error:
            raise NoRoomForAnswer(error) from error
        return self._file


def _with_one_length(headers: Headers, length: int | None) -> Headers:
    """`headers`, in which the length that was said several times alike is said once."""
    if length is None:
        return headers
    kept: Headers = []
    for name, value in headers:
        if name.lower() != "content-length":
            kept.append((name, value))
        elif not any(each.lower() == "content-length" for each, _ in kept):
            kept.append((name, str(length)))
    return kept
