"""A page on the wire, byte for byte as Chrome has it: one that polls, and one that streams (behaviour.md 5)."""

from __future__ import annotations

import json
import secrets
import socket
from abc import ABC, abstractmethod

from appengine_channel_emu.bench import chrome

POLL_SECONDS = 25.0
ACKNOWLEDGE_MESSAGES = 64
"""A page that streams says which messages it has once so many of them have come."""

TEXT, CLOSE, PING, PONG = 0x1, 0x8, 0x9, 0xA
"""Kinds of frames (RFC 6455, 5.2)."""


class Refused(Exception):
    """The server answered with something else than 200; the text is its status line, or says what it is instead."""


class Page(ABC):
    """The page number `number`: a connection on which it waits for messages.

    `after` is the number of the last message that it has.
    """

    __slots__ = ("_buffer", "after", "agent", "client_id", "received", "sock", "socket_id")

    def __init__(self, number: int, client_id: str, socket_id: str, sock: socket.socket) -> None:
        self.agent = chrome.agent(number)
        self.client_id = client_id
        self.socket_id = socket_id
        self.sock = sock
        self.after = 0
        self.received = 0
        self._buffer = b""

    @abstractmethod
    def begin(self, wait: float = POLL_SECONDS) -> None:
        """Ask for messages; a poll is to be held for `wait` seconds."""

    @abstractmethod
    def _take(self) -> list[str] | None:
        """The messages of what is whole in the buffer, or None where nothing is."""

    @abstractmethod
    def go_on(self) -> bool:
        """Do at once what is to be done about an answer; whether `acknowledge` is to be called later on."""

    @abstractmethod
    def acknowledge(self) -> None:
        """Say which messages it has, unless the server knows."""

    def answer(self) -> list[str] | None:
        """The messages of a whole answer that has arrived, or None. Raises `Refused` and OSError."""
        data = self.sock.recv(65536)
        if not data:
            raise ConnectionError("the server closed a page's connection")
        self._buffer += data
        return self._take()

    def _understand(self, body: bytes) -> list[str]:
        answer = json.loads(body)
        if "error" in answer:
            raise Refused(f"{answer['error']} {answer['reason']}")
        self.after = answer["next"]
        self.received += len(answer["messages"])
        return list(answer["messages"])


class PollingPage(Page):
    """One that polls: it has a poll under way at all times, and the next one says which messages it has."""

    __slots__ = ()

    def begin(self, wait: float = POLL_SECONDS) -> None:
        """See `Page`."""
        self.sock.sendall(chrome.poll_request(self.socket_id, self.after, wait, self.agent))

    def _take(self) -> list[str] | None:
        whole = split_answer(self._buffer)
        if whole is None:
            return None
        body, self._buffer = whole
        return self._understand(body)

    def go_on(self) -> bool:
        """See `Page`."""
        self.begin()
        return False

    def acknowledge(self) -> None:
        """See `Page`: polls do."""


class StreamingPage(Page):
    """One that streams: messages come over a WebSocket, and it answers now and then with the number that it has."""

    __slots__ = ("_acknowledged", "_mask", "_owes", "_upgraded")

    def begin(self, wait: float = POLL_SECONDS) -> None:
        """See `Page`: the upgrade."""
        self._acknowledged = self.after
        self._mask = secrets.token_bytes(4)
        self._owes = self._upgraded = False
        self.sock.sendall(chrome.stream_request(self.socket_id, self.after, self.agent))

    def _take(self) -> list[str] | None:
        if not self._upgraded:
            head, separator, rest = self._buffer.partition(b"\r\n\r\n")
            if not separator:
                return None
            if not head.startswith(b"HTTP/1.1 101"):
                status = head.split(b"\r\n", 1)[0].decode("latin-1")
                raise Refused(f"no WebSocket is served there ({status}); pages that poll may do: --transport poll")
            self._upgraded, self._buffer = True, rest
        messages: list[str] | None = None
        while (whole := split_frame(self._buffer)) is not None:
            kind, body, self._buffer = whole
            if kind == TEXT:
                messages = (messages or []) + self._read(body)
            elif kind == PING:
                self._send(PONG, body)
            elif kind == CLOSE:
                raise ConnectionError("the server closed a page's stream")
        return messages

    def _read(self, body: bytes) -> list[str]:
        messages = self._understand(body)
        if not messages:
            # A heartbeat, which wants an answer, so that the server knows that somebody is there.
            self._acknowledged = -1
            self.acknowledge()
        return messages

    def go_on(self) -> bool:
        """See `Page`."""
        if self.after - self._acknowledged >= ACKNOWLEDGE_MESSAGES:
            self.acknowledge()
        owed, self._owes = self._owes, self.after > self._acknowledged
        return self._owes and not owed

    def acknowledge(self) -> None:
        """See `Page`."""
        self._owes = False
        if self._acknowledged != self.after:
            self._acknowledged = self.after
            self._send(TEXT, b"%d" % self.after)

    def _send(self, kind: int, body: bytes) -> None:
        masked = bytes([byte ^ self._mask[place & 3] for place, byte in enumerate(body)])
        self.sock.sendall(bytes((0x80 | kind, 0x80 | len(body))) + self._mask + masked)


def split_answer(buffer: bytes) -> tuple[bytes, bytes] | None:
    """The body of the answer at the head of `buffer`, and what follows it; None while it is not whole.

    Raises `Refused` for any other answer than 200.
    """
    head, separator, rest = buffer.partition(b"\r\n\r\n")
    if not separator:
        return None
    lower = head.lower()
    if b"\r\ntransfer-encoding: chunked" in lower:
        whole = _split_chunks(rest)
    else:
        _, found, after = lower.partition(b"content-length:")
        if not found:
            raise Refused("what answers there is no emulator")
        length = int(after.split(b"\r\n", 1)[0])
        whole = (rest[:length], rest[length:]) if len(rest) >= length else None
    if whole is not None and not head.startswith(b"HTTP/1.1 200"):
        raise Refused(head.split(b"\r\n", 1)[0].decode("latin-1"))
    return whole


def split_frame(buffer: bytes) -> tuple[int, bytes, bytes] | None:
    """The kind and the body of a server's frame at the head of `buffer`, and what follows it; None while not whole."""
    if len(buffer) < 2:
        return None
    length, start = buffer[1] & 0x7F, 2
    if length > 125:
        start += 2 if length == 126 else 8
        length = int.from_bytes(buffer[2:start], "big")
    end = start + length
    return (buffer[0] & 0xF, buffer[start:end], buffer[end:]) if len(buffer) >= max(start, end) else None


def _split_chunks(rest: bytes) -> tuple[bytes, bytes] | None:
    body = b""
    while True:
        line, found, rest = rest.partition(b"\r\n")
        size = int(line, 16) if found else 0
        if not found or len(rest) < size + 2:
            return None
        body, rest = body + rest[:size], rest[size + 2 :]
        if not size:
            return body, rest
